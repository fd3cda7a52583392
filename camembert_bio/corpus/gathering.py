"""The second phase of a build: the hashes of each group of blocks, laid out bucket by bucket.

Rows by kind, uint64 (`partitions`):
    ids          hash of source and id
    keys         the two halves of the text's digest, document
    bands        hash of a band, document
    sentences    hash of the sentence, its position (block << 32 | number in the block), document
    boilerplate  hash of the sentence, source, number of documents; counted once documents are selected (`selection`)

A group has besides: `signatures`, uint32 [D, NUM_VALUES]; `hits`, what it holds of evaluation sets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camembert_bio.corpus import near
from camembert_bio.corpus.decontaminate import union
from camembert_bio.corpus.layout import HASHES, READ, Layout, layout_of
from camembert_bio.corpus.partitions import U64, read_bucket, write_partition
from camembert_bio.corpus.work import Job, read_arrays, readable, write_arrays, write_bytes, write_counts

WIDTHS = {"ids": 1, "keys": 3, "bands": 2, "sentences": 3, "boilerplate": 3}
"""Columns of each kind's rows."""


def gather(job: Job, group: int) -> None:
    """Write the files of one group, except when they are there. Memory: its hashes of one kind, three times."""
    layout = layout_of(job)
    done = group_file(job, group, "done")
    if done.is_file():
        return
    options, against = job.recipe.deduplicate, job.recipe.decontaminate
    asked = {"ids": True, "keys": options.exact, "bands": options.near, "sentences": options.sentences}
    for kind in (kind for kind, option in asked.items() if option):
        rows = [_rows(job, layout, block, kind) for block in layout.members(group)]
        write_partition(group_file(job, group, kind), np.concatenate(rows), layout.num_buckets)
    files = [job.path(READ, layout.blocks[block], ".npz") for block in layout.members(group)]
    if options.near is not None:
        together = [read_arrays(file, "signatures")["signatures"] for file in files]
        write_bytes(group_file(job, group, "signatures"), [np.concatenate(together).data])
    if against is not None:
        found = [read_arrays(file, "contained", "hits") for file in files]
        contained = np.concatenate([arrays["contained"] for arrays in found])
        hits = union(arrays["hits"] for arrays in found)
        write_arrays(group_file(job, group, "hits"), contained=contained, hits=hits)
    write_counts(done, {})


def group_file(job: Job, group: int, kind: str) -> Path:
    """A file of one group."""
    return job.folder / HASHES / f"{group:05d}.{kind}"


def bucket_rows(job: Job, kind: str, bucket: int) -> U64:
    """The rows of one bucket over the whole corpus, [N, WIDTHS[kind]], group by group."""
    layout = layout_of(job)
    paths = (group_file(job, group, kind) for group in range(layout.num_groups))
    return read_bucket(paths, bucket, layout.num_buckets, WIDTHS[kind])


class Signatures:
    """The signatures of all documents, on the disk; indexed by their numbers."""

    def __init__(self, job: Job) -> None:
        self._job, self._layout = job, layout_of(job)
        self._first = self._layout.first_documents()

    def __getitem__(self, documents: near.Documents) -> near.Values:
        found = np.empty((len(documents), near.NUM_VALUES), np.uint32)
        groups = np.searchsorted(self._first, documents, side="right") - 1
        for group in np.unique(groups).tolist():
            mine = groups == group
            path = group_file(self._job, group, "signatures")
            shape = (int(self._first[group + 1] - self._first[group]), near.NUM_VALUES)
            with readable(path):
                found[mine] = np.memmap(path, np.uint32, "r", shape=shape)[documents[mine] - self._first[group]]
        return found


def _rows(job: Job, layout: Layout, block: int, kind: str) -> U64:
    """One block's rows of a kind."""
    name = {"ids": ("ids",), "keys": ("keys",), "bands": ("bands",), "sentences": ("sentences", "sentence_offsets")}
    arrays = read_arrays(job.path(READ, layout.blocks[block], ".npz"), *name[kind])
    first, end = layout.offsets[block : block + 2].tolist()
    documents = np.arange(first, end, dtype=np.uint64)
    hashes: U64 = arrays[kind]
    if kind == "ids":
        return hashes[:, None]
    if kind == "keys":
        return np.column_stack([hashes, documents])
    if kind == "bands":
        return np.column_stack([hashes.ravel(), np.repeat(documents, hashes.shape[1])])
    positions = np.uint64(block) << np.uint64(32) | np.arange(len(hashes), dtype=np.uint64)
    return np.column_stack([hashes, positions, np.repeat(documents, np.diff(arrays["sentence_offsets"]))])
