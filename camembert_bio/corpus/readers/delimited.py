"""CSV and TSV: the first line names the columns; quotes as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.names import numbered_id
from camembert_bio.corpus.readers.quotes import Quotes
from camembert_bio.corpus.readers.record import (
    BadDocumentError,
    Block,
    Document,
    Rejected,
    document,
    id_of,
    is_text,
    too_long,
)
from camembert_bio.corpus.readers.streams import opened
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError


def read_csv(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """Fields between commas, or semicolons where the first line has more of them."""
    return _read(source, files, blocks, None)


def read_tsv(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """Fields between tabs."""
    return _read(source, files, blocks, "\t")


def _read(source: Source, files: list[Path], blocks: Blocks, delimiter: str | None) -> Iterator[Block]:
    """A record may span lines, so where it ends is found by csv itself; no document is made of an unwanted one."""
    csv.field_size_limit(max(csv.field_size_limit(), source.max_document_bytes))  # of the process; _Lines bounds
    for file in files:
        with opened(file, source) as stream:
            lines = _Lines(stream, file, source)
            columns = _columns(lines, file, source, delimiter)
            lines.delimiter, lines.num_fields = columns.delimiter, len(columns.names)
            rows = csv.reader(lines, delimiter=columns.delimiter, strict=True)
            while True:
                first = lines.number + 1
                where = f"{file} line {first}"
                try:
                    row = next(rows)
                    if row and blocks.is_wanted:
                        fallback_id = numbered_id(first, file, source)
                        blocks.items.append((where, _read_row(row, columns.names, source, fallback_id, where)))
                except StopIteration:
                    break
                except csv.Error:
                    lines.skip_record()
                    if blocks.is_wanted:
                        blocks.items.append((where, _BROKEN.rejected(where)))
                except BadDocumentError as error:
                    if blocks.is_wanted:
                        blocks.items.append((where, error.rejected(where)))
                yield from blocks.add(lines.take_size())


_BROKEN = BadDocumentError("broken row", "has text after the end of a quoted field; double the quotes inside a field")


class _Columns(NamedTuple):
    names: list[str]
    delimiter: str


class _Lines:
    """The lines of a stream as text for csv, no record of them over `max_document_bytes`."""

    def __init__(self, stream: IO[bytes], file: Path, source: Source) -> None:
        self._stream = stream
        self._file = file
        self._source = source
        self._record: list[bytes] = []
        self._size = 0
        self.number = 0
        """Of the line last read, from 1."""
        self.delimiter = ","
        self.num_fields = 0
        """Of line 1."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        most = self._source.max_document_bytes + 2  # the line's end
        line = self._stream.readline(most + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._record.append(line)
        self._size += len(line)
        if self._size > most:
            self.skip_record()
            raise too_long(self._size, self._source)
        # A byte that is not UTF-8 is found in the field that it spoils.
        return line.decode(errors="surrogateescape")

    def take_size(self) -> int:
        """Bytes read since the last call: those of a record."""
        size, self._size = self._size, 0
        self._record.clear()
        return size

    def skip_record(self) -> None:
        """Read to the end of a record that csv does not read; `UserError` where that end is not certain."""
        quotes = Quotes(self.delimiter)
        first = self.number - len(self._record) + 1
        piece = b""
        for number, piece in enumerate(self._record, first):
            quotes.feed(piece, number)
        while quotes.is_open or not piece.endswith(b"\n"):
            is_next = piece.endswith(b"\n")
            piece = self._stream.readline(_READ)
            if not piece:
                quotes.end()
                break
            self.number += is_next
            self._size += len(piece)
            quotes.feed(piece, self.number)
        if not _is_certain(quotes, self.number == first, self.num_fields):
            until = "by the end of the file" if quotes.is_open else "where its row does"
            raise UserError(
                f"source {self._source.name!r}: {self._file} line {quotes.opened or first} opens a quoted field that "
                f"does not end {until}, so which rows follow is not certain; close it, or double the quotes inside it"
            )


_READ = 1 << 20


def _is_certain(quotes: Quotes, is_one_line: bool, num_fields: int) -> bool:
    """Whether a record ends where its quotes say: one line with quotes in pairs, or several with the right fields."""
    if is_one_line:
        return not quotes.is_open and (not quotes.is_broken or quotes.num_quotes % 2 == 0)
    return not quotes.is_open and not quotes.is_broken and quotes.num_fields == num_fields


def _columns(lines: _Lines, file: Path, source: Source, delimiter: str | None) -> _Columns:
    """The first line; `UserError`, which never shows it, when it does not name the columns that are read."""
    header = ""
    try:
        header = next(lines, "").removeprefix("\ufeff")
        delimiter = delimiter or (";" if header.count(";") > header.count(",") else ",")
        names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except (csv.Error, BadDocumentError):
        names = []
    lines.take_size()
    if "\0" in header:
        raise UserError(
            f"source {source.name!r}: {file} line 1 holds NUL bytes, as UTF-16 does; convert the file to UTF-8"
        )
    if header_needed := [name for name in (source.text_field, source.id_field) if name and names.count(name) != 1]:
        fields = "text_field" if source.text_field in header_needed else "id_field"
        remedy = "" if fields == "text_field" else ", or id_field to null to use line numbers"
        raise UserError(
            f"source {source.name!r}: {file} line 1 does not name one column {header_needed[0]!r} "
            f"(it names {len(names)} columns); set {fields} to a column's name{remedy}"
        )
    return _Columns(names, delimiter or ",")


def _read_row(
    row: list[str], names: list[str], source: Source, fallback_id: int | str, where: str
) -> Document | Rejected:
    record = dict(zip(names, row, strict=True)) if len(row) == len(names) else {}
    try:
        if not record:
            reason = f"has {len(row)} fields, and line 1 names {len(names)}; "
            raise BadDocumentError("broken row", f"{reason}quote fields that hold the separator or a line end")
        found = document(record, source, fallback_id)
        if found.text and not is_text(found.text):
            raise BadDocumentError("not UTF-8", "is not UTF-8; convert the file to UTF-8")
        return found
    except BadDocumentError as error:
        return error.rejected(where, id_of(record, source, fallback_id))
