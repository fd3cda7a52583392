"""Hashes on the disk in buckets that are read alone: what keeps memory below a corpus' size.

A bucket is a range of hashes, so equal ones share a bucket. A file holds the buckets' bounds, int64 [num_buckets + 1],
and then the rows, uint64 [N, width], bucket by bucket: one bucket of one file is two reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camembert_bio.corpus.work import readable, write_bytes

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

NEVER = 0
"""A hash that stands for nothing: its row is left out."""


def partition(hashes: U64, num_buckets: int) -> tuple[I64, I64]:
    """The indices of the hashes, bucket by bucket and in order within each, and the buckets' bounds, [num_buckets + 1].

    `NEVER` is left out. At most 65,536 buckets. Memory: 28 bytes a hash.
    """
    indices = np.flatnonzero(hashes != NEVER)
    bucket = ((hashes[indices] >> np.uint64(32)) * np.uint64(num_buckets) >> np.uint64(32)).astype(np.uint16)
    order = np.argsort(bucket, kind="stable")
    bounds = np.searchsorted(bucket[order], np.arange(num_buckets + 1))
    return indices[order], bounds.astype(np.int64)


def write_rows(path: Path, rows: U64, bounds: I64) -> None:
    """Rows [N, width] that lie bucket by bucket already, with their bounds [num_buckets + 1]."""
    write_bytes(path, [bounds.astype("<i8").tobytes(), np.ascontiguousarray(rows, "<u8").data])


def write_partition(path: Path, rows: U64, num_buckets: int) -> None:
    """Rows [N, width] whose first column is the hash that decides on their bucket."""
    order, bounds = partition(rows[:, 0], num_buckets)
    write_rows(path, rows[order], bounds)


def read_bucket(paths: Iterable[Path], bucket: int, num_buckets: int, width: int) -> U64:
    """The rows of one bucket in all files, [N, width], in the files' order. Raises `RunError` on one that is cut."""
    parts = [np.empty((0, width), np.uint64)]
    for path in paths:
        with readable(path), open(path, "rb", buffering=0) as file:
            offset, row = 8 * (num_buckets + 1), 8 * width
            (num_rows,) = np.frombuffer(_read(file.fileno(), 8, offset - 8), "<i8").tolist()
            if os.fstat(file.fileno()).st_size != offset + num_rows * row:
                raise EOFError
            begin, end = np.frombuffer(_read(file.fileno(), 16, 8 * bucket), "<i8").tolist()
            rows = np.frombuffer(_read(file.fileno(), (end - begin) * row, offset + begin * row), "<u8")
            parts.append(rows.reshape(-1, width))
    return np.concatenate(parts)


def _read(descriptor: int, size: int, offset: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise EOFError
    return data
