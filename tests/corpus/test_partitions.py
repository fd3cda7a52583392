"""Buckets of hashes on the disk: complete, disjoint, and small to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camembert_bio.corpus.partitions import read_bucket, write_partition, write_rows
from camembert_bio.errors import RunError


def test_buckets_of_several_files_are_the_rows_once(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.integers(1, (1 << 64) - 1, size=(1000, 3), dtype=np.uint64)
    rows[500:600] = rows[:100]  # equal hashes in another file
    paths = [tmp_path / str(number) for number in range(4)]
    for number, path in enumerate(paths):
        write_partition(path, rows[250 * number : 250 * (number + 1)], 7)
    buckets = [read_bucket(paths, bucket, 7, 3) for bucket in range(7)]
    assert sorted(map(tuple, np.concatenate(buckets).tolist())) == sorted(map(tuple, rows.tolist()))
    hashes = [set(bucket[:, 0].tolist()) for bucket in buckets]
    assert sum(map(len, hashes)) == len(set(rows[:, 0].tolist())) and min(map(len, hashes)) > 80
    assert all(buckets[b][:, 0].max() < buckets[b + 1][:, 0].min() for b in range(6))


def test_a_hash_that_stands_for_nothing_is_left_out(tmp_path: Path) -> None:
    write_partition(tmp_path / "a", np.array([[0, 1], [5, 2]], np.uint64), 1)
    assert read_bucket([tmp_path / "a"], 0, 1, 2).tolist() == [[5, 2]]


def test_rows_that_lie_in_order_keep_their_bounds(tmp_path: Path) -> None:
    write_rows(tmp_path / "a", np.arange(6, dtype=np.uint64)[:, None], np.array([0, 2, 2, 6]))
    found = [read_bucket([tmp_path / "a"], bucket, 3, 1).ravel().tolist() for bucket in range(3)]
    assert found == [[0, 1], [], [2, 3, 4, 5]]


@pytest.mark.parametrize("size", [0, 12, 24])
def test_a_file_that_was_cut_is_told(tmp_path: Path, size: int) -> None:
    folder = tmp_path / ".work-corpus" / "hashes"
    folder.mkdir(parents=True)
    write_partition(folder / "a", np.array([[1 << 60], [1 << 59]], np.uint64), 1)
    whole = (folder / "a").read_bytes()
    assert len(whole) == 32
    (folder / "a").write_bytes(whole[:size])
    with pytest.raises(RunError, match=r"a was damaged \(\w+\) and is removed; the same command makes it again"):
        read_bucket([folder / "a"], 0, 1, 1)
    (folder / "a").write_bytes(bytes(len(whole)))  # what a power cut may leave
    with pytest.raises(RunError, match="was damaged"):
        read_bucket([folder / "a"], 0, 1, 1)
