"""Epochs by groups of shards: the same guarantees as without, and few shards at a time."""

import numpy as np
import pytest
from test_order import epoch_of

from camembert_bio.data.order import Order
from camembert_bio.data.windows import WindowTable


def table_of(seq_length=16, **shards):
    """A table of sources with so many windows in each shard."""
    counts = [sum(windows) for windows in shards.values()]
    every = [windows for source in shards.values() for windows in source]
    total = sum(counts)
    return WindowTable(
        seq_length=seq_length,
        sources=tuple(shards),
        source_offsets=np.concatenate([[0], np.cumsum(counts)]),
        shard=np.repeat(np.arange(len(every), dtype=np.int32), every),
        offsets=np.arange(total + 1),
        start=np.zeros(total, np.int32),
        length=np.full(total, 14, np.int32),
    )


TABLE = table_of(a=[50, 31, 1, 40], b=[70, 0, 22], c=[16])


def grouped(shuffle_shards, table=TABLE, seed=0, repeats=None, global_batch_size=8, **more):
    return Order(table, seed, repeats or {}, global_batch_size, shuffle_shards=shuffle_shards, **more)


def test_an_epoch_is_a_permutation_for_many_sizes():
    rng = np.random.default_rng(0)
    for _ in range(60):
        sources = {name: rng.integers(0, 40, rng.integers(1, 9)).tolist() for name in "abc"}
        sources = {name: [*windows, 1] for name, windows in sources.items()}
        table = table_of(**sources)
        order = grouped(int(rng.integers(1, 12)), table, seed=int(rng.integers(100)))
        assert order.epoch_length == len(table)
        for epoch in (0, 5):
            assert np.array_equal(np.sort(epoch_of(order, epoch)), np.arange(len(table)))


@pytest.mark.parametrize("shuffle_shards", [1, 2, 3, 7, 100])
def test_few_shards_are_read_at_a_time_and_each_once(shuffle_shards):
    order = grouped(shuffle_shards)
    read = []
    place = 0
    while place < order.epoch_length:
        shards, end = order.groups.group_of(3, place)
        assert 0 < len(shards) <= shuffle_shards
        windows = order.draws(3 * order.epoch_length + place, end - place).window
        assert set(TABLE.shard[windows].tolist()) == set(shards)
        read += shards
        place = end
    assert sorted(read) == [0, 1, 2, 3, 4, 6, 7]  # shard 5 is empty


def test_groups_have_nearly_one_size():
    order = grouped(4, table_of(a=[5] * 10))
    sizes = [len(order.groups.group_of(0, place)[0]) for place in range(0, 50, 5)]
    assert sorted(set(sizes)) == [3, 4] and order.groups.smallest == 15


def test_one_group_of_all_shuffles_like_none():
    """Windows of one shard are spread over the whole epoch."""
    places = np.flatnonzero(TABLE.shard[epoch_of(grouped(100), 0)] == 0)
    assert places.min() < 20 and places.max() > 210 and abs(places.mean() - 115) < 35


def test_neighbours_are_spread_within_a_group():
    windows = epoch_of(grouped(1, table_of(a=[10_000, 10_000])), 0)[:10_000]
    assert abs(np.abs(np.diff(windows)).mean() - 10_000 / 3) < 150


def test_epochs_seeds_and_lengths_differ():
    orders = [
        tuple(epoch_of(grouped(2, table_of(length, a=[40] * 6), seed), epoch).tolist())
        for length in (16, 32)
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 8
    assert len({tuple(np.array(order) // 40) for order in orders}) == 8  # the shards too
    alone = grouped(1, table_of(a=[100]))
    assert sum(epoch_of(alone, 0) == epoch_of(alone, 1)) < 10


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_a_step_does_not_depend_on_world_size_nor_on_what_was_read_before(world_size):
    order = grouped(2, global_batch_size=24, repeats={"b": 1.5})
    for step in (0, 9, 10**9, 1):
        parts = zip(*(order.share(step, rank, world_size) for rank in range(world_size)), strict=True)
        fresh = grouped(2, global_batch_size=24, repeats={"b": 1.5}).windows(step)
        for whole, part in zip(fresh, parts, strict=True):
            assert np.array_equal(whole, np.concatenate(part))


def test_repeats_are_exact():
    order = grouped(2, repeats={"a": 2, "b": 1.25, "c": 0.5})
    assert order.epoch_length == 2 * 122 + 92 + 23 + 8
    read = np.zeros(len(TABLE), int)
    for epoch in range(4):
        counts = np.bincount(epoch_of(order, epoch), minlength=len(TABLE))
        assert (counts[:122] == 2).all()
        assert sorted(counts[122:214].tolist()) == [1] * 69 + [2] * 23
        assert sorted(counts[214:].tolist()) == [0] * 8 + [1] * 8
        read += counts
    assert set(read[214:]) == {2}  # a half of one shard, then the other
    assert set(read[122:214]) <= {4, 5, 6} and read[122:214].sum() == 5 * 92


def test_a_source_that_is_left_out_has_its_shards_left_out():
    order = grouped(1, repeats={"a": 0})
    assert {shard for place in range(order.epoch_length) for shard in order.groups.group_of(0, place)[0]} == {4, 6, 7}
    assert order.groups.smallest == 16


def test_the_shards_of_a_step_are_those_it_reads_and_those_after():
    order = grouped(2, global_batch_size=20, first_step=5, first_sample=7)
    groups, first = [], 0  # (first sample, shards) of every group of some epochs
    while first < 1500:
        epoch, place = divmod(first, order.epoch_length)
        shards, end = order.groups.group_of(epoch, place)
        groups.append((first, shards))
        first = epoch * order.epoch_length + end
    for step in range(5, 70):
        last = 7 + (step - 5) * 20 + 19
        number = max(place for place, (begin, _) in enumerate(groups) if begin <= last)
        now, then = order.shards(step)
        assert then == groups[number + 1][1] and now[-len(groups[number][1]) :] == groups[number][1]
        assert set(TABLE.shard[order.windows(step).window].tolist()) <= set(now)
        assert len(now) == len(groups[number][1]) or len(set(now)) <= 6
    assert sorted(grouped(1, global_batch_size=460).shards(0)[0]) == sorted([0, 1, 2, 3, 4, 6, 7] * 2)
    assert grouped(None).shards(3) == ((0, 1, 2, 3, 4, 6, 7), ())
