"""Which rows of sub-words are read together: batches of like length, padded at their end.

Shape letters: B rows of a batch, L sub-words of its longest row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from camembert_bio.evaluation.metrics import IntArray

BatchUnit = Literal["windows", "sub-words"]
"""What the size of a batch counts."""

# Batches per bucket: enough to fill batches with like lengths, few enough to stay near a random order.
_BATCHES_PER_BUCKET = 32


class Batch(NamedTuple):
    """Training examples of one step."""

    indices: IntArray
    """[B]"""
    ends_epoch: bool


def shuffled_batches(lengths: Sequence[int], size: int, unit: BatchUnit, seed: int) -> Iterator[Batch]:
    """Endless batches: each epoch shows every index once, in an order drawn from (seed, epoch) alone."""
    assert len(lengths) > 0, "an epoch without a batch never ends"
    for epoch in itertools.count():
        batches = epoch_batches(lengths, size, unit, seed, epoch)
        for number, indices in enumerate(batches, start=1):
            yield Batch(indices, number == len(batches))


def epoch_batches(lengths: Sequence[int], size: int, unit: BatchUnit, seed: int, epoch: int) -> list[IntArray]:
    """The batches of one epoch: of `size` examples, or of at most `size` sub-words with padding.

    Examples are shuffled, then sorted by length within buckets of about 32 batches, so that little is padded. A
    bucket's last batch may be smaller.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    sizes = np.asarray(lengths)
    amounts = np.ones_like(order) if unit == "windows" else sizes[order]
    before, total = np.cumsum(amounts) - amounts, amounts.sum()
    # Buckets of equal size: a small last one would be padded much.
    num_buckets = max(1, round(total / (size * _BATCHES_PER_BUCKET)))
    bucket = before * num_buckets // total
    batches: list[IntArray] = []
    for members in np.split(order, np.flatnonzero(np.diff(bucket)) + 1):
        ordered = members[np.argsort(sizes[members], kind="stable")]
        if unit == "windows":
            batches += [ordered[start : start + size] for start in range(0, len(ordered), size)]
        else:
            batches += [ordered[part] for part in sorted_batches(sizes[ordered], size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def sorted_batches(lengths: Sequence[int] | IntArray, max_tokens: int) -> list[list[int]]:
    """Indices, shortest first, in batches of at most `max_tokens` sub-words with padding (or of one row)."""
    batches: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        if batches and (len(batches[-1]) + 1) * lengths[index] <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad(rows: Sequence[IntArray], value: int) -> IntArray:
    """[B, L] or [B, L, M] of rows of unequal length, filled with `value` at their end."""
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
