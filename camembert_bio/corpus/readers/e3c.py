"""E3C (hltfbk/E3C-Corpus): layer 3 and the collection of all layers as JSON, layers 1 and 2 also as UIMA CAS XMI.

A JSON file holds `text`, `licence` and where it comes from. The annotated layers hold the same documents
under the same names (some texts corrected), without a licence; entities are not read here.
"""

from __future__ import annotations

from pathlib import Path

from camembert_bio import xmi
from camembert_bio.corpus.readers.jsonl import json_object
from camembert_bio.corpus.readers.one_file import Opener, Part
from camembert_bio.corpus.readers.record import BOM, BadDocumentError
from camembert_bio.safe_xml import XmlError


def parse(file: Path, opened: Opener) -> list[Part]:
    """The text of one JSON or XMI file, told by its first character."""
    data = opened(file).removeprefix(BOM)
    if data.lstrip()[:1] == b"<":
        return [Part(xmi_text(data))]
    record = json_object(data, "fetch the file again", whole_file=True)
    text, licence = record.get("text"), record.get("licence")
    if not isinstance(text, str):
        raise BadDocumentError("no text", "has no text in field 'text'; is it a file of E3C's data_collection?")
    return [Part(text, licence if isinstance(licence, str) else None)]


def xmi_text(data: bytes) -> str:
    """The text of a CAS; `BadDocumentError` for XML that is malformed or declares entities."""
    try:
        return xmi.read(data).text
    except XmlError as error:
        raise BadDocumentError("not XML", error.reason, error.line) from None
