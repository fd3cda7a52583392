"""The table of windows: which segments of which documents stand together in one row of the model.

A window is `seq_length` ids: segments `<s> ids </s>` of one shard, so of one source, then padding.
The table is a pure function of (shards, seq_length, policy); `packing` states the policy.

Shape letters: W windows, N segments, S sources.
"""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camembert_bio import files
from camembert_bio.data.hashing import I64
from camembert_bio.data.tokens import in_turn
from camembert_bio.errors import UserError
from camembert_bio.shards import words
from camembert_bio.shards.manifest import TRAIN, WINDOWS, Corpus, ShardEntry
from camembert_bio.shards.packing import NUM_ADDED, POLICY, pack

logger = logging.getLogger(__name__)

I32 = npt.NDArray[np.int32]

_MIN_SEQ_LENGTH = 8
_MAX_SEQ_LENGTH = 1 << 16  # packing keeps a queue for each length


@dataclass(frozen=True)
class WindowTable:
    """The windows of a split, those of a source side by side, shards in the manifest's order by source."""

    seq_length: int
    sources: tuple[str, ...]
    source_offsets: I64
    """Windows of source s are `source_offsets[s]` to `source_offsets[s + 1]`: [S + 1]."""
    shard: I32
    """Index of each window's shard among `split_entries`: [W]."""
    offsets: I64
    """Segments of window w are `offsets[w]` to `offsets[w + 1]`: [W + 1]."""
    start: I32
    """Where each segment begins in its shard's `input_ids`: [N]."""
    length: I32
    """Tokens of each segment, without `<s>` and `</s>`: [N]."""

    def __len__(self) -> int:
        return len(self.shard)

    def source_of(self, windows: I64) -> I64:
        """Index of each window's source, -1 where the window is negative."""
        return np.searchsorted(self.source_offsets, windows, side="right") - 1

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows, `<s>` and `</s>` counted, padding not."""
        return int(self.length.sum(dtype=np.int64)) + NUM_ADDED * len(self.length)

    @property
    def fill(self) -> float:
        """Share of the windows' positions that are not padding."""
        return self.num_tokens / (len(self) * self.seq_length)


def split_entries(corpus: Corpus, split: str) -> list[tuple[str, ShardEntry]]:
    """(source, shard) of a split, sources by name: the order in which tables number the shards."""
    return sorted(corpus.manifest.shards(split), key=lambda pair: pair[0])


def load_windows(corpus: Corpus, split: str, seq_length: int) -> WindowTable:
    """The table of windows, from the cache beside the shards (of this node, for a corpus at an address) or built
    and cached there.

    A cache that cannot be read, or that points outside the shards, is built again, one that cannot be
    written is done without. Any number of ranks may call it at once; of a corpus in a folder they would all build,
    so let one go first.
    """
    name = files.sha256_json([corpus.manifest.hash, split, seq_length, POLICY])[:16]
    path = corpus.folder / WINDOWS / f"{split}-{seq_length}-{name}.npz"
    with corpus.alone():
        table = _read(path)
        if table is not None and not _fits(table, corpus, split, seq_length):
            logger.warning("%s does not describe the shards and is built again", path)
            table = None
        if table is None:
            if corpus.cache:
                sizes = [entry.bytes for _, entry in split_entries(corpus, split)]
                told = corpus.place, len(sizes), f"{sum(sizes):,}", seq_length
                logger.info("%s: reading %d shard(s), %s bytes, once, for windows of %d", *told)
            table = build_windows(corpus, split, seq_length)
            try:
                files.write_atomic(path, _to_npz(table))
            except OSError as error:
                logger.warning("%s is not cached (%s): every start builds it again", path, type(error).__name__)
    return table


def _to_npz(table: WindowTable) -> bytes:
    arrays: dict[str, Any] = {field.name: np.asarray(getattr(table, field.name)) for field in fields(table)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read(path: Path) -> WindowTable | None:
    """A cached table, or None when there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {field.name: stored[field.name] for field in fields(WindowTable)}
        values["seq_length"] = int(values["seq_length"])
        values["sources"] = tuple(values["sources"].tolist())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        logger.warning("%s is not readable (%s) and is built again", path, type(error).__name__)
        return None
    return WindowTable(**values)


def _fits(table: WindowTable, corpus: Corpus, split: str, seq_length: int) -> bool:
    """Whether each segment lies inside its shard, and each window inside the table and `seq_length`."""
    arrays = (table.source_offsets, table.shard, table.offsets, table.start, table.length)
    if table.seq_length != seq_length or any(array.ndim != 1 or array.dtype.kind != "i" for array in arrays):
        return False
    counts = [len(table.sources), len(table.shard), len(table.start)]
    if [len(table.source_offsets) - 1, len(table.offsets) - 1, len(table.length)] != counts or not all(counts):
        return False
    for offsets, end in ((table.source_offsets, len(table)), (table.offsets, len(table.start))):
        if offsets[0] != 0 or offsets[-1] != end or np.any(np.diff(offsets) < 1):
            return False
    sizes = np.array([entry.tokens for _, entry in split_entries(corpus, split)])
    if table.shard.min() < 0 or table.shard.max() >= len(sizes) or table.start.min() < 0 or table.length.min() < 1:
        return False
    room = sizes[np.repeat(table.shard, np.diff(table.offsets))] - table.start
    used = np.add.reduceat(table.length.astype(np.int64) + NUM_ADDED, table.offsets[:-1])
    return bool(np.all(table.length <= room) and used.max() <= seq_length)


def build_windows(corpus: Corpus, split: str, seq_length: int) -> WindowTable:
    """The table of windows of a split, by the policy of this module.

    Raises `UserError` when `seq_length` is below 8 or above 65,536, when the split has no windows, or when a source
    has none to train on.
    """
    if seq_length < _MIN_SEQ_LENGTH:
        raise UserError(f"seq_length {seq_length} is too short for a window; use {_MIN_SEQ_LENGTH} or more")
    if seq_length > _MAX_SEQ_LENGTH:
        raise UserError(f"seq_length {seq_length} is too long for a window; use {_MAX_SEQ_LENGTH} or less")
    kinds = words.kinds_of(corpus.vocabulary)
    counts: dict[str, int] = dict.fromkeys(corpus.manifest.sources, 0) if split == TRAIN else {}
    shard_of: list[int] = []
    num_segments: list[int] = []
    segments: list[I32] = []
    entries = split_entries(corpus, split)
    packed = in_turn(corpus, [entry for _, entry in entries], lambda shard: list(pack(shard, kinds, seq_length)))
    for index, ((source, _), windows) in enumerate(zip(entries, packed, strict=True)):
        counts[source] = counts.get(source, 0) + len(windows)
        shard_of += [index] * len(windows)
        num_segments += [len(window) for window in windows]
        segments.append(np.array([segment for window in windows for segment in window], np.int32).reshape(-1, 2))
    if not num_segments:
        raise UserError(f"{corpus.place} has no windows in its split {split!r}: it holds no tokens; run prepare again")
    if empty := [source for source, count in counts.items() if count == 0 and split == TRAIN]:
        raise UserError(
            f"{corpus.place} has no windows of {', '.join(sorted(empty))} in its split {split!r};"
            " take the source out of prepare's recipe or give it documents"
        )
    sources = sorted(source for source, count in counts.items() if count)
    start, length = np.ascontiguousarray(np.concatenate(segments).T)
    return WindowTable(
        seq_length=seq_length,
        sources=tuple(sources),
        source_offsets=_offsets([counts[source] for source in sources]),
        shard=np.array(shard_of, np.int32),
        offsets=_offsets(num_segments),
        start=start,
        length=length,
    )


def _offsets(counts: list[int]) -> I64:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
