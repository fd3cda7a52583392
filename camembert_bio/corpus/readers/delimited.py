"""CSV and TSV: the first line names the columns; quotes as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.compression import Progress
from camembert_bio.corpus.readers.names import numbered_id
from camembert_bio.corpus.readers.record import (
    BadDocumentError,
    Block,
    Document,
    document,
    is_text,
    refuse_nul,
    too_long,
)
from camembert_bio.corpus.readers.streams import opened, skip_line
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError


def read_csv(source: Source, files: list[Path], blocks: Blocks, progress: Progress) -> Iterator[Block]:
    """Fields between commas, or semicolons where the first line has more of them."""
    return _read(source, files, blocks, progress, None)


def read_tsv(source: Source, files: list[Path], blocks: Blocks, progress: Progress) -> Iterator[Block]:
    """Fields between tabs."""
    return _read(source, files, blocks, progress, "\t")


def _read(
    source: Source, files: list[Path], blocks: Blocks, progress: Progress, delimiter: str | None
) -> Iterator[Block]:
    """A record may span lines, so where it ends is found by csv itself; no document is made of an unwanted one."""
    csv.field_size_limit(max(csv.field_size_limit(), source.max_document_bytes))  # of the process; _Lines bounds
    for file in files:
        with opened(file, source, progress) as stream:
            lines = _Lines(stream, source)
            columns = _columns(lines, file, source, delimiter)
            rows = csv.reader(lines, delimiter=delimiter or columns.delimiter, strict=True)
            while True:
                first = lines.number + 1
                where = f"{file} line {first}"
                try:
                    row = next(rows)
                    if row and blocks.is_wanted:
                        found = _document(row, columns.names, source, numbered_id(first, file, source))
                        blocks.items.append((where, found))
                except StopIteration:
                    break
                except csv.Error:
                    if blocks.is_wanted:
                        blocks.items.append((where, _BROKEN.rejected(where)))
                except BadDocumentError as error:
                    if blocks.is_wanted:
                        blocks.items.append((where, error.rejected(where)))
                yield from blocks.add(lines.take_size())


_BROKEN = BadDocumentError("broken row", "has a quoted field that does not end; double the quotes inside a field")


class _Lines:
    """The lines of a stream as text for csv, no record of them over `max_document_bytes`."""

    def __init__(self, stream: IO[bytes], source: Source) -> None:
        self._stream = stream
        self._source = source
        self._size = 0
        self.number = 0
        """Of the line last read, from 1."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        limit = self._source.max_document_bytes
        line = self._stream.readline(limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if len(line) > limit and not line.endswith(b"\n"):
            self._size += skip_line(self._stream)
        if self._size > limit + 2:  # the line's end
            raise too_long(self._size, self._source)
        # A byte that is not UTF-8 is found in the field that it spoils.
        return line.decode(errors="surrogateescape")

    def take_size(self) -> int:
        """Bytes read since the last call."""
        size, self._size = self._size, 0
        return size


class _Columns:
    def __init__(self, names: list[str], delimiter: str) -> None:
        self.names = names
        self.delimiter = delimiter


def _columns(lines: _Lines, file: Path, source: Source, delimiter: str | None) -> _Columns:
    """The first line; `UserError`, which never shows it, when it does not name the columns that are read."""
    try:
        header = next(lines, "").removeprefix("\ufeff")
        delimiter = delimiter or (";" if header.count(";") > header.count(",") else ",")
        names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except (csv.Error, BadDocumentError):
        names = []
    lines.take_size()
    if header_needed := [name for name in (source.text_field, source.id_field) if name and names.count(name) != 1]:
        fields = "text_field" if source.text_field in header_needed else "id_field"
        remedy = "" if fields == "text_field" else ", or id_field to null to use line numbers"
        raise UserError(
            f"source {source.name!r}: {file} line 1 does not name one column {header_needed[0]!r} "
            f"(it names {len(names)} columns); set {fields} to a column's name{remedy}"
        )
    return _Columns(names, delimiter or ",")


def _document(row: list[str], names: list[str], source: Source, fallback_id: int | str) -> Document:
    if len(row) != len(names):
        raise BadDocumentError(
            "broken row",
            f"has {len(row)} fields, and line 1 names {len(names)}; quote fields that hold the separator or a line end",
        )
    found = document(dict(zip(names, row, strict=True)), source, fallback_id)
    if found.text and not is_text(found.text):
        raise BadDocumentError("not UTF-8", "is not UTF-8; convert the file to UTF-8")
    refuse_nul(found.text)
    return found
