"""JSON: one list of records a file, as FrenchMedMCQA is published. A file is held as a whole: large ones are JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.names import numbered_id
from camembert_bio.corpus.readers.one_file import size_of
from camembert_bio.corpus.readers.record import BOM, BadDocumentError, Block, Item, decode, document, id_of
from camembert_bio.corpus.readers.streams import whole
from camembert_bio.corpus.recipe import Source


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """The records of the wanted blocks, in the files' order; a file of over `max_document_bytes` is refused."""
    for file in files:
        size = size_of(file, source)
        if blocks.is_wanted:
            blocks.items += _items(file, source)
        yield from blocks.add(max(size, 1))


def _items(file: Path, source: Source) -> Iterator[Item]:
    try:
        records = _records(whole(file, source).removeprefix(BOM))
    except BadDocumentError as error:
        yield str(file), error.rejected(str(file))
        return
    for number, record in enumerate(records, 1):
        where = f"{file} record {number}"
        fallback_id = numbered_id(number, file, source)
        try:
            if not isinstance(record, dict):
                reason = f"is a JSON {type(record).__name__}, not an object; give each record its fields' names"
                raise BadDocumentError("not a JSON object", reason)
            yield where, document(record, source, fallback_id)
        except BadDocumentError as error:
            known = record if isinstance(record, dict) else {}
            yield where, error.rejected(where, id_of(known, source, fallback_id))


def _records(data: bytes) -> list[Any]:
    """The list; `BadDocumentError` without any of its text."""
    text = decode(data, whole_file=True)
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise BadDocumentError("not JSON", "is not valid JSON; fetch it again, or set format to jsonl", line) from None
    if not isinstance(records, list):
        raise BadDocumentError(
            "not a JSON list", f"holds a JSON {type(records).__name__}, not a list of records; set another format"
        )
    return records
