"""Splits of a corpus into training, validation and test documents, as manifests: document ids and text hashes.

    {"description": "...", "train": {"layer1/FR100003": "<sha256 of its text>", ...}, "test": {...}}

`validation` may be absent, `labels` may declare those of the corpus, `leaks` names what an honest reader must know.
The package ships the official splits of the public corpora (`evaluation/official`); the CAS corpus brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from camembert_bio import config
from camembert_bio.errors import UserError, nearest, raise_all
from camembert_bio.evaluation.corpora.cas import CAMPAIGNS, campaign_parts
from camembert_bio.evaluation.documents import Text
from camembert_bio.evaluation.recipe import Format

AnyText = TypeVar("AnyText", bound=Text)

PARTS = ("train", "validation", "test")
_OFFICIAL = "official"
_SHOWN = 5


@config.strict_fields
@dataclass(frozen=True)
class Split:
    """Which documents stand in which part."""

    description: str
    train: Mapping[str, str | None]
    """Id (the reader's, from the folder that the split is of) -> sha256 of the text in UTF-8; None: not known."""
    test: Mapping[str, str | None]
    validation: Mapping[str, str | None] = field(default_factory=dict)
    """Empty: taken out of the training documents."""
    labels: tuple[str, ...] = ()
    """The labels that the corpus may have; empty: any."""
    leaks: tuple[str, ...] = ()
    """How test documents, or what is known of them, reach the training: said each time that the split is used."""

    def __post_init__(self) -> None:
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            both = sorted(self.part(one).keys() & self.part(other).keys())
            if both:
                raise ValueError(f"{_listed(both)} in {one} and in {other}; a document stands in one part")

    def part(self, name: str) -> Mapping[str, str | None]:
        """The documents of `train`, `validation` or `test`."""
        found: Mapping[str, str | None] = getattr(self, name)
        return found

    @property
    def ids(self) -> set[str]:
        """Of every part."""
        return {name for part in PARTS for name in self.part(part)}


def find_split(name: str, kind: Format, corpus: Path) -> Split:
    """A split by the path of its manifest, or by name: the package's own, or those that a CAS corpus brings."""
    if Path(name).is_file():
        return config.build(Split, config.read_json(Path(name)), name)
    if name in CAMPAIGNS and kind in ("cas1", "cas2"):
        train, test = (dict.fromkeys(ids) for ids in campaign_parts(corpus, name))
        return Split(f"{name}, as {corpus} itself has it", train, test)
    shipped = {path.name.removesuffix(".json"): path for path in _official().iterdir() if path.name.endswith(".json")}
    if name in shipped:
        with resources.as_file(shipped[name]) as path:
            return config.build(Split, config.read_json(path), name)
    known = [*shipped, *(CAMPAIGNS if kind in ("cas1", "cas2") else ())]
    raise UserError(f"split {name!r} is neither a file nor known for {kind} ({nearest(name, known)})")


def _official() -> Any:
    return resources.files("camembert_bio.evaluation") / _OFFICIAL


def divide(split: Split, name: str, documents: Sequence[AnyText], corpus: Path) -> dict[str, list[AnyText]]:
    """The documents of each part, in the order given. Raises `UserError` naming those missing or with another text."""
    by_id = {document.id: document for document in documents}
    mistakes = []
    for part in PARTS:
        expected = split.part(part)
        missing = sorted(expected.keys() - by_id.keys())
        if missing:
            mistakes.append(
                f"{part}: {_listed(missing)} not found; give the folder from which these are the paths, without suffix"
            )
        found = [(by_id[name], sha256) for name, sha256 in expected.items() if sha256 and name in by_id]
        if other := sorted(document.where for document, sha256 in found if document.text_sha256 != sha256):
            mistakes.append(f"{part}: {_listed(other)} with another text; restore the files as they were split")
    raise_all(f"{corpus} is not what split {name} divides:", mistakes)
    return {part: [document for document in documents if document.id in split.part(part)] for part in PARTS}


def manifest(parts: Mapping[str, Sequence[Text]], **described: Any) -> dict[str, Any]:
    """The manifest of a split, as JSON values; `described` are the other fields of `Split`."""
    listed = {part: {document.id: document.text_sha256 for document in found} for part, found in parts.items() if found}
    return {**described, **listed}


def _listed(names: Sequence[str]) -> str:
    """The first names and how many there are: `a, b, ... (7 documents)`."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}{', ...' if len(names) > _SHOWN else ''} ({len(names)} document{'s' if len(names) > 1 else ''})"
