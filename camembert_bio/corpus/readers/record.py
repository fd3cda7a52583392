"""What readers yield: a document, or why one could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

MAX_LICENCE = 100
"""Characters: the report shows a licence, so it must not be a text."""

MAX_ID = 100
"""Characters of an id that the quarantine shows: a longer one may be a text."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Document:
    """One text as its source holds it."""

    id: str
    """Unique within its source."""
    source: str
    text: str
    licence: str
    """The record's own where it states one, else the source's."""


@dataclass(frozen=True)
class Rejected:
    """One document that cannot be read; the rest of its source can. Holds no text."""

    where: str
    """File, and line, row or split where it has them."""
    reason: str
    """The fact, the value and the remedy: `where` and `reason` are one sentence."""
    kind: str
    """The fact in few words, to count by: `not UTF-8`."""
    id: str | None = None
    """`shown_id` of the document, where one could be read."""


class SourceLostError(UserError):
    """A source that cannot be read now, and may be later: what was read of it before stays good."""


def lost(source: Source, file: Path, error: OSError) -> SourceLostError:
    """What a file is told with that the system does not give."""
    return SourceLostError(
        f"source {source.name!r}: {file} cannot be read ({error.strerror}); check that it is there and readable"
    )


class BadDocumentError(Exception):
    """Raised by a reader for one document; becomes a `Rejected`."""

    def __init__(self, kind: str, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.line = line
        """From 1, where the reader was given a whole file."""

    def rejected(self, where: str, doc_id: str | None = None) -> Rejected:
        """With its place, and its id where one could be read."""
        place = where if self.line is None else f"{where} line {self.line}"
        return Rejected(place, self.reason, self.kind, None if doc_id is None else shown_id(doc_id))


Item = tuple[str, Document | Rejected]
"""Where it stands, for messages, and what was read there."""

Block = tuple[int, list[Item]]
"""The number of a block and what it holds."""


def decode(data: bytes, *, whole_file: bool = False) -> str:
    """UTF-8 bytes as text; `BadDocumentError` says which byte is not, and in a whole file which line."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if whole_file else None
        reason = f"is not UTF-8 (byte {error.start}); convert the file to UTF-8"
        raise BadDocumentError("not UTF-8", reason, line) from None


def refuse_nul(text: str) -> str:
    """The text, if at most one character in a hundred is NUL: with more the file is UTF-16, or no text.

    A few are what exports of fixed width leave; cleaning removes them as it does other control characters.
    """
    if text.count("\0") * 100 > len(text):
        raise BadDocumentError(
            "NUL bytes", f"holds {text.count(chr(0))} NUL bytes, as UTF-16 or no text does; convert it to UTF-8"
        )
    return text


def too_long(num_bytes: int, source: Source) -> BadDocumentError:
    """What a document over `max_document_bytes` is refused with."""
    return BadDocumentError(
        "too long",
        f"has {num_bytes} bytes or more, over max_document_bytes {source.max_document_bytes}; "
        "split it, or raise max_document_bytes",
    )


def document(record: Mapping[str, Any], source: Source, fallback_id: int | str) -> Document:
    """The document of a record: text, id and licence by the source's field names.

    `fallback_id` is taken where `id_field` is null. Raises `BadDocumentError`.
    """
    text = record.get(source.text_field)
    if not isinstance(text, str):
        raise BadDocumentError(
            "no text", f"has no text in field {source.text_field!r}; set text_field to the field that holds it"
        )
    doc_id = id_of(record, source, fallback_id)
    if doc_id is None:
        raise BadDocumentError(
            "no id",
            f"has no id in field {source.id_field!r}; set id_field to the field that holds it, "
            "or to null to use line numbers",
        )
    return made(doc_id, text, record.get("licence"), source)


def made(doc_id: str, text: str, own_licence: Any, source: Source) -> Document:
    """The document of every reader. Raises `BadDocumentError` as `refuse_nul` and `licence_of` do."""
    return Document(doc_id, source.name, refuse_nul(text), licence_of(own_licence, source))


def id_of(record: Mapping[str, Any], source: Source, fallback_id: int | str) -> str | None:
    """The id of a record, `fallback_id` where `id_field` is null; None where it has none that can be used."""
    doc_id = fallback_id if source.id_field is None else record.get(source.id_field)
    if isinstance(doc_id, bool) or not isinstance(doc_id, (str, int)) or not is_text(str(doc_id)):
        return None
    return str(doc_id)


def shown_id(doc_id: str) -> str | None:
    """An id as the quarantine shows it: None where it may be a text, for `id_field` may name the wrong field."""
    return doc_id if len(doc_id) <= MAX_ID and len(doc_id.splitlines()) == 1 else None


def licence_of(own: Any, source: Source) -> str:
    """A record's own licence where it states one, else the source's. Raises `BadDocumentError`."""
    if not isinstance(own, str) or not own:
        return source.licence
    if not is_text(own) or len(own) > MAX_LICENCE or len(own.splitlines()) > 1:
        raise BadDocumentError(
            "licence is a text",
            f"has a licence of {len(own)} characters; give one line of at most {MAX_LICENCE}, "
            "or remove the field 'licence'",
        )
    return own


def is_text(value: str) -> bool:
    """Whether a string has characters, and UTF-8 can write them (JSON can escape half a surrogate pair)."""
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False
