"""One shard: an uncompressed Arrow IPC stream with one record batch of whole documents.

Columns: `doc_id` (string) and `input_ids` (`list<uint16>`, or `list<uint32>` when the vocabulary
needs it), without special tokens. `datasets.Dataset.from_file`, pyarrow and DuckDB open it as it
is; memory-mapped, its token buffer is a numpy array without a copy.

Shape letters: D documents, T tokens of the shard.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from camembert_bio.errors import UserError

Ids = npt.NDArray[np.unsignedinteger[Any]]
_TOKENS = (pa.list_(pa.uint16()), pa.list_(pa.uint32()))


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """`uint16` when every id of the vocabulary fits, else `uint32`."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def write_shard(path: Path, doc_ids: Sequence[str], documents: Sequence[Ids], dtype: np.dtype[Any]) -> None:
    """Write documents (D arrays of ids, no special tokens) to `path` and flush it to the disk.

    The caller gives the file its place: write into a `files.atomic_folder`.
    """
    flat = np.concatenate(documents).astype(dtype, copy=False) if len(documents) else np.empty(0, dtype)
    write_tokens(path, doc_ids, flat, np.cumsum([0, *map(len, documents)]))


def write_tokens(path: Path, doc_ids: Sequence[str], flat: Ids, offsets: npt.NDArray[np.integer[Any]]) -> None:
    """`write_shard` of documents that stand one after the other in `flat` [T], at `offsets` [D + 1]; copies none."""
    offsets = offsets.astype(np.int32)
    table = pa.record_batch(
        {
            "doc_id": pa.array(list(doc_ids), pa.string()),
            "input_ids": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat)),
        }
    )
    with open(path, "wb") as file:
        with pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_batch(table)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class Shard:
    """A shard mapped into memory."""

    path: Path
    input_ids: Ids
    """The tokens of all documents, one after the other: [T], no copy."""
    offsets: npt.NDArray[np.int32]
    """Document d is `input_ids[offsets[d]:offsets[d + 1]]`: [D + 1]."""
    _doc_ids: Any
    _held: Any = None
    """What keeps the file where it is as long as this lives."""

    @property
    def doc_ids(self) -> list[str]:
        """The documents' ids: [D]. Builds a list at each call."""
        return list(self._doc_ids.to_pylist())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> Ids:
        """The ids of one document, no copy."""
        return self.input_ids[self.offsets[index] : self.offsets[index + 1]]


def open_shard(path: Path, held: Any = None) -> Shard:
    """Map a shard into memory. `held` lives as long as the shard, which the arrays taken from it may outlive.

    Raises `UserError` when the file is missing or is not a shard.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            batch = stream.read_next_batch()
        # Offsets and ids, not tokens: 1 ms for 100 MB of 100,000 documents.
        batch.validate(full=True)
        tokens, ids = batch.column("input_ids"), batch.column("doc_id")
        if ids.type != pa.string() or tokens.type not in _TOKENS:
            raise TypeError("columns of other types")
        if ids.null_count or tokens.null_count or tokens.values.null_count:
            raise ValueError("a value is missing")
        buffer, dtype = tokens.values.buffers()[1], tokens.values.type.to_pandas_dtype()
        flat = np.frombuffer(buffer, dtype, len(tokens.values)) if buffer is not None else np.empty(0, dtype)
        offsets = np.frombuffer(tokens.buffers()[1], np.int32, len(batch) + 1)
    except FileNotFoundError as error:
        raise UserError(f"shard {path} is missing; restore it or run prepare again") from error
    except (pa.ArrowException, LookupError, StopIteration, OSError, MemoryError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a readable shard; restore it or run prepare again") from error
    return Shard(path, flat[: offsets[-1]], offsets, ids, held)
