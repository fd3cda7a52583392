"""Corpora whose files and columns are known as they are published.

MORFITT: https://github.com/qanastek/MORFITT (Labrak, Rouvier and Dufour, 2023), `train.tsv`, `dev.tsv`, `test.tsv` with
the columns `identifier`, `abstract` and `specialities`, in which `|` stands between several of twelve. The test
abstract `7379f75b...` is a training abstract too.

FrenchMedMCQA: https://github.com/qanastek/FrenchMedMCQA (Labrak et al., 2022), `corpus/train.json`, `dev.json` and
`test.json`: lists of `id`, `question`, `answers` (by the letters a to e) and `correct_answers` (letters). One training
question is given twice, the same both times, and kept once. The form on the hub has the columns `answer_a` to
`answer_e` in place of `answers`; it is read with the format `datasets` or `parquet` and `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from camembert_bio.evaluation.corpora.annotation import ANY, Labels
from camembert_bio.evaluation.recipe import Columns, Format


@dataclass(frozen=True)
class Layout:
    """What is known of a published corpus."""

    kind: Format
    """Of its files."""
    columns: Columns
    parts: Mapping[str, str]
    """The file of each part, from the corpus' folder."""
    labels: Labels = ANY
    repeated: frozenset[str] = frozenset()
    """Ids that are given twice with the same content."""


_SPECIALITIES = (
    *("chemistry", "etiology", "genetics", "immunology", "microbiology", "parasitology"),
    *("pharmacology", "physiology", "psychology", "surgery", "veterinary", "virology"),
)

LAYOUTS: Mapping[Format, Layout] = {
    "morfitt": Layout(
        "tsv",
        Columns(id="identifier", text="abstract", labels="specialities"),
        {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
        Labels(frozenset(_SPECIALITIES)),
    ),
    "frenchmedmcqa": Layout(
        "json",
        Columns(id="id", text="question", choices="answers", answers="correct_answers"),
        {"train": "corpus/train.json", "validation": "corpus/dev.json", "test": "corpus/test.json"},
        repeated=frozenset({"04c58320a365b34e9e7fc96b9b969731265be6e71453ccc0413b87767b67d460"}),
    ),
}


def part_file(kind: Format, part: str, path: Path) -> Path:
    """The file of a part of a published corpus; its last folder may be left out."""
    name = LAYOUTS[kind].parts[part]
    return path / name if (path / name).exists() else path / Path(name).name
