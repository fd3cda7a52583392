"""A document as one record, of a JSONL file or of a dataset: its text and the character spans of its entities.

    {"id": "cas-12", "text": "Mal de tête", "spans": [{"start": 0, "end": 11, "label": "sosy"}]}

`id` is a string or a whole number. A discontinuous span has `fragments`, pairs of start and end, in place of `start`
and `end`, or beside those of the whole. Offsets count code points from 0, end exclusive. A span may repeat its `text`
(fragments joined by a space), which is then checked. Other keys are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels, check_text, checked_fragments
from camembert_bio.evaluation.documents import Document, Span

_LONGEST_ID = 200
"""Characters."""


def document_of(record: Mapping[str, Any], labels: Labels, where: str) -> Document:
    """The document of a record. Raises `UserError` that starts with `where` on what is not as above."""
    text, spans = record.get("text"), record.get("spans")
    if not isinstance(text, str) or not isinstance(spans, list):
        raise UserError(f"{where} has no text (a string) or no spans (a list); write both, spans empty where none is")
    check_text(text, where)
    found = {_span(span, text, labels, f"{where}, span {number}") for number, span in enumerate(spans, start=1)}
    return Document(document_id(record, where), text, tuple(sorted(span for span in found if span)), where)


def document_id(record: Mapping[str, Any], where: str) -> str:
    """The record's id as a string."""
    return checked_id(record.get("id"), where)


def checked_id(value: Any, where: str) -> str:
    """An id as a string. Raises `UserError` for what is neither a string nor a whole number, and for what is text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise UserError(f"{where} has no id; give each document a string or number of its own")
    name = str(value)
    if len(name) > _LONGEST_ID or len(name.splitlines()) > 1:
        raise UserError(
            f"{where} has an id of {len(name)} characters, which is longer than one line of {_LONGEST_ID}; is it text? "
            "Ids are written into results: name the column of the ids under columns"
        )
    return name


def _span(value: Any, text: str, labels: Labels, where: str) -> Span | None:
    """A record's span; None for one that the task drops."""
    value = value if isinstance(value, Mapping) else {}
    ends = (value.get("start"), value.get("end"))
    pairs = [ends] if value.get("fragments") is None else value["fragments"]
    label = value.get("label")
    are_pairs = isinstance(pairs, list) and pairs and all(map(_is_pair, pairs))
    if not isinstance(label, str) or not label or not are_pairs:
        raise UserError(f"{where} is not a span; write start and end (or fragments) as whole numbers, and a label")
    fragments = checked_fragments([(start, end) for start, end in pairs], text, where)
    if any(given not in (None, there) for given, there in zip(ends, (fragments[0][0], fragments[-1][1]), strict=True)):
        raise UserError(f"{where} has a start or end that is not that of its fragments; leave out one of the two")
    surface = value.get("text")
    if surface is not None and surface != " ".join(text[start:end] for start, end in pairs):
        raise UserError(f"{where}: the text at its offsets is not its own text; was the document's text changed?")
    return Span(fragments, label) if labels.keeps(label, where) else None


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(edge) is int for edge in value)
