"""TEI: title, abstract and body of an article as plain text, one paragraph or heading a line."""

from __future__ import annotations

from dataclasses import dataclass, field

from camembert_bio.corpus.readers.record import MAX_LICENCE, BadDocumentError
from camembert_bio.safe_xml import XmlError, parse

_SKIPPED = {"figure", "table", "listBibl", "biblStruct", "bibl", "note", "formula", "back"}
_INLINE = {
    "abbr",
    "date",
    "emph",
    "foreign",
    "g",
    "hi",
    "lb",
    "name",
    "num",
    "q",
    "quote",
    "ref",
    "s",
    "term",
    "title",
    "w",
}


@dataclass
class Article:
    """What is kept of one file."""

    title: str
    abstract: list[str]
    """Paragraphs of `profileDesc/abstract`, in each language that it has."""
    body: list[str]
    """Paragraphs and headings of `text/body`; empty in files that hold the metadata alone."""
    licence: str | None
    """Of `availability`, where it is one line of at most 100 characters."""

    @property
    def text(self) -> str:
        """Title, abstract and body, a line each paragraph."""
        return "\n".join(line for line in (self.title, *self.abstract, *self.body) if line)


def read(data: bytes) -> Article:
    """An article without references, figures, tables, formulas, notes and back matter.

    Raises `BadDocumentError` for what is no XML, declares a document type, or is no TEI.
    """
    reader = _Reader()
    try:
        parse(data, reader.start, reader.end, reader.characters)
    except XmlError as error:
        raise BadDocumentError("not XML", error.reason, error.line) from None
    if not reader.is_tei:
        raise BadDocumentError("not TEI", "is XML of another kind than TEI; check the source's format")
    licence = " ".join(reader.lines["licence"])
    return Article(
        " ".join(reader.lines["title"]),
        reader.lines["abstract"],
        reader.lines["body"],
        licence if 0 < len(licence) <= MAX_LICENCE else None,
    )


@dataclass
class _Reader:
    """Follows the events; `place` is the part of the article that they are in."""

    is_tei: bool = False
    lines: dict[str, list[str]] = field(
        default_factory=lambda: {"title": [], "abstract": [], "body": [], "licence": []}
    )
    _path: list[str] = field(default_factory=list)
    _place: tuple[str, int] | None = None
    """Its name, and the depth at which it began."""
    _skipped_depth: int | None = None
    _pieces: list[str] = field(default_factory=list)

    def start(self, name: str, _attributes: dict[str, str], _line: int) -> None:
        """An element opens."""
        name = name.rpartition(" ")[2]
        if not self._path:
            self.is_tei = name in ("TEI", "teiCorpus", "TEI.2")
        self._path.append(name)
        if self._skipped_depth is not None:
            return
        if self._place is None:
            if place := self._opens():
                self._place = (place, len(self._path))
        elif name in _SKIPPED:
            self._skipped_depth = len(self._path)
            self._pieces.append(" ")
        elif name == "lb":
            self._pieces.append(" ")
        elif name not in _INLINE:
            self._flush()

    def end(self, name: str) -> None:
        """An element closes."""
        name = name.rpartition(" ")[2]
        depth = len(self._path)
        self._path.pop()
        if self._skipped_depth is not None:
            self._skipped_depth = None if depth == self._skipped_depth else self._skipped_depth
            return
        if self._place is None:
            return
        if depth == self._place[1]:
            self._flush()
            self._place = None
        elif name not in _INLINE:
            self._flush()

    def characters(self, text: str) -> None:
        """Text between tags."""
        if self._place is not None and self._skipped_depth is None:
            self._pieces.append(text)

    def _opens(self) -> str | None:
        """The part that begins with the element just opened."""
        match self._path[-2:]:
            case ["titleStmt", "title"] if "fileDesc" in self._path and not self.lines["title"]:
                return "title"
            case ["profileDesc", "abstract"]:
                return "abstract"
            case ["availability", "licence"] if not self.lines["licence"]:
                return "licence"
            case ["text", "body"]:
                return "body"
        return None

    def _flush(self) -> None:
        """End the line that stands."""
        line = " ".join("".join(self._pieces).split())
        self._pieces.clear()
        if line and self._place is not None:
            self.lines[self._place[0]].append(line)
