"""Records from Arrow columns: what parquet files and saved datasets share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from camembert_bio.corpus.readers.record import BadDocumentError, Item, document, id_of, too_long
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

BATCH_ROWS = 64
"""Rows decoded at a time, or fewer: all of them stand in memory."""


def needed(schema: pa.Schema, source: Source, where: str) -> list[str]:
    """The columns to read, the id's first; `UserError` when the text's or the id's is missing or of another type."""
    for field, name in (("text_field", source.text_field), ("id_field", source.id_field)):
        if name is not None and not any(entry.name == name and _fits(entry.type, field) for entry in schema):
            remedy = "" if field == "text_field" else ", or to null to use row numbers"
            raise UserError(
                f"source {source.name!r}: {where} has no column {name!r} of {'text' if not remedy else 'ids'} "
                f"(its columns: {', '.join(schema.names[:20])}); set {field} to the one that holds it{remedy}"
            )
        if schema.names.count(name) > 1:
            raise UserError(
                f"source {source.name!r}: {where} has {schema.names.count(name)} columns {name!r}; write it again with "
                f"one, or set {field} to another"
            )
    names = [source.id_field, source.text_field, "licence" if schema.names.count("licence") == 1 else None]
    return list(dict.fromkeys(name for name in names if name is not None))


def items(batch: Any, names: list[str], source: Source, places: list[tuple[str, int | str]]) -> Iterator[Item]:
    """The records of a batch; `places` holds where each stands, and its id if it has none of its own."""
    columns = [batch.column(name) for name in names]
    for row, (where, fallback_id) in enumerate(places):
        record: dict[str, Any] = {}
        try:
            for name, column in zip(names, columns, strict=True):
                if name == source.text_field and (size := _num_bytes(column[row])) > source.max_document_bytes:
                    raise too_long(size, source)
                record[name] = _value(column[row])
            yield where, document(record, source, fallback_id)
        except BadDocumentError as error:
            yield where, error.rejected(where, id_of(record, source, fallback_id))


def _num_bytes(scalar: Any) -> int:
    """The size of a text before it becomes one."""
    buffer = (scalar.value if isinstance(scalar, pa.DictionaryScalar) else scalar).as_buffer()
    return 0 if buffer is None else int(buffer.size)


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:  # Arrow's readers do not look
        raise BadDocumentError("not UTF-8", "is not UTF-8; write the column again as UTF-8") from None


def _fits(kind: pa.DataType, field: str) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return is_string or (field == "id_field" and pa.types.is_integer(kind))
