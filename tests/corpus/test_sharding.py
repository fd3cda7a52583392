"""Shards cut from the tokens of blocks: bounded, complete, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from camembert_bio import config, files
from camembert_bio.corpus import sharding
from camembert_bio.corpus.layout import READ, TOKENS, lay_out
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.corpus.work import Block, Job, write_arrays, write_counts, write_table
from camembert_bio.shards.format import open_shard
from camembert_bio.shards.manifest import VOCABULARY
from camembert_bio.shards.vocabulary import Vocabulary

DTYPE = np.dtype(np.uint16)


def job_of(folder: Path, blocks: list[list[tuple[int, bool]]], shard_bytes: int) -> Job:
    """A work folder whose one source has these blocks of (tokens, held out) documents."""
    values = {
        "output": str(folder / "out"),
        "sources": [{"name": "a", "path": str(folder), "licence": "MIT"}],
        "tokenizer": {"train": {}},
        "shard_bytes": shard_bytes,
    }
    job = Job(config.build(Prepare, values), folder, str(folder))
    for phase in (READ, TOKENS, "out/a"):
        (folder / phase).mkdir(parents=True)
    for number, documents in enumerate(blocks):
        block = Block(0, 0, number)
        write_counts(
            job.path(READ, block, ".json"),
            {"num_documents": len(documents), "num_rows": {"documents": len(documents), "sentences": 0, "bands": 0}},
        )
        lengths = np.array([length for length, _ in documents], np.int64)
        ids = [np.arange(length, dtype=DTYPE) + 7 + number for length in lengths.tolist()]
        offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))))
        flat = pa.array(np.concatenate([np.empty(0, DTYPE), *ids]))
        names = pa.array([f"{number}-{place}" for place in range(len(documents))], pa.string())
        write_table(
            job.path(TOKENS, block, ".arrow"),
            {"id": names, "input_ids": pa.LargeListArray.from_arrays(offsets, flat)},
        )
        held_out = np.array([side for _, side in documents], bool)
        write_arrays(job.path(TOKENS, block, ".npz"), lengths=lengths, words=lengths * 2, held_out=held_out)
    pieces = tuple(f"▁{number}" for number in range(300))
    Vocabulary(pieces, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4), "sentencepiece").save(folder / "out" / VOCABULARY)
    lay_out(job)
    return job


def test_shards_are_bounded_and_hold_every_document_once_in_order(tmp_path: Path) -> None:
    lengths = [[3, 40, 1, 200], [], [0, 30, 30, 41], [60], [0, 0, 2]]
    documents = [[(length, place % 3 == 2) for place, length in enumerate(block)] for block in lengths]
    job = job_of(tmp_path, documents, shard_bytes=1000)
    found: dict[str, list[int]] = {}
    for split in ("train", "validation"):
        planned = list(sharding.cuts(job, 0, split, np.dtype(np.uint64)))
        assert [cut.path for cut in planned] == [f"a/{split}-{number:05d}.arrow" for number in range(len(planned))]
        for cut in planned:
            written = sharding.write(job, tmp_path / "out", DTYPE, cut)
            entry = written.entry
            assert 512 * written.num_windows >= written.num_positions >= entry.tokens
            path = tmp_path / "out" / entry.path
            assert (path.stat().st_size, files.sha256_file(path)) == (entry.bytes, entry.sha256)
            shard = open_shard(path)
            assert (len(shard), len(shard.input_ids)) == (entry.documents, entry.tokens) == (cut.documents, cut.tokens)
            assert cut.words == 2 * cut.tokens
            assert entry.tokens * 8 <= 1000 or entry.documents == 1
            found |= {name: shard.document(row).tolist() for row, name in enumerate(shard.doc_ids)}
        names = [
            f"{number}-{place}"
            for number, block in enumerate(documents)
            for place, (_, side) in enumerate(block)
            if side == (split == "validation")
        ]
        assert [name for name in found if name in names] == names
    assert found == {
        f"{number}-{place}": list(range(7 + number, 7 + number + length))
        for number, block in enumerate(lengths)
        for place, length in enumerate(block)
    }


def test_no_document_no_shard(tmp_path: Path) -> None:
    job = job_of(tmp_path, [[(5, False)]], shard_bytes=1000)
    assert list(sharding.cuts(job, 0, "validation", DTYPE)) == []
    assert list(sharding.splits(0, [])) == []


def test_a_shard_of_very_short_documents_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "MAX_DOCUMENTS", 4)
    job = job_of(tmp_path, [[(1, False)] * 6, [(1, False)] * 5], shard_bytes=1000)
    assert [cut.documents for cut in sharding.cuts(job, 0, "train", DTYPE)] == [4, 4, 3]
