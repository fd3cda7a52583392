"""Annotated documents: a text and the character spans that are the only truth of a score."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from camembert_bio import files

Fragments = tuple[tuple[int, int], ...]


@dataclass(frozen=True, order=True)
class Span:
    """One entity. Fragments are in order of their start and do not overlap."""

    fragments: Fragments
    """(start, end) in code points of the document's text, end exclusive; several when discontinuous."""
    label: str

    @property
    def start(self) -> int:
        """First code point."""
        return self.fragments[0][0]

    @property
    def end(self) -> int:
        """One past the last code point."""
        return self.fragments[-1][1]

    @property
    def is_continuous(self) -> bool:
        """Whether the entity is one stretch of text."""
        return len(self.fragments) == 1


@dataclass(frozen=True)
class Document:
    """A text as its file holds it (no newline or Unicode normalisation) and its distinct spans, sorted."""

    id: str
    text: str
    spans: tuple[Span, ...]
    where: str = field(default="", compare=False)
    """The file, and the line or row where it has them, that it was read from: for messages alone."""

    @property
    def text_sha256(self) -> str:
        """Hexadecimal sha256 of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def content(self) -> list[Any]:
        """All but `where`, as JSON values: what a task's data is hashed by."""
        return [self.id, self.text, [[span.fragments, span.label] for span in self.spans]]


class Text(Protocol):
    """What splits, leaks and hashes ask of a task's documents, whatever their answers are."""

    @property
    def id(self) -> str:
        """Of its own in its part."""

    @property
    def text(self) -> str:
        """Everything that is read."""

    @property
    def where(self) -> str:
        """The file, and the line or row, that it was read from."""

    @property
    def text_sha256(self) -> str:
        """Hexadecimal sha256 of `text` in UTF-8."""

    @property
    def content(self) -> list[Any]:
        """All but `where`, as JSON values."""


def documents_sha256(documents: Sequence[Text]) -> str:
    """A hash of ids, texts and answers: equal for equal data wherever its files lie."""
    return files.sha256_json([document.content for document in documents])
