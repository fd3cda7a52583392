import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camembert_bio.data.masking import masking
from camembert_bio.shards import words


def words_of(ids, vocabulary):
    """Words by a loop over the pieces, independent of the arrays: lists of positions, specials left out."""
    found, glue, after_special = [], False, True
    for position, token in enumerate(ids):
        piece = vocabulary.pieces[token]
        if token in vocabulary.special_ids:
            glue, after_special = False, True
            continue
        if after_special or (piece.startswith("▁") and not glue):
            found.append([])
        found[-1].append(position)
        glue, after_special = piece == "▁", False
    return found


def rows_of(vocabulary, make_document, rng, rows, length):
    ids = np.full((rows, length), vocabulary.pad_id, np.int64)
    for row in ids:
        inner = make_document(rng, int(rng.integers(1, length - 1)))
        row[: len(inner) + 2] = [vocabulary.bos_id, *inner, vocabulary.eos_id]
    return ids


def names(rows, epoch=0, first=0):
    return np.full(rows, epoch), np.arange(first, first + rows)


def apply(vocabulary, ids, p=0.15, seed=0, whole_word=True, epoch=0, first=0):
    """The corrupted ids and which positions were chosen, both [B, L]."""
    corrupted, places = masking(vocabulary, seed, whole_word).apply(ids, *names(len(ids), epoch, first), p)
    assert (np.diff(places) > 0).all()
    chosen = np.zeros(ids.shape, bool)
    chosen.reshape(-1)[places] = True
    return corrupted, chosen


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(8, 120), p=st.floats(0.01, 1.0))
def test_words_are_whole_and_decided_once(vocabulary, make_document, seed, length, p):
    ids = rows_of(vocabulary, make_document, np.random.default_rng(seed), 4, length)
    corrupted, chosen = apply(vocabulary, ids, p, seed=seed)
    assert np.array_equal(corrupted[~chosen], ids[~chosen])
    for row in range(4):
        for word in words_of(ids[row].tolist(), vocabulary):
            assert len(set(chosen[row, word].tolist())) == 1
            masked = corrupted[row, word] == vocabulary.mask_id
            assert masked.all() or not masked.any()
            kept = corrupted[row, word] == ids[row, word]
            if chosen[row, word[0]] and not masked.any() and len(word) > 1:
                # A random piece may equal the one it replaces, once in 304.
                assert kept.all() or kept.mean() < 1


def test_a_lone_space_belongs_to_the_next_word(vocabulary):
    lone, opener, inner = vocabulary.pieces.index("▁"), 20, 200
    kinds = words.kinds_of(vocabulary)
    ids = np.array([opener, lone, inner, inner, lone, opener, opener, inner])
    assert np.flatnonzero(words.word_starts(kinds.take(ids))).tolist() == [1, 4, 6]


@pytest.mark.parametrize("seed", range(3))
def test_specials_are_never_chosen_nor_drawn(vocabulary, make_document, seed):
    rng = np.random.default_rng(seed)
    ids = rows_of(vocabulary, make_document, rng, 200, 64)
    assert (ids == vocabulary.unk_id).any()
    for whole_word in (True, False):
        corrupted, chosen = apply(vocabulary, ids, 1.0, seed=seed, whole_word=whole_word)
        assert np.array_equal(chosen, ~vocabulary.is_special[ids])
        new = corrupted[(corrupted != ids) & (corrupted != vocabulary.mask_id)]
        assert len(new) and not vocabulary.is_special[new].any()


@pytest.mark.parametrize("p", [0.15, 0.3])
@pytest.mark.parametrize("whole_word", [True, False])
def test_rates(vocabulary, p, whole_word):
    """One-piece words, so that every position is a draw of its own; bounds at 4.5 sigma."""
    ids = np.random.default_rng(1).integers(12, 162, (400, 512))
    corrupted, chosen = apply(vocabulary, ids, p, whole_word=whole_word)

    def assert_share(count, total, share):
        assert abs(count - total * share) < 4.5 * math.sqrt(total * share * (1 - share)), (count / total, share)

    total = int(chosen.sum())
    assert_share(total, ids.size, p)
    assert_share(int((corrupted[chosen] == vocabulary.mask_id).sum()), total, 0.8)
    kept = 0.1 + 0.1 / 304  # the random token equals the old one once in 304
    assert_share(int((corrupted[chosen] == ids[chosen]).sum()), total, kept)


def test_words_of_any_length_are_chosen_alike(vocabulary, make_document):
    rng = np.random.default_rng(5)
    ids = rows_of(vocabulary, make_document, rng, 1200, 128)
    _, chosen = apply(vocabulary, ids)
    by_length = {}
    for row in range(len(ids)):
        for word in words_of(ids[row].tolist(), vocabulary):
            by_length.setdefault(min(len(word), 5), []).append(bool(chosen[row, word[0]]))
    assert set(by_length) == {1, 2, 3, 4, 5}
    for hits in by_length.values():
        assert abs(sum(hits) - 0.15 * len(hits)) < 4.5 * math.sqrt(len(hits) * 0.15 * 0.85)


def test_random_tokens_are_uniform(vocabulary):
    ids = np.full((1000, 512), 20)
    corrupted, _ = apply(vocabulary, ids)
    drawn = corrupted[(corrupted != vocabulary.mask_id) & (corrupted != 20)]
    counts = np.bincount(drawn, minlength=len(vocabulary))
    ordinary = np.flatnonzero(~vocabulary.is_special)
    ordinary = ordinary[ordinary != 20]
    expected = len(drawn) / len(ordinary)
    chi2 = float(((counts[ordinary] - expected) ** 2 / expected).sum())
    assert abs(chi2 - (len(ordinary) - 1)) < 5 * math.sqrt(2 * len(ordinary))


def test_masks_are_named_by_seed_epoch_and_draw(vocabulary):
    ids = np.random.default_rng(1).integers(12, 162, (64, 128))
    same = apply(vocabulary, ids, seed=1, epoch=1, first=10)
    again = apply(vocabulary, ids, seed=1, epoch=1, first=10)
    assert all(np.array_equal(x, y) for x, y in zip(same, again, strict=True))
    part = apply(vocabulary, ids[20:30], seed=1, epoch=1, first=30)
    assert np.array_equal(part[0], same[0][20:30])
    variants = [(1, 1, 10), (2, 0, 10), (1, 0, 10), (0, 1, 10), (1, 2, 10), (1, 1, 11), (1, 10, 1)]
    chosen = [apply(vocabulary, ids, seed=s, epoch=e, first=f)[1] for s, e, f in variants]
    for index, one in enumerate(chosen):
        for other in chosen[:index]:
            both = int((one & other).sum())  # independent: 0.0225 of 8192
            assert abs(both - 184) < 5 * math.sqrt(184)


def test_masks_of_two_lengths_are_independent(vocabulary):
    ids = np.random.default_rng(1).integers(12, 162, (64, 256))
    (_, short), (_, long) = apply(vocabulary, ids[:, :128]), apply(vocabulary, ids)
    both = int((short & long[:, :128]).sum())  # 0.0225 of 8192
    assert abs(both - 184) < 5 * math.sqrt(184)


def test_rows_are_independent(vocabulary):
    ids = np.full((400, 64), 20)
    _, chosen = apply(vocabulary, ids)
    per_row = chosen.sum(1)
    assert abs(per_row.var() / (64 * 0.15 * 0.85) - 1) < 5 * math.sqrt(2 / 400)


def test_nothing_may_be_chosen(vocabulary):
    ids = np.array([[5, 20, 6, 1, 1, 1, 1, 1]])
    corrupted, chosen = apply(vocabulary, ids, 1e-9)
    assert not chosen.any() and np.array_equal(corrupted, ids)


def test_ids_given_are_left_alone(vocabulary):
    ids = np.full((4, 64), 20)
    apply(vocabulary, ids, 1.0)
    assert (ids == 20).all()
