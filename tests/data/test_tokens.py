"""Batches of a corpus at an address against those of its folder, in a cache that holds a part of it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from serving import FileServer, serve
from test_groups import grouped

from camembert_bio import files
from camembert_bio.data.batch import TENSORS
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.data.room import check_group, check_room
from camembert_bio.data.windows import build_windows, load_windows, split_entries
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import Corpus, open_corpus
from camembert_bio.shards.recipe import Storage


@pytest.fixture(scope="module")
def local(tmp_path_factory, write_corpus, make_document) -> Corpus:
    """Nine training shards of about 40 windows of 64, and a held-out one."""
    rng = np.random.default_rng(11)

    def shard(count: int) -> list[list[int]]:
        return [make_document(rng, int(length)) for length in rng.integers(20, 200, count)]

    sources = {
        "a": {"train": [shard(22) for _ in range(6)], "validation": [shard(3)]},
        "b": {"train": [shard(22) for _ in range(3)]},
    }
    corpus = write_corpus(tmp_path_factory.mktemp("many") / "corpus", sources)
    folder = corpus.folder / "tokenizer"
    folder.mkdir()
    for name in ("sentencepiece.bpe.model", "tokenizer_config.json", "config.json"):
        (folder / name).write_text("{}")
    text = (corpus.folder / "corpus.json").read_text()
    (corpus.folder / "corpus.json").write_text(text.replace("0" * 64, files.sha256_file(folder / "config.json")))
    return open_corpus(corpus.folder)


@pytest.fixture
def server(local: Corpus) -> Iterator[FileServer]:
    with serve(local.folder) as server:
        yield server


def sizes(corpus: Corpus, split: str = "train") -> list[int]:
    return sorted((entry.bytes for _, entry in corpus.manifest.shards(split)), reverse=True)


def opened(server: FileServer, tmp_path: Path, cache_bytes: int) -> Corpus:
    return open_corpus(server.url, Storage(cache=tmp_path / "cache", cache_bytes=cache_bytes, retries=0))


def loader(corpus: Corpus, **changes: object) -> Loader:
    values = {"seq_length": 64, "seed": 3, "global_batch_size": 8, "micro_batch_size": 2, "rank": 0, "world_size": 1}
    return Loader(corpus, **{**values, "mlm_probability": 0.15, "shuffle_shards": 2, **changes})


def assert_equal(one: Loader | EvaluationLoader, two: Loader | EvaluationLoader, steps: range) -> None:
    for step in steps:
        for mine, theirs in zip(one.batch(step), two.batch(step), strict=True):
            assert all(torch.equal(getattr(mine, name), getattr(theirs, name)) for name in TENSORS)


def fetched(server: FileServer) -> list[str]:
    """The training shards that were asked for, in order."""
    return [path for path, _ in server.asked if "train" in path]


def stored(corpus: Corpus) -> int:
    found = {}
    for path in (corpus.cache.folder / "shards").iterdir():
        with suppress(FileNotFoundError):  # its fetch has just ended, or it has just left
            found[path.stat().st_ino] = path.stat().st_size
    return sum(found.values())


def test_the_table_is_built_in_a_cache_of_one_shard_and_kept(local, server, tmp_path, monkeypatch):
    corpus = opened(server, tmp_path, sizes(local)[0])
    table, expected = load_windows(corpus, "train", 64), build_windows(local, "train", 64)
    for name in table.__dataclass_fields__:
        assert np.array_equal(getattr(table, name), getattr(expected, name))
    first = fetched(server)
    assert set(first) == {entry.path for _, entry in local.manifest.shards("train")}
    assert len(first) <= 9 + 2  # one fetched ahead may have had to leave again
    assert stored(corpus) <= corpus.cache.num_bytes
    monkeypatch.setattr("camembert_bio.data.windows.build_windows", None)  # a second build would fail
    load_windows(opened(server, tmp_path, sizes(local)[0]), "train", 64)
    assert fetched(server) == first
    assert not (local.folder / "windows").exists()


def test_batches_are_those_of_the_folder_and_each_shard_is_read_once_an_epoch(local, server, tmp_path):
    corpus = opened(server, tmp_path, 2 * sum(sizes(local)[:2]))
    here, there = loader(local), loader(corpus)
    server.asked.clear()
    steps_of_an_epoch = here.order.epoch_length // 8
    for step in range(steps_of_an_epoch):
        assert_equal(here, there, range(step, step + 1))
        assert stored(corpus) <= corpus.cache.num_bytes
    read = Counter(fetched(server))
    assert len(read) >= 9 - 4  # up to four were in the cache since the table was built
    entries = split_entries(local, "train")
    next_epoch = {entries[number][1].path for number in here.order.shards(steps_of_an_epoch)[1]}
    next_epoch |= {entries[number][1].path for number in here.order.shards(steps_of_an_epoch)[0]}
    assert {path for path, count in read.items() if count > 1} <= next_epoch
    assert_equal(here, there, range(steps_of_an_epoch, steps_of_an_epoch + 2))
    assert_equal(here, there, range(900, 902))


def test_ranks_of_a_node_share_what_they_fetch(local, server, tmp_path):
    cache_bytes = 2 * sum(sizes(local)[:2])
    ranks = [loader(opened(server, tmp_path, cache_bytes), rank=rank, world_size=2) for rank in range(2)]
    here = loader(local)
    server.asked.clear()
    for step in range(here.order.epoch_length // 8):
        whole = torch.cat([batch.input_ids for batch in here.batch(step)])
        assert torch.equal(torch.cat([batch.input_ids for rank in ranks for batch in rank.batch(step)]), whole)
    read = fetched(server)
    assert len(read) <= 9 + 2  # two of the next epoch may have been fetched ahead


def test_without_groups_all_stays_in_the_cache(local, server, tmp_path):
    corpus = opened(server, tmp_path, sum(sizes(local)))
    here, there = loader(local, shuffle_shards=None), loader(corpus, shuffle_shards=None)
    assert_equal(here, there, range(30))
    assert len(fetched(server)) == 9


def test_iterating_fetches_ahead_and_reads_the_same(local, server, tmp_path):
    here, there = loader(local), loader(opened(server, tmp_path, 2 * sum(sizes(local)[:2])))
    ahead, behind = there.iterate(3), here.iterate(3)
    for _ in range(60):
        for mine, theirs in zip(next(ahead), next(behind), strict=True):
            assert torch.equal(mine.input_ids, theirs.input_ids)
    ahead.close()
    behind.close()


def test_the_group_ahead_is_fetched_while_one_is_read(local, server, tmp_path):
    corpus = opened(server, tmp_path, 2 * sum(sizes(local)[:2]))
    there = loader(corpus)
    entries = split_entries(local, "train")
    for step in (20, 0):
        there.batch(step)
        now, then = there.order.shards(step)
        wanted = [corpus.cache.path(entries[number][1]) for number in (*now, *then)]
        deadline = time.monotonic() + 20
        while not all(path.exists() for path in wanted) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all(path.exists() for path in wanted) and len(wanted) >= 3


def test_held_out_batches_are_those_of_the_folder(local, server, tmp_path):
    corpora = (local, opened(server, tmp_path, 10**9))
    here, there = (EvaluationLoader(corpus, 64, 2, rank=0, world_size=1) for corpus in corpora)
    for mine, theirs in zip(here, there, strict=True):
        assert all(torch.equal(getattr(mine, name), getattr(theirs, name)) for name in TENSORS)
    assert len(here) > 1


def test_the_same_groups_from_a_folder_are_without_a_cache(local):
    assert loader(local).order.groups is not None
    assert isinstance(loader(local).collator.shards, list)
    check_room(local, None)
    check_group(local, loader(local).order)


def test_a_cache_without_room_for_the_corpus_needs_groups(local, server, tmp_path):
    largest, heldout = sizes(local), sum(sizes(local, "validation"))
    check_room(opened(server, tmp_path, sum(largest) + heldout), None)
    three = heldout + 2 * sum(largest[:3])
    corpus = opened(server, tmp_path, three)
    check_room(corpus, 3)
    with pytest.raises(
        UserError, match=rf"cache_bytes {three:,} holds neither {server.url} \(.*; set shuffle_shards to 3 or"
    ):
        check_room(corpus, None)
    with pytest.raises(UserError, match=r"two groups of shuffle_shards 4; set shuffle_shards to 3 or less"):
        check_room(corpus, 4)
    one = heldout + 2 * largest[0]
    with pytest.raises(UserError, match=rf"shuffle_shards 1; give storage.cache_bytes {one:,} or more"):
        check_room(opened(server, tmp_path, one - 1), 1)
    assert not any(path.endswith(".arrow") for path, _ in server.asked)


def test_groups_of_less_than_a_few_steps_are_refused(local, server, tmp_path):
    order = loader(local, shuffle_shards=1, global_batch_size=24).order
    corpus = opened(server, tmp_path, sum(sizes(local)) - 1)
    message = rf"may have {order.groups.smallest} windows of 64, less than 4 steps read \(96\); raise shuffle_shards or"
    with pytest.raises(UserError, match=message):
        check_group(corpus, order)
    check_group(corpus, loader(local, shuffle_shards=3, global_batch_size=24).order)
    check_group(opened(server, tmp_path, 10**9), order)
    check_group(corpus, grouped(None))


def test_the_order_of_the_folder_is_not_changed_by_where_it_stands(local, server, tmp_path):
    elsewhere = open_corpus(shutil.copytree(local.folder, tmp_path / "copy"))
    assert_equal(loader(local), loader(elsewhere), range(3))
