import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from camembert_bio.data import hashing
from camembert_bio.data.hashing import draw, key, permute
from camembert_bio.data.order import Order, accumulation_steps
from camembert_bio.data.windows import WindowTable
from camembert_bio.errors import UserError


def table_of(**windows):
    counts = list(windows.values())
    total = sum(counts)
    return WindowTable(
        seq_length=16,
        sources=tuple(windows),
        source_offsets=np.concatenate([[0], np.cumsum(counts)]),
        shard=np.zeros(total, np.int32),
        offsets=np.arange(total + 1),
        start=np.zeros(total, np.int32),
        length=np.full(total, 14, np.int32),
    )


def epoch_of(order, epoch):
    return order.draws(epoch * order.epoch_length, order.epoch_length).window


def test_permutation_is_a_bijection_for_ten_thousand_sizes():
    """Each size up to 300, the two sides of powers of two, and random ones up to 4,000."""
    rng = np.random.default_rng(0)
    near = [size + side for size in (512, 1024, 4096, 65_536, 1 << 18) for side in (-1, 0, 1)]
    sizes = [*range(1, 301), *near, *np.exp(rng.uniform(0, np.log(4000), 9_700)).astype(int).tolist()]
    assert len(sizes) > 10_000
    for size in sizes:
        places = permute(np.arange(size), size, key("test", size))
        assert (np.bincount(places, minlength=size) == 1).all(), size


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1023, 1_000_003, 10**9, 10**12 + 39])
def test_a_place_costs_the_same_in_a_permutation_of_any_size(size, monkeypatch):
    """Passes of the network an index: the values that it walks over are fewer than the ones that it keeps."""
    asked, pass_once = [], hashing._feistel

    def counted(values, *sides):
        asked.append(len(values))
        return pass_once(values, *sides)

    monkeypatch.setattr(hashing, "_feistel", counted)
    places = permute(np.linspace(0, size - 1, 2000).astype(np.int64), size, key("cost"))
    assert ((places >= 0) & (places < size)).all()
    assert sum(asked) < 2 * 2000 and (size < 10**6 or sum(asked) < 1.01 * 2000)


def test_permutation_of_one_index_is_that_of_the_block():
    block = permute(np.arange(1000), 1000, key("test"))
    assert [int(permute(np.array([i]), 1000, key("test"))[0]) for i in (0, 17, 999)] == block[[0, 17, 999]].tolist()


@pytest.mark.parametrize("size", [7, 1000])
def test_permutation_is_uniform(size):
    """Where index 0 and index 1 land over many keys, against chi-square, at 5 sigma."""
    buckets = min(size, 20)
    for index in (0, 1):
        landed = [int(permute(np.array([index]), size, key("uniform", k))[0]) * buckets // size for k in range(2000)]
        expected = np.bincount(np.arange(size) * buckets // size, minlength=buckets) * 2000 / size
        chi2 = float((((np.bincount(landed, minlength=buckets)) - expected) ** 2 / expected).sum())
        assert abs(chi2 - (buckets - 1)) < 5 * math.sqrt(2 * (buckets - 1)), (index, chi2)


def test_neighbours_are_spread():
    places = permute(np.arange(10_000), 10_000, key("test"))
    steps = np.abs(np.diff(places))
    # Of a uniform permutation the mean distance is size / 3, with a deviation of about 24 here.
    assert abs(steps.mean() - 10_000 / 3) < 150
    assert abs(np.corrcoef(places, np.arange(10_000))[0, 1]) < 0.05


def test_bits_are_balanced():
    bits = draw(key("test"), np.arange(40_000))
    ones = ((bits[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).sum(0)
    assert np.abs(ones.astype(int) - 20_000).max() < 5 * 100
    assert len(np.unique(bits)) == 40_000


def test_an_epoch_reads_each_window_once():
    order = Order(table_of(a=37, b=64), 0, {}, 10)
    assert order.epoch_length == 101
    for epoch in range(3):
        assert sorted(epoch_of(order, epoch).tolist()) == list(range(101))


def test_epochs_and_seeds_differ_as_pairs():
    table = table_of(a=500)
    orders = {
        (seed, epoch): tuple(epoch_of(Order(table, seed, {}, 8), epoch).tolist())
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(set(orders.values())) == 16
    for pair, order in orders.items():
        for other, another in orders.items():
            if pair != other:
                assert sum(x == y for x, y in zip(order, another, strict=True)) < 15  # 1 expected


def test_lengths_differ():
    table = table_of(a=500)
    longer = dataclasses.replace(table, seq_length=32)
    one, two = (epoch_of(Order(each, 0, {}, 8), 0) for each in (table, longer))
    assert (one == two).sum() < 15  # 1 expected


def test_repeats_are_exact():
    order = Order(
        table_of(once=50, twice=30, left_out=9, quarter=40), 3, {"twice": 2, "left_out": 0, "quarter": 1.25}, 8
    )
    assert order.epoch_length == 50 + 60 + 50
    read = Counter()
    for epoch in range(4):
        counts = Counter(epoch_of(order, epoch).tolist())
        assert all(counts[window] == 1 for window in range(50))
        assert all(counts[window] == 2 for window in range(50, 80))
        assert all(counts[window] == 0 for window in range(80, 89))
        quarter = [counts[window] for window in range(89, 129)]
        assert sorted(quarter) == [1] * 30 + [2] * 10
        read += counts
    assert {read[window] for window in range(89, 129)} == {5}


def test_every_epoch_of_many_tables_reads_what_is_asked_and_repeats_it_exactly():
    """Random sources, sizes and repeats: the counts of an epoch are worked out by hand."""
    rng = np.random.default_rng(1)
    for case in range(400):
        windows = {name: int(np.exp(rng.uniform(0, 6))) for name in "abcd"[: rng.integers(1, 5)]}
        repeats = {name: float(rng.choice([0, 0.3, 1, 1.5, 2, 3.125])) for name in windows}
        repeats["a"] = max(repeats["a"], 0.3)
        order = Order(table_of(**windows), case, repeats, 8)
        for epoch in (0, int(rng.integers(1, 10**6))):
            counts, first = np.bincount(epoch_of(order, epoch), minlength=sum(windows.values())), 0
            for name, size in windows.items():
                whole, share = divmod(repeats[name], 1)
                more = counts[first : first + size] - int(whole)
                assert set(more.tolist()) <= {0, 1}, (windows, repeats)
                assert more.sum() == (max(1, round(share * size)) if share else 0)
                first += size


def test_a_fraction_reads_a_fresh_share_each_epoch():
    order = Order(table_of(a=90), 0, {"a": 1 / 3}, 8)
    epochs = [set(epoch_of(order, epoch).tolist()) for epoch in range(3)]
    assert [len(epoch) for epoch in epochs] == [30, 30, 30]
    assert set.union(*epochs) == set(range(90))
    assert Order(table_of(a=3), 0, {"a": 0.01}, 8).epoch_length == 1


def test_a_step_may_span_epochs():
    order = Order(table_of(a=7), 0, {}, 20)
    draws = order.windows(3)
    numbers = np.arange(60, 80)
    assert draws.epoch.tolist() == (numbers // 7).tolist() and draws.draw.tolist() == (numbers % 7).tolist()
    again = [int(order.draws(number, 1).window[0]) for number in numbers.tolist()]
    assert draws.window.tolist() == again


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_order_does_not_depend_on_world_size(world_size):
    order = Order(table_of(a=100, b=77), 5, {"b": 1.5}, 24)
    for step in (0, 1, 9, 1000):
        shares = [order.share(step, rank, world_size) for rank in range(world_size)]
        for whole, parts in zip(order.windows(step), zip(*shares, strict=True), strict=True):
            assert np.array_equal(whole, np.concatenate(parts))


def test_a_phase_goes_on_from_its_first_sample():
    table = table_of(a=100)
    one, two = Order(table, 5, {}, 24), Order(table, 5, {}, 8, first_step=10, first_sample=240)
    parts = [two.windows(step) for step in (16, 17, 18)]
    for whole, part in zip(one.windows(12), zip(*parts, strict=True), strict=True):
        assert np.array_equal(whole, np.concatenate(part))


def test_far_steps_cost_nothing():
    draws = Order(table_of(a=1_300_000), 0, {"a": 1.5}, 4).windows(10**12)
    assert draws.epoch.min() > 10**6 and (draws.window < 1_300_000).all()


def test_batches_that_do_not_divide_are_refused():
    assert accumulation_steps(512, 8, 32) == 2
    message = r"global_batch_size 250 is not a multiple of micro_batch_size 8 x 32 ranks = 256; use 256 or 512"
    with pytest.raises(UserError, match=message):
        accumulation_steps(250, 8, 32)
    with pytest.raises(UserError, match="use 512 or 768"):
        accumulation_steps(700, 8, 32)


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"leaflet": 2}, r"repeats of 'leaflet': no such source \(did you mean 'leaflets'\?\)"),
        ({"leaflets": -1}, r"repeats of 'leaflets' are -1; use a finite number"),
        ({"leaflets": math.nan}, r"repeats of 'leaflets' are nan"),
        ({"leaflets": math.inf}, r"repeats of 'leaflets' are inf"),
        ({"leaflets": 1e300}, r"repeats of 'leaflets' are 1e\+300; use a finite number up to 1,000,000$"),
        ({"leaflets": 0, "articles": 0}, r"repeats of every source are 0"),
    ],
)
def test_bad_repeats_are_refused(repeats, message):
    with pytest.raises(UserError, match=message):
        Order(table_of(leaflets=3, articles=4), 0, repeats, 8)
