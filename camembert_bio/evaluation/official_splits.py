"""Makes the manifests in `evaluation/official` from the corpora themselves; they hold ids and hashes, no text.

    python -m camembert_bio.evaluation.official_splits QUAERO/corpus E3C-Corpus

QUAERO is the release of CLEF eHealth 2016 (MrMimic/Machine-Learning @ 236859b8), ids its PubMed and EMEA numbers;
E3C version 2.0.0 (hltfbk/E3C-Corpus @ 8196181e), ids its own numbers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from camembert_bio import files
from camembert_bio.evaluation.corpora import e3c
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.leaks import NEAR, near, same_text
from camembert_bio.evaluation.splits import manifest

Parts = dict[str, list[Document]]

QUAERO_LABELS = ["ANAT", "CHEM", "DEVI", "DISO", "GEOG", "LIVB", "OBJC", "PHEN", "PHYS", "PROC"]
_LAYER_1, _LAYER_2 = "data_annotation/French/layer1/", "data_annotation/French/layer2/"
_VALIDATED = "data_validation/French/layer2/"


def quaero(corpus: Path) -> dict[str, dict[str, Any]]:
    """The splits of the folder that holds `train`, `dev` and `test`, by name."""
    folders = {"train": "train", "validation": "dev", "test": "test"}
    every = read_brat(corpus)
    found = {}
    for genre in ("EMEA", "MEDLINE"):
        parts = {part: _below(every, f"{folder}/{genre}/") for part, folder in folders.items()}
        found[f"quaero-{genre.lower()}"] = manifest(
            parts,
            description=f"QUAERO FrenchMed, {genre}: training, development and test documents of CLEF eHealth 2016.",
            labels=QUAERO_LABELS,
        )
    audited = without_leaks(parts)
    found["quaero-medline-audited"] = manifest(
        audited,
        description="quaero-medline without the training and development titles that repeat a test title, and the "
        f"training titles that repeat a development title: the same text, or {NEAR:.0%} of its word 5-grams. "
        f"Left out: {_left_out(parts, audited)}.",
        labels=QUAERO_LABELS,
    )
    return found


def e3c_french(corpus: Path) -> dict[str, dict[str, Any]]:
    """The splits of the French part of E3C, by name; `corpus` is the folder of the release."""
    wanted = (path for name in (_LAYER_1, _LAYER_2, _VALIDATED) for path in (corpus / name).glob("*.xml"))
    every = e3c.read_e3c(corpus, wanted={path.relative_to(corpus).with_suffix("").as_posix() for path in wanted})
    layer_1, layer_2, validated = (_below(every, name) for name in (_LAYER_1, _LAYER_2, _VALIDATED))
    listed = set(re.findall(r"FR\d+", (corpus / "documentation/train_test_split.txt").read_text(encoding="utf-8")))
    gold_train = [document for document in layer_1 if _name(document) in listed]
    gold_test = [document for document in layer_1 if _name(document) not in listed]
    checked = {_name(document) for document in validated}
    parts = {
        "train": [document for document in layer_2 if _name(document) not in checked],
        "validation": validated,
        "test": gold_test,
    }
    audited = without_leaks(parts)
    return {
        "e3c-official": manifest(
            {"train": gold_train, "test": gold_test},
            description="E3C, French: the authors' training and test documents of layer 1, annotated by hand.",
            labels=[e3c.LABEL],
        ),
        "e3c-paper": manifest(
            {"train": layer_2, "test": layer_1},
            description="E3C, French, as CamemBERT-bio was evaluated (Touchent et al. 2024): training on layer 2, of "
            "which a tenth validates, test on all of layer 1.",
            labels=[e3c.LABEL],
            leaks=[
                "layer 2 was annotated with a dictionary made of layer 1's training documents among others, and these "
                f"{len(gold_train)} documents are tested on",
                f"the {len(checked)} documents of layer 2 checked by hand are trained on: {_VALIDATED} is no test",
            ],
        ),
        "e3c-audited": manifest(
            audited,
            description="e3c-paper without its leaks: training on layer 2 less the documents checked by hand, which "
            "validate; test on the authors' test documents of layer 1, which no dictionary was made of. "
            f"Left out besides, for a test or validation text that they repeat: {_left_out(parts, audited)}.",
            labels=[e3c.LABEL],
        ),
    }


def without_leaks(parts: Parts) -> Parts:
    """The parts without the documents of one that repeat, wholly or nearly, a document of a later one."""
    kept = dict(parts)
    for part, later in (("validation", ["test"]), ("train", ["test", "validation"])):
        others = [document for name in later for document in kept[name]]
        repeated = {seen for _, seen in same_text(others, kept[part])}
        repeated |= {seen for _, seen, _ in near(others, kept[part])}
        kept[part] = [document for document in kept[part] if document.id not in repeated]
    return kept


def _left_out(parts: Parts, kept: Parts) -> str:
    ids = [document.id for part in parts for document in parts[part] if document not in kept[part]]
    return ", ".join(ids) or "none"


def _below(documents: Iterable[Document], folder: str) -> list[Document]:
    return [document for document in documents if document.id.startswith(folder)]


def _name(document: Document) -> str:
    return document.id.rpartition("/")[2]


def main(quaero_corpus: str, e3c_corpus: str) -> None:
    """Write every manifest anew."""
    for name, value in {**quaero(Path(quaero_corpus)), **e3c_french(Path(e3c_corpus))}.items():
        files.write_json(Path(__file__).parent / "official" / f"{name}.json", value)


if __name__ == "__main__":
    main(*sys.argv[1:])
