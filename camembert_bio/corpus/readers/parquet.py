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
from camembert_bio.corpus.readers.record import Block, lost
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """Row groups, cut by rows into even parts of 4 to 8 MB (decompressed, as the file's footer counts).

    A row group without a wanted part is not read. Memory: the column chunks' pages and `columns.BATCH_ROWS` rows.
    """
    for file in files:
        with _opened(file, source) as parquet:
            names = columns.needed(parquet.schema_arrow, source, str(file))
            first = 1
            for group in range(parquet.metadata.num_row_groups):
                part = _Group(parquet, group, first, names)
                for start, stop in part.cuts():
                    if blocks.is_wanted:
                        for batch, numbers in part.rows(start, stop):
                            places = [(f"{file} row {n}", numbered_id(n, file, source)) for n in numbers]
                            blocks.items += columns.items(batch, names, source, places)
                    yield from blocks.add(part.num_bytes * (stop - start) // max(part.num_rows, 1))
                first += part.num_rows


class _Group:
    """One row group, read forwards, and opened when the first of its rows is asked for."""

    def __init__(self, parquet: pq.ParquetFile, group: int, first: int, names: list[str]) -> None:
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
        self.num_bytes: int = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in names)

    def cuts(self) -> Iterator[tuple[int, int]]:
        """First row and the row after the last of each part."""
        num_parts = min(self.num_bytes // BLOCK_BYTES, self.num_rows) or 1
        for part in range(num_parts):
            yield self.num_rows * part // num_parts, self.num_rows * (part + 1) // num_parts

    def rows(self, start: int, stop: int) -> Iterator[tuple[Any, range]]:
        """Batches of the rows [start, stop) with their numbers in the file."""
        if self._batches is None:
            self._batches = self._parquet.iter_batches(columns.BATCH_ROWS, [self._group], columns=self._names)
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
