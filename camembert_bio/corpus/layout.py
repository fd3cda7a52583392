"""How a build is laid out: its blocks in the corpus' order, the groups that they form, the number of buckets.

Where every block would open every bucket's file, and every bucket every block's, their number would be the corpus'
size squared. Groups of up to 64 blocks keep it at 150 million openings for 100 billion words, over all workers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camembert_bio import config
from camembert_bio.corpus.partitions import I64
from camembert_bio.corpus.work import Block, Job, blocks, read_arrays, write_arrays

READ, HASHES, COPIES, SENTENCES, KEPT_TEXTS, TOKENS = "read", "hashes", "copies", "sentences", "kept", "tokens"
"""The phases' folders in the work folder."""

_ROWS_A_BUCKET = 1 << 20
"""Hashes of one kind that are decided on together: the sentences of about 64 MB of text."""
_ROWS_A_GROUP = 1 << 22
"""Hashes of one kind that are laid out together, or those of one block."""
_MAX_BUCKETS = 1 << 16
_GROUPS = 2048
"""Up to so many groups of one block each (8 GB of text), more tasks serve nobody; beyond, groups of several."""
_MAX_BLOCKS_A_GROUP = 64
"""Beyond, memory would grow: 64 blocks are 256 MB of text, whose hashes take about 150 MB."""


@dataclass(frozen=True)
class Layout:
    """Blocks, groups and buckets: a function of the inputs alone."""

    blocks: tuple[Block, ...]
    offsets: I64
    """Block b holds the documents offsets[b] : offsets[b + 1] of the corpus."""
    group_size: int
    """Blocks of a group; the last one may have fewer."""
    num_buckets: int

    @property
    def num_groups(self) -> int:
        """Groups of blocks."""
        return -(-len(self.blocks) // self.group_size)

    @property
    def num_documents(self) -> int:
        """Documents that were read and cleaned."""
        return int(self.offsets[-1])

    def members(self, group: int) -> range:
        """The blocks of a group."""
        return range(group * self.group_size, min(len(self.blocks), (group + 1) * self.group_size))

    def first_documents(self) -> I64:
        """The first document of each group, and the end of the last, [num_groups + 1]."""
        return np.append(self.offsets[: -1 : self.group_size], self.offsets[-1])

    def source_bounds(self, num_sources: int) -> I64:
        """Source s holds the documents bounds[s] : bounds[s + 1], [num_sources + 1]."""
        sources = np.array([block.source for block in self.blocks], np.int64)
        return self.offsets[np.searchsorted(sources, np.arange(num_sources + 1))]

    def spread(self, most: int) -> tuple[Block, ...]:
        """At most so many blocks, evenly spread over the corpus."""
        return self.blocks[:: -(-len(self.blocks) // most) or 1]


def lay_out(job: Job) -> Layout:
    """The layout of what was read, saved for `layout_of`."""
    found = blocks(job, READ)
    counts = [config.read_json(job.path(READ, block, ".json")) for block in found]
    num_rows = max(1, *(sum(one["num_rows"][kind] for one in counts) for kind in ("documents", "sentences", "bands")))
    sizes = [one["num_documents"] for one in counts]
    write_arrays(
        job.folder / "layout.npz",
        blocks=np.array([(block.source, block.part, block.number) for block in found], np.int64),
        offsets=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))),
        shape=np.array(
            [
                max(1, min(_MAX_BLOCKS_A_GROUP, -(-len(found) // _GROUPS), _ROWS_A_GROUP * len(found) // num_rows)),
                min(_MAX_BUCKETS, 1 + num_rows // _ROWS_A_BUCKET),
            ]
        ),
    )
    return layout_of(job)


def layout_of(job: Job) -> Layout:
    """What `lay_out` saved: read once in each process."""
    return _load(job.folder, job.build)


@functools.lru_cache(maxsize=1)
def _load(folder: Path, build: str) -> Layout:
    arrays = read_arrays(folder / "layout.npz")
    size, num_buckets = arrays["shape"].tolist()
    return Layout(tuple(Block(*row) for row in arrays["blocks"].tolist()), arrays["offsets"], size, num_buckets)
