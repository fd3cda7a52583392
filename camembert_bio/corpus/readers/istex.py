"""ISTEX: a folder of downloads, each document as TEI (`.tei`, `.tei.xml`, `.xml`), as text, or both.

Files of one document have one name and differ in suffix, as ISTEX's tools write them: `ID.tei`, `ID.txt` or
`ID.cleaned` (text from OCR or PDF), `ID.json` (metadata: `licence`, or `host.licence`, where someone added it;
ISTEX itself states licences in the TEI). TEI is preferred, except where it holds no body and a text is there.
The downloads need an account of a French institution; none was at hand: the layout is that of doc.istex.fr and of
istex-api-harvester, the TEI that of the stylesheets which ISTEX publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camembert_bio.corpus.readers import one_file, tei
from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.jsonl import json_object
from camembert_bio.corpus.readers.names import document_id
from camembert_bio.corpus.readers.one_file import Opener, Part
from camembert_bio.corpus.readers.record import BOM, BadDocumentError, Block
from camembert_bio.corpus.readers.text import plain
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """A document is read where the first of its files stands in the order of the paths."""
    groups: dict[str, dict[str, Path]] = {}
    for file in files:
        groups.setdefault(document_id(file, source), {}).setdefault(_kind(file), file)
    first = {(group.get("tei") or group["text"]): group for group in groups.values() if group.keys() & {"tei", "text"}}
    if not first:
        raise UserError(f"source {source.name!r}: {source.path} holds metadata alone; download TEI or text beside it")
    return one_file.read(source, list(first), blocks, lambda file, opened: [_document(first[file], opened)])


def _document(group: dict[str, Path], opened: Opener) -> Part:
    article = tei.read(opened(group["tei"])) if "tei" in group else None
    licence = article.licence if article else None
    if article and (article.body or "text" not in group):
        text = article.text
        if not text:
            raise BadDocumentError("no text", "has no title, abstract or body; download its text beside it")
    else:
        text = plain(opened(group["text"]))
    if licence is None and "json" in group:
        licence = _licence(json_object(opened(group["json"]).removeprefix(BOM), "fetch it again", whole_file=True))
    return Part(text, licence)


def _licence(metadata: dict[str, Any]) -> str | None:
    host = metadata.get("host")
    for holder in (metadata, host if isinstance(host, dict) else {}):
        if isinstance(holder.get("licence"), str):
            return str(holder["licence"])
    return None


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if ".json" in suffixes[-2:]:
        return "json"
    return "text" if {".txt", ".cleaned"} & set(suffixes[-2:]) else "tei"
