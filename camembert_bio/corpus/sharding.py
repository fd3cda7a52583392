"""The last phase: tokens to shards of a bounded size, cut by the coordinator and written by the workers.

A shard holds at most `shard_bytes` bytes of tokens and `MAX_DOCUMENTS` documents, or one document. Memory: of the
coordinator a few bytes a shard; of a worker one shard and a block of tokens; then a
shard's first 8 million tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from camembert_bio import files
from camembert_bio.corpus.layout import TOKENS, layout_of
from camembert_bio.corpus.partitions import I64
from camembert_bio.corpus.work import Block, Job, read_arrays, read_table
from camembert_bio.shards import words
from camembert_bio.shards.format import open_shard, write_tokens
from camembert_bio.shards.manifest import TRAIN, VALIDATION, VOCABULARY, ShardEntry, Split
from camembert_bio.shards.packing import NUM_ADDED, REFERENCE_LENGTH, pack
from camembert_bio.shards.vocabulary import load_vocabulary

MAX_DOCUMENTS = 1 << 20
"""Of one shard: its ids and offsets take about 100 MB then."""

_COUNTED_TOKENS = 8_000_000


@dataclass
class Cut:
    """The documents of one shard."""

    source: int
    split: str
    path: str
    """Below the corpus folder."""
    runs: list[tuple[Block, int, int]] = field(default_factory=list)
    """Of each block the documents begin : end, counted among those of the split."""
    documents: int = 0
    tokens: int = 0
    words: int = 0


@dataclass(frozen=True)
class Written:
    """A shard on the disk."""

    cut: Cut
    entry: ShardEntry
    num_windows: int
    """Of `REFERENCE_LENGTH` positions each."""
    num_positions: int
    """Of those, that hold a token, `<s>` or `</s>`."""


def cuts(job: Job, source: int, split: str, dtype: np.dtype[np.unsignedinteger]) -> Iterator[Cut]:
    """The shards of one source and split, in order; none where it holds no document."""
    room = max(1, job.recipe.shard_bytes // dtype.itemsize)
    name = f"{job.recipe.sources[source].name}/{split}"
    number = 0
    cut = Cut(source, split, f"{name}-{number:05d}.arrow")
    for block in layout_of(job).blocks:
        if block.source != source:
            continue
        arrays = read_arrays(job.path(TOKENS, block, ".npz"))
        mine = arrays["held_out"] == (split == VALIDATION)
        lengths, num_words = arrays["lengths"][mine], arrays["words"][mine]
        begin = 0
        while begin < len(lengths):
            count = _fitting(lengths[begin:], room - cut.tokens, MAX_DOCUMENTS - cut.documents)
            if not count and cut.documents:
                yield cut
                number += 1
                cut = Cut(source, split, f"{name}-{number:05d}.arrow")
                continue
            end = begin + max(1, count)
            cut.runs.append((block, begin, end))
            cut.documents += end - begin
            cut.tokens += int(lengths[begin:end].sum())
            cut.words += int(num_words[begin:end].sum())
            begin = end
    if cut.documents:
        yield cut


def write(job: Job, folder: Path, dtype: np.dtype[np.unsignedinteger], cut: Cut) -> Written:
    """Write one shard below a corpus folder that has its vocabulary."""
    path = folder / cut.path
    _write_tokens(job, path, dtype, cut)
    entry = ShardEntry(cut.path, cut.documents, cut.tokens, path.stat().st_size, files.sha256_file(path))
    return Written(cut, entry, *_windows(path, folder / VOCABULARY))


def _write_tokens(job: Job, path: Path, dtype: np.dtype[np.unsignedinteger], cut: Cut) -> None:
    """Collect the tokens of a shard from its blocks, and write them."""
    tokens = np.empty(cut.tokens, dtype)
    doc_ids: list[str] = []
    offsets = [np.zeros(1, np.int64)]
    filled = 0
    for block, begin, end in cut.runs:
        held_out = read_arrays(job.path(TOKENS, block, ".npz"), "held_out")["held_out"]
        rows = np.flatnonzero(held_out == (cut.split == VALIDATION))[begin:end]
        table = read_table(job.path(TOKENS, block, ".arrow"))
        column = table["input_ids"].combine_chunks()
        flat, bounds = column.values.to_numpy(), column.offsets.to_numpy()
        doc_ids += table["id"].take(rows).to_pylist()
        ends = filled + np.cumsum(bounds[rows + 1] - bounds[rows])
        for row, stop in zip(rows.tolist(), ends.tolist(), strict=True):
            tokens[filled:stop] = flat[bounds[row] : bounds[row + 1]]
            filled = stop
        offsets.append(ends)
    write_tokens(path, doc_ids, tokens, np.concatenate(offsets))


def _windows(path: Path, vocabulary: Path) -> tuple[int, int]:
    """The windows of `REFERENCE_LENGTH` that a shard's first documents fill, and the ids in them.

    Those of 8 million tokens, so that it takes 0.3 CPU-seconds and little memory.
    """
    num_windows = num_segments = 0
    whole = open_shard(path)
    num_documents = max(1, int(np.searchsorted(whole.offsets, _COUNTED_TOKENS, side="right")) - 1)
    offsets = whole.offsets[: num_documents + 1]
    shard = replace(whole, input_ids=whole.input_ids[: offsets[-1]], offsets=offsets)
    for window in pack(shard, words.kinds_of(load_vocabulary(vocabulary)), REFERENCE_LENGTH):
        num_windows += 1
        num_segments += len(window)
    return num_windows, len(shard.input_ids) + NUM_ADDED * num_segments


def splits(source: int, written: list[Written]) -> dict[str, Split]:
    """The splits of one source by name, without those that hold no document."""
    found = {}
    for split in (TRAIN, VALIDATION):
        mine = [one for one in written if (one.cut.source, one.cut.split) == (source, split)]
        if mine:
            found[split] = Split(
                documents=sum(one.cut.documents for one in mine),
                words=sum(one.cut.words for one in mine),
                tokens=sum(one.cut.tokens for one in mine),
                shards=tuple(one.entry for one in mine),
            )
    return found


def _fitting(lengths: I64, room: int, most: int) -> int:
    """How many documents fit into this many tokens, at most so many."""
    return min(most, int(np.searchsorted(np.cumsum(lengths), room, side="right")))
