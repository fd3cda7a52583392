"""Rows with named columns: CSV, TSV, JSON, JSONL, Parquet, and what the library `datasets` saves or loads.

Numbers that stand for classes (`ClassLabel`, in Parquet too where the hub wrote it) are given as the classes' names.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora import jsonl
from camembert_bio.evaluation.corpora.annotation import found_files, read_text
from camembert_bio.evaluation.corpora.saved_datasets import splits
from camembert_bio.evaluation.recipe import Format

Row = tuple[str, str, dict[str, Any]]
"""Where a row stands, what it is called where it has no id of its own, and its values by column."""
Rename = Callable[[Any], Any]


def read_rows(kind: Format, path: Path) -> Iterator[Row]:
    """The rows of a file, of every such file below a folder, or of a dataset.

    Raises `UserError` naming file and row on what is malformed.
    """
    if kind == "datasets":
        for place, prefix, rows in splits(path):
            named = _class_names(rows.features)
            for number, row in enumerate(rows, start=1):
                yield f"{place}, row {number}", f"{prefix}{number}", _renamed(row, named)
        return
    found = found_files(path, (f".{kind}",))
    for name, file in found:
        for number, (where, row) in enumerate(_READERS[kind](file), start=1):
            yield where, f"{name}-{number}" if len(found) > 1 else str(number), row


def _delimited(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Quotes as spreadsheets and pandas write them; a field may hold line ends."""
    text = read_text(path).removeprefix("\ufeff")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}, line {number} holds a NUL character; take it out, or convert the file to UTF-8")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # of the process
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    first = 1
    while True:
        where = f"{path}, line {first}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{where} has a quoted field that does not end; double the quotes inside a field"
            ) from error
        if names is None:
            names = row
            if len(set(names)) < len(names):
                raise UserError(f"{where} names a column twice; give each its own name")
        elif row:
            if len(row) != len(names):
                raise UserError(
                    f"{where} has {len(row)} fields, and line 1 names {len(names)} columns; quote fields that hold "
                    "the separator or a line end"
                )
            yield where, dict(zip(names, row, strict=True))
        first = reader.line_num + 1


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fields between commas, or semicolons where the first line has more of them."""
    header = re.split("[\r\n]", read_text(path), maxsplit=1)[0]
    return _delimited(path, ";" if header.count(";") > header.count(",") else ",")


def _tsv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    return _delimited(path, "\t")


def _json(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of one list."""
    try:
        rows = json.loads(read_text(path).removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{path} is not valid JSON{place}; mend it, or give jsonl for an object a line") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is not a list of JSON objects; write [{{...}}, {{...}}], or give jsonl")
    for number, row in enumerate(rows, start=1):
        yield f"{path}, object {number}", row


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not readable Parquet ({type(error).__name__}); fetch it again") from error
    named: dict[str, Rename] = {}
    if b"huggingface" in (table.schema.metadata or {}):
        import datasets  # takes a second

        named = _class_names(datasets.Features.from_arrow_schema(table.schema))
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path}, row {number}", _renamed(row, named)


_READERS: dict[Format, Callable[[Path], Iterator[tuple[str, dict[str, Any]]]]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": jsonl.records,
    "parquet": _parquet,
    "tsv": _tsv,
}


def _class_names(features: Mapping[str, Any]) -> dict[str, Rename]:
    """For each column of classes, or of lists of them, what makes names of its numbers."""
    import datasets

    found: dict[str, Rename] = {}
    for name, feature in features.items():
        inner = feature.feature if isinstance(feature, (datasets.List, datasets.LargeList)) else feature
        if isinstance(inner, datasets.ClassLabel):
            found[name] = _namer(inner.names)
    return found


def _namer(names: list[str]) -> Rename:
    """Names for numbers; -1, which means no class, and null stay."""

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(each) for each in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    return rename


def _renamed(row: dict[str, Any], named: Mapping[str, Rename]) -> dict[str, Any]:
    return {name: named[name](value) if name in named else value for name, value in row.items()}
