import threading

import numpy as np
import pytest
import torch

from camembert_bio.data.batch import Batch, segments_of
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.data.windows import build_windows, split_shards
from camembert_bio.errors import UserError

TENSORS = ("input_ids", "segment_ids", "position_ids", "masked_positions", "masked_labels")


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
    ids[batch.masked_positions] = batch.masked_labels
    return ids.reshape(batch.input_ids.shape)


def assert_equal(one: list[Batch], two: list[Batch]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in TENSORS)
        assert (a.num_tokens, a.num_masked) == (b.num_tokens, b.num_masked)


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
            torch.int64,
            torch.int64,
            torch.int64,
        ]
        assert batch.num_masked == len(batch.masked_positions) == len(batch.masked_labels) > 0
        assert batch.num_tokens == int((batch.input_ids != 1).sum())
        assert torch.equal(batch.to("cpu").input_ids, batch.input_ids)


def test_rows_are_the_windows_of_the_order(corpus):
    one = loader(corpus)
    table = build_windows(corpus, "train", 64)
    shards = [shard.input_ids for _, shard in split_shards(corpus, "train")]
    _, ids = rows(one.batch(5))
    for row, window in zip(ids.tolist(), one.order.windows(5).window.tolist(), strict=True):
        expected = []
        for segment in range(table.offsets[window], table.offsets[window + 1]):
            start, length = table.start[segment], table.length[segment]
            expected += [5, *shards[table.shard[window]][start : start + length].tolist(), 6]
        assert row == expected + [1] * (64 - len(expected))


def test_an_epoch_reads_every_token_once(corpus):
    """Documents rebuilt from an epoch's batches are the corpus' documents."""
    one = loader(corpus, global_batch_size=1, micro_batch_size=1)
    table, shards = one.table, [shard.input_ids for _, shard in split_shards(corpus, "train")]
    rebuilt = [np.zeros(len(shard), np.int64) for shard in shards]
    seen = [np.zeros(len(shard), np.int64) for shard in shards]
    for step in range(one.order.epoch_length):
        window = int(one.order.windows(step).window[0])
        (batch,) = one.batch(step)
        ids, segments = original(batch)[0].numpy(), batch.segment_ids[0].numpy()
        first = table.offsets[window]
        for segment in range(1, segments.max() + 1):
            inside = ids[segments == segment]
            start, length = table.start[first + segment - 1], table.length[first + segment - 1]
            assert inside[0] == 5 and inside[-1] == 6
            rebuilt[table.shard[window]][start : start + length] = inside[1:-1]
            seen[table.shard[window]][start : start + length] += 1
    for shard, ids, counts in zip(shards, rebuilt, seen, strict=True):
        assert (counts == 1).all() and np.array_equal(ids, shard)


def test_segments_and_positions():
    class Ids:
        bos_id, eos_id, pad_id = 5, 6, 1

    ids = np.array([[5, 20, 21, 6, 5, 22, 6, 1, 1], [5, 6, 1, 1, 1, 1, 1, 1, 1]])
    segments, positions = segments_of(ids, Ids)
    assert segments.tolist() == [[1, 1, 1, 1, 2, 2, 2, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert positions.tolist() == [[2, 3, 4, 5, 2, 3, 4, 1, 1], [2, 3, 1, 1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_batches_do_not_depend_on_the_layout(corpus, world_size, micro_batch_size):
    for step in (0, 7, 40):
        expected = rows(loader(corpus).batch(step))
        layout = {"world_size": world_size, "micro_batch_size": micro_batch_size}
        got = rows([b for rank in range(world_size) for b in loader(corpus, rank=rank, **layout).batch(step)])
        assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


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
            chosen[batch.masked_positions] = True
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


def evaluation(corpus, **changes):
    values = {"seq_length": 32, "micro_batch_size": 4, "rank": 0, "world_size": 1, "mlm_probability": 0.15}
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
    for count in ("num_masked", "num_tokens"):
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


def test_evaluation_needs_a_held_out_split(tmp_path, write_corpus):
    small = write_corpus(tmp_path / "c", {"a": {"train": [[[20] * 50]]}})
    with pytest.raises(UserError, match="no windows in its split 'validation'"):
        evaluation(small)
