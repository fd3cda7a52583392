import dataclasses
import math
import threading

import numpy as np
import pytest
import torch

from camembert_bio.data import loader as loaders
from camembert_bio.data.batch import TENSORS, Batch
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.data.windows import build_windows, split_entries
from camembert_bio.errors import UserError


def loader(corpus, **changes):
    values = {
        "seq_length": 64,
        "seed": 3,
        "global_batch_size": 24,
        "micro_batch_size": 4,
        "rank": 0,
        "world_size": 1,
        "mlm_probability": 0.15,
    }
    return Loader(corpus, **{**values, **changes})


def original(batch: Batch) -> torch.Tensor:
    ids = batch.input_ids.clone().reshape(-1)
    ids[batch.target_positions] = batch.target_labels
    return ids.reshape(batch.input_ids.shape)


def assert_equal(one: list[Batch], two: list[Batch]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in TENSORS)
        assert (a.num_tokens, a.num_targets) == (b.num_tokens, b.num_targets)


def rows(batches: list[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
    """Corrupted and original rows of several batches."""
    return torch.cat([batch.input_ids for batch in batches]), torch.cat([original(batch) for batch in batches])


def test_shapes_and_types(corpus):
    batches = loader(corpus, global_batch_size=8, micro_batch_size=2, world_size=2).batch(0)
    assert len(batches) == 2
    for batch in batches:
        assert batch.input_ids.shape == batch.segment_ids.shape == batch.position_ids.shape == (2, 64)
        assert [getattr(batch, name).dtype for name in TENSORS] == [
            torch.int64,
            torch.int32,
            torch.int32,
            torch.int64,
            torch.int64,
            torch.int64,
            torch.int64,
        ]
        assert batch.num_targets == len(batch.target_positions) == len(batch.target_labels) > 0
        assert batch.num_tokens == int((batch.input_ids != 1).sum())
        assert torch.equal(batch.to("cpu").input_ids, batch.input_ids)


def test_rows_are_the_windows_of_the_order(corpus):
    one = loader(corpus)
    table = build_windows(corpus, "train", 64)
    shards = [corpus.open(entry).input_ids for _, entry in split_entries(corpus, "train")]
    _, ids = rows(one.batch(5))
    for row, window in zip(ids.tolist(), one.order.windows(5).window.tolist(), strict=True):
        expected = []
        for segment in range(table.offsets[window], table.offsets[window + 1]):
            start, length = table.start[segment], table.length[segment]
            expected += [5, *shards[table.shard[window]][start : start + length].tolist(), 6]
        assert row == expected + [1] * (64 - len(expected))


@pytest.mark.parametrize("seq_length", [8, 64, 128, 512, 1000, 2048, 8192])
def test_an_epoch_reads_every_token_once(corpus, seq_length):
    """Documents rebuilt from an epoch's batches are the corpus' documents, at any length."""
    one = loader(corpus, seq_length=seq_length, global_batch_size=16, micro_batch_size=16)
    table, shards = one.table, [corpus.open(entry).input_ids for _, entry in split_entries(corpus, "train")]
    rebuilt = [np.zeros(len(shard), np.int64) for shard in shards]
    seen = [np.zeros(len(shard), np.int64) for shard in shards]
    for step in range(math.ceil(one.order.epoch_length / 16)):
        draws = one.order.windows(step)
        (batch,) = one.batch(step)
        assert batch.input_ids.shape == (16, seq_length)
        rows = zip(draws.epoch, draws.window, original(batch).numpy(), batch.segment_ids.numpy(), strict=True)
        for epoch, window, ids, segments in rows:
            first = table.offsets[window]
            for segment in range(1, segments.max() + 1 if epoch == 0 else 0):
                inside = ids[segments == segment]
                start, length = table.start[first + segment - 1], table.length[first + segment - 1]
                assert inside[0] == 5 and inside[-1] == 6
                rebuilt[table.shard[window]][start : start + length] = inside[1:-1]
                seen[table.shard[window]][start : start + length] += 1
    for shard, ids, counts in zip(shards, rebuilt, seen, strict=True):
        assert (counts == 1).all() and np.array_equal(ids, shard)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_batches_do_not_depend_on_the_layout(corpus, world_size, micro_batch_size):
    for step in (0, 7, 40):
        expected = rows(loader(corpus).batch(step))
        layout = {"world_size": world_size, "micro_batch_size": micro_batch_size}
        got = rows([b for rank in range(world_size) for b in loader(corpus, rank=rank, **layout).batch(step)])
        assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_batches_do_not_depend_on_the_threads(corpus, num_threads, world_size, monkeypatch):
    """Made ahead, by any number of threads and ranks, a step is what one rank makes of it alone."""
    monkeypatch.setattr(loaders, "_LAID_OUT_AHEAD", 30)  # 2 to 5 steps at once: six cross a border
    layout = {"world_size": world_size, "micro_batch_size": 2, "num_threads": num_threads}
    ranks, alone = [loader(corpus, rank=rank, **layout) for rank in range(world_size)], loader(corpus)
    iterators = [one.iterate(100) for one in ranks]
    for step in range(100, 106):
        made = [next(iterator) for iterator in iterators]
        for got, expected in zip(rows([b for of_rank in made for b in of_rank]), rows(alone.batch(step)), strict=True):
            assert torch.equal(got, expected)
        for one, of_rank in zip(ranks, made, strict=True):
            assert_equal(of_rank, one.batch(step))
    for iterator in iterators:
        iterator.close()


@pytest.mark.parametrize("num_threads", [1, 3])
def test_steps_are_made_before_they_are_asked_for(corpus, num_threads):
    made, enough = set(), threading.Event()

    def rate(step):
        made.add(step)
        if len(made) == num_threads + 2:
            enough.set()
        return 0.15

    iterator = loader(corpus, num_threads=num_threads, mlm_probability=rate).iterate(7)
    next(iterator)
    assert enough.wait(20), "the first step, and one more than there are threads"
    iterator.close()
    assert made == set(range(7, 7 + num_threads + 2)), "and no more, for memory's sake"


def test_every_tensor_of_a_batch_is_pinned_and_copied():
    tensors = {field.name for field in dataclasses.fields(Batch) if field.type == "torch.Tensor"}
    assert set(TENSORS) == tensors


def test_batches_are_pinned_in_the_threads_on_the_device_of_the_rank(corpus, monkeypatch):
    """Page-locked memory needs a GPU: here what is asked of torch is taken down."""
    pinned, devices = [], []

    def pin_memory(tensor):
        pinned.append(threading.current_thread().name)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 3)
    monkeypatch.setattr(torch.accelerator, "set_device_index", devices.append)
    one = loader(corpus, pin_memory=True, num_threads=2)
    iterator = one.iterate(4)
    assert_equal(next(iterator), loader(corpus).batch(4))
    iterator.close()
    assert len(pinned) % (6 * len(TENSORS)) == 0 and all(name.startswith("batches") for name in pinned)
    assert set(devices) == {3}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_come_from_page_locked_memory_to_a_gpu(corpus):
    iterator = loader(corpus, pin_memory=True).iterate(4)
    for pinned, expected in zip(next(iterator), loader(corpus).batch(4), strict=True):
        assert all(getattr(pinned, name).is_pinned() for name in TENSORS)
        there = pinned.to("cuda")
        assert all(torch.equal(getattr(there, name).cpu(), getattr(expected, name)) for name in TENSORS)
    iterator.close()


def test_iteration_is_the_batches_and_resumes_anywhere(corpus):
    one = loader(corpus)
    iterator = one.iterate(0)
    steps = [next(iterator) for _ in range(12)]
    iterator.close()
    for step in (0, 5, 11):
        assert_equal(steps[step], one.batch(step))
    resumed = loader(corpus).iterate(8)
    for step in range(8, 12):
        assert_equal(next(resumed), steps[step])
    resumed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_failure_in_the_thread_is_raised(corpus):
    one = loader(corpus)
    iterator = one.iterate(-1)
    with pytest.raises(AssertionError, match="numbered from 0"):
        next(iterator)


def test_epochs_and_seeds_give_other_batches(corpus):
    one = loader(corpus, global_batch_size=1, micro_batch_size=1)
    length = one.order.epoch_length
    window = one.order.windows(0).window[0]
    later = next(step for step in range(length, 2 * length) if one.order.windows(step).window[0] == window)
    (first,), (second,) = one.batch(0), one.batch(later)
    assert torch.equal(original(first), original(second))
    assert not torch.equal(first.input_ids, second.input_ids)
    assert not torch.equal(rows(loader(corpus).batch(0))[1], rows(loader(corpus, seed=4).batch(0))[1])


def test_token_masking_cuts_words(corpus, vocabulary):
    opens = torch.from_numpy(vocabulary.opens_word)

    def cut(whole_word):
        """Chosen pieces inside a word whose piece before was not chosen."""
        total = 0
        for batch in loader(corpus, whole_word=whole_word).batch(0):
            ids, chosen = original(batch).reshape(-1), torch.zeros(4 * 64, dtype=torch.bool)
            chosen[batch.target_positions] = True
            before = torch.roll(chosen, 1) | torch.from_numpy(vocabulary.is_special)[torch.roll(ids, 1)]
            total += int((chosen & ~before & ~opens[ids]).sum())
        return total

    assert cut(True) == 0 and cut(False) > 0


def test_repeats_reach_the_order(corpus):
    plain, more = loader(corpus), loader(corpus, repeats={"articles": 3.0})
    articles = int(plain.table.source_offsets[1])
    assert more.order.epoch_length == plain.order.epoch_length + 2 * articles
    with pytest.raises(UserError, match="no such source"):
        loader(corpus, repeats={"article": 3.0})


def test_a_batch_that_does_not_divide_is_refused(corpus):
    with pytest.raises(UserError, match=r"global_batch_size 24 is not a multiple .* 5 x 2 ranks = 10; use 20 or 30"):
        loader(corpus, micro_batch_size=5, world_size=2)


def targets(batch: Batch) -> list[list[tuple[int, int]]]:
    """(position, label) of each row's targets."""
    rows = [[] for _ in range(len(batch.input_ids))]
    for place, label in zip(batch.target_positions.tolist(), batch.target_labels.tolist(), strict=True):
        rows[place // batch.input_ids.shape[1]].append((place % batch.input_ids.shape[1], label))
    return rows


def test_the_causal_objective_predicts_each_token_of_a_segment_from_those_before(corpus):
    masked, causal = loader(corpus).batch(3), loader(corpus, objective="causal").batch(3)
    for one, other in zip(masked, causal, strict=True):
        assert other.causal and not one.causal
        assert torch.equal(other.input_ids, original(one))
        assert torch.equal(other.segment_ids, one.segment_ids) and torch.equal(other.position_ids, one.position_ids)
        for found, ids, segments in zip(
            targets(other), other.input_ids.tolist(), other.segment_ids.tolist(), strict=True
        ):
            within = [i for i in range(63) if segments[i] == segments[i + 1] > 0]
            assert found == [(i, ids[i + 1]) for i in within]
            assert len(found) == sum(map(bool, segments)) - max(segments)


def test_a_phase_of_the_same_length_goes_on_where_the_one_before_stopped(corpus):
    """Steps 0 to 9 of 24 windows, then of 12: the windows and masks of one run, and an epoch read once."""
    one = loader(corpus)
    two = loader(corpus, global_batch_size=12, first_step=10, first_sample=240)
    for step in (10, 11, 30):
        both = [*two.batch(2 * step - 10), *two.batch(2 * step - 9)]
        for got, expected in zip(rows(both), rows(one.batch(step)), strict=True):
            assert torch.equal(got, expected)
    assert_equal(next(two.iterate(13)), two.batch(13))
    with pytest.raises(AssertionError, match="numbered from 0"):
        loader(corpus, first_step=10).batch(9)


def test_the_mask_rate_may_follow_the_step(corpus):
    scheduled = loader(corpus, mlm_probability=lambda step: 0.3 if step < 4 else 0.15)
    for step, rate in ((0, 0.3), (3, 0.3), (4, 0.15)):
        assert scheduled.mask_rate(step) == rate
        assert_equal(scheduled.batch(step), loader(corpus, mlm_probability=rate).batch(step))
    assert_equal(next(scheduled.iterate(4)), scheduled.batch(4))


def test_each_row_knows_its_source(corpus):
    one = loader(corpus)
    assert one.table.sources == ("articles", "notices")
    batches = one.batch(2)
    windows = one.order.windows(2).window
    expected = (windows >= one.table.source_offsets[1]).astype(int)
    assert torch.cat([batch.sources for batch in batches]).tolist() == expected.tolist()
    assert set(expected) == {0, 1}


def evaluation(corpus, **changes):
    values = {"seq_length": 32, "micro_batch_size": 4, "rank": 0, "world_size": 1}
    return EvaluationLoader(corpus, **{**values, **changes})


def real_rows(batches):
    """(corrupted, original) rows of batches, fillers left out, as a sorted list."""
    found = []
    for batch in batches:
        for row, ids in zip(batch.input_ids.tolist(), original(batch).tolist(), strict=True):
            if ids[:3] != [5, 6, 1]:
                found.append((ids, row))
    return sorted(found)


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("max_windows", [None, 13, 1])
def test_evaluation_reads_each_window_once(corpus, world_size, max_windows):
    alone = evaluation(corpus, max_windows=max_windows)
    ranks = [evaluation(corpus, rank=r, world_size=world_size, max_windows=max_windows) for r in range(world_size)]
    batches = [list(one) for one in ranks]
    assert {len(one) for one in batches} == {len(one) for one in ranks} == {len(ranks[0])}
    everything = [batch for one in batches for batch in one]
    assert all(batch.input_ids.shape == (4, 32) for batch in everything)
    expected = real_rows(alone)
    assert real_rows(everything) == expected
    assert len(expected) == alone.num_windows == (max_windows or len(build_windows(corpus, "validation", 32)))
    for count in ("num_targets", "num_tokens"):
        assert sum(getattr(b, count) for b in everything) == sum(getattr(b, count) for b in alone)
    if max_windows is None:
        table = build_windows(corpus, "validation", 32)
        assert sum(batch.num_tokens for batch in everything) == table.num_tokens


def test_evaluation_is_the_same_at_every_pass(corpus):
    one = evaluation(corpus, max_windows=10)
    assert_equal(list(one), list(one))
    assert_equal(list(one), list(evaluation(corpus, max_windows=10)))
    first = {str(ids) for ids, _ in real_rows(evaluation(corpus, max_windows=5))}
    assert first < {str(ids) for ids, _ in real_rows(one)}


def test_evaluation_of_each_source_adds_up_to_that_of_all(corpus):
    everything = evaluation(corpus)
    assert everything.sources == ("articles", "notices")
    alone = [
        evaluation(corpus, source=source, world_size=2, rank=rank) for source in everything.sources for rank in (0, 1)
    ]
    assert sorted(row for one in alone for row in real_rows(one)) == real_rows(everything)
    for one in alone:
        for batch in one:
            filler = batch.input_ids[:, 2] == 1
            assert (batch.sources[filler] == -1).all()
            assert (batch.sources[~filler] == everything.sources.index(one.source)).all()
    with pytest.raises(UserError, match=r"no windows of the source 'notice' \(did you mean 'notices'\?\)"):
        evaluation(corpus, source="notice")


def test_causal_evaluation_predicts_nothing_in_fillers(corpus):
    batches = list(evaluation(corpus, objective="causal", max_windows=5))
    assert sum(batch.num_targets for batch in batches) == sum(
        batch.num_tokens - int(batch.segment_ids[batch.sources >= 0].amax(1).sum()) for batch in batches
    )
    assert targets(batches[1])[1:] == [[], [], []]


def test_evaluation_needs_a_held_out_split(tmp_path, write_corpus):
    small = write_corpus(tmp_path / "c", {"a": {"train": [[[20] * 50]]}})
    with pytest.raises(UserError, match="no windows in its split 'validation'"):
        evaluation(small)
