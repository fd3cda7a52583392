"""JSONL: one record a line; empty lines are skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.names import numbered_id
from camembert_bio.corpus.readers.record import BOM, BadDocumentError, Block, Item, decode, document, id_of, too_long
from camembert_bio.corpus.readers.streams import opened, segment
from camembert_bio.corpus.recipe import Source


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """The wanted blocks; of the others, lines are counted and nothing is parsed."""
    for file in files:
        number = 1
        with opened(file, source) as stream:
            while (part := segment(stream, blocks.room, source.max_document_bytes)).num_bytes:
                num_lines = part.data.count(b"\n")
                if blocks.is_wanted:
                    blocks.items += _items(part.data, number, file, source)
                    if part.cut_bytes:
                        where = f"{file} line {number + num_lines}"
                        blocks.items.append((where, too_long(part.cut_bytes, source).rejected(where)))
                number += num_lines + (1 if part.cut_bytes else 0)
                yield from blocks.add(part.num_bytes)


def json_object(data: bytes, remedy: str = "mend or remove the line", *, whole_file: bool = False) -> dict[str, Any]:
    """The mapping that JSON in UTF-8 holds; `BadDocumentError` without any of its text."""
    text = decode(data, whole_file=whole_file)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        line = error.lineno if whole_file and isinstance(error, json.JSONDecodeError) else None
        raise BadDocumentError("not JSON", f"is not valid JSON{place}; {remedy}", line) from None
    if not isinstance(record, dict):
        raise BadDocumentError(
            "not a JSON object", f"holds a JSON {type(record).__name__}, not an object; write one object a line"
        )
    return record


def _items(data: bytes, number: int, file: Path, source: Source) -> Iterator[Item]:
    """The records of whole lines, the first of which has this number."""
    for position, line in enumerate(data.split(b"\n"), number):
        if not line or line.isspace():
            continue
        where, record = f"{file} line {position}", {}
        fallback_id = numbered_id(position, file, source)
        try:
            if len(line) > source.max_document_bytes:
                raise too_long(len(line), source)
            record = json_object(line.removeprefix(BOM) if position == 1 else line)
            yield where, document(record, source, fallback_id)
        except BadDocumentError as error:
            yield where, error.rejected(where, id_of(record, source, fallback_id))
