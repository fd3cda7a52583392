"""Parquet: a few rows at a time, and only the columns of text, id and licence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from camembert_bio.corpus.readers import columns
from camembert_bio.corpus.readers.blocks import BLOCK_BYTES, Blocks
from camembert_bio.corpus.readers.names import numbered_id
from camembert_bio.corpus.readers.parquet_pages import largest_page
from camembert_bio.corpus.readers.record import Block, Document, Item, lost
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

_BATCH_BYTES = 1 << 26
_HELD_BYTES = 1 << 27


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """Row groups, cut by rows into even parts of 4 to 8 MB (decompressed, as the file's footer counts).

    A row group without a wanted part is not read. Memory: a page of each column and the texts of a part, each of
    `_max_held` at most, and 64 rows, or fewer that take 64 MB.
    """
    for file in files:
        with _opened(file, source) as parquet:
            names = columns.needed(parquet.schema_arrow, source, str(file))
            first = 1
            for group in range(parquet.metadata.num_row_groups):
                part = _Group(file, parquet, group, first, names, source)
                for start, stop in part.cuts():
                    if blocks.is_wanted:
                        blocks.items += part.items(start, stop)
                    yield from blocks.add(part.num_bytes * (stop - start) // max(part.num_rows, 1))
                first += part.num_rows


class _Group:
    """One row group, read forwards, and opened when the first of its rows is asked for."""

    def __init__(
        self, file: Path, parquet: pq.ParquetFile, group: int, first: int, names: list[str], source: Source
    ) -> None:
        self._file = file
        self._source = source
        self._parquet = parquet
        self._group = group
        self._first = first
        self._names = names
        self._batches: Iterator[Any] | None = None
        self._batch: Any = None
        self._batch_start = self._batch_stop = 0
        about = parquet.metadata.row_group(group)
        self.num_rows: int = about.num_rows
        chunks = [about.column(i) for i in range(about.num_columns)]
        self._chunks = [chunk for chunk in chunks if chunk.path_in_schema in names]
        self.num_bytes: int = sum(chunk.total_uncompressed_size for chunk in self._chunks)

    def cuts(self) -> Iterator[tuple[int, int]]:
        """First row and the row after the last of each part."""
        num_parts = min(self.num_bytes // BLOCK_BYTES, self.num_rows) or 1
        for part in range(num_parts):
            yield self.num_rows * part // num_parts, self.num_rows * (part + 1) // num_parts

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The records of the rows [start, stop)."""
        num_characters = 0
        for batch, numbers in self._rows(start, stop):
            places = [(f"{self._file} row {n}", numbered_id(n, self._file, self._source)) for n in numbers]
            for where, found in columns.items(batch, self._names, self._source, places):
                num_characters += len(found.text) if isinstance(found, Document) else 0
                if num_characters > _max_held(self._source):
                    raise UserError(
                        f"source {self._source.name!r}: rows {self._first + start} to {self._first + stop - 1} of "
                        f"{self._file} repeat texts, to over {_max_held(self._source) >> 20} MB where the file holds "
                        f"{self.num_bytes >> 20} MB for {self.num_rows} rows; write it again without dictionary"
                    )
                yield where, found

    def _rows(self, start: int, stop: int) -> Iterator[tuple[Any, range]]:
        """Batches of the rows [start, stop) with their numbers in the file."""
        if self._batches is None:
            self._batches = self._parquet.iter_batches(self._batch_rows(), [self._group], columns=self._names)
        while start < stop:
            while self._batch_stop <= start:
                self._batch = next(self._batches, None)
                if self._batch is None:
                    raise pa.ArrowInvalid("fewer rows than the footer counts")
                self._batch_start, self._batch_stop = self._batch_stop, self._batch_stop + len(self._batch)
            end = min(stop, self._batch_stop)
            numbers = range(self._first + start, self._first + end)
            yield self._batch.slice(start - self._batch_start, end - start), numbers
            start = end

    def _batch_rows(self) -> int:
        """Rows that together take 64 MB at most: no value is larger than the page, or the dictionary, it stands in.

        Raises `UserError` for a page that is too large to be held.
        """
        most = _max_held(self._source)
        largest = 1
        with open(self._file, "rb") as file:
            for chunk in self._chunks:
                num_bytes = largest_page(file, chunk)
                if num_bytes > most:
                    raise UserError(
                        f"source {self._source.name!r}: {self._file} has a page of {num_bytes >> 20} MB in column "
                        f"{chunk.path_in_schema!r}, over {most >> 20} MB, and a page is held as a whole; write the "
                        "file again with fewer rows a row group, or raise max_document_bytes"
                    )
                largest = max(largest, num_bytes)
        return max(1, min(columns.BATCH_ROWS, _BATCH_BYTES // min(largest, self._source.max_document_bytes)))


def _max_held(source: Source) -> int:
    """Bytes of a page, or of a part's texts, beyond which a file is refused: 128 MB, or four of the longest documents.

    A part is 8 MB, or a row, as the file holds it: only a dictionary makes more of it.
    """
    return max(_HELD_BYTES, 4 * source.max_document_bytes)


@contextmanager
def _opened(file: Path, source: Source) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as parquet:
            yield parquet
    except (pa.ArrowException, UnicodeDecodeError) as error:  # the latter: a column's name in a damaged footer
        raise UserError(
            f"{file} is not readable parquet ({type(error).__name__}): it is damaged or cut short; fetch it again"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise lost(source, file, error) from None
        raise UserError(
            f"source {source.name!r}: {file} cannot be read (damaged or cut short); check the file"
        ) from None
