"""Which rows of sub-words are read together: batches of like length, padded at their end.

Shape letters: B rows of a batch, L sub-words of its longest row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from camembert_bio.evaluation.metrics import IntArray

# Batches per bucket: enough to fill batches with like lengths, few enough to stay near a random order.
_BATCHES_PER_BUCKET = 32


def shuffled_batches(lengths: Sequence[int], batch_size: int, seed: int) -> Iterator[IntArray]:
    """Endless batches of indices: each epoch shows every index once, in an order drawn from (seed, epoch).

    Within buckets of 32 batches indices are sorted by length, so that little is padded. The last
    batch of an epoch may be smaller.
    """
    sizes = np.asarray(lengths)
    epoch = 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(sizes))
        batches = []
        for first in range(0, len(order), batch_size * _BATCHES_PER_BUCKET):
            bucket = order[first : first + batch_size * _BATCHES_PER_BUCKET]
            bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
            batches += [bucket[start : start + batch_size] for start in range(0, len(bucket), batch_size)]
        for index in rng.permutation(len(batches)):
            yield batches[index]
        epoch += 1


def sorted_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
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
