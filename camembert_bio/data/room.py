"""Whether the cache of a node can hold what a run reads at a time from a corpus at an address."""

from __future__ import annotations

from camembert_bio.data.order import Order
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import TRAIN, VALIDATION, Corpus

_STEPS = 4
"""That a group must have draws for: ranks read a few steps ahead, and two groups at a time are all that must fit."""


def check_room(corpus: Corpus, shuffle_shards: int | None) -> None:
    """Refuse a cache that holds neither the corpus, nor the held-out split and two groups of shards.

    Reads no shard. Raises `UserError` with the group or the cache that would do.
    """
    if corpus.cache is None or _holds_all(corpus):
        return
    budget, heldout = corpus.cache.num_bytes, sum(_sizes(corpus, VALIDATION))
    sizes = sorted(_sizes(corpus, TRAIN), reverse=True)
    if shuffle_shards and heldout + 2 * sum(sizes[:shuffle_shards]) <= budget:
        return
    fitting = sum(heldout + 2 * sum(sizes[: count + 1]) <= budget for count in range(len(sizes)))
    least = heldout + 2 * max(sizes, default=0)
    raise UserError(
        f"storage.cache_bytes {budget:,} holds neither {corpus.place} ({heldout + sum(sizes):,} bytes) nor its "
        f"held-out split and two groups of shuffle_shards {shuffle_shards}; "
        + (f"set shuffle_shards to {fitting:,} or less" if fitting else f"give storage.cache_bytes {least:,} or more")
    )


def check_group(corpus: Corpus, order: Order) -> None:
    """Refuse groups so small that a few steps read more than two of them, where the cache does not hold all.

    Raises `UserError`.
    """
    if corpus.cache is None or _holds_all(corpus) or order.groups is None:
        return
    needed = _STEPS * order.global_batch_size
    if order.groups.smallest < needed:
        raise UserError(
            f"a group of shuffle_shards may have {order.groups.smallest:,} windows of {order.table.seq_length}, less "
            f"than {_STEPS} steps read ({needed:,}); raise shuffle_shards or storage.cache_bytes"
        )


def _holds_all(corpus: Corpus) -> bool:
    assert corpus.cache is not None
    return sum(_sizes(corpus, TRAIN)) + sum(_sizes(corpus, VALIDATION)) <= corpus.cache.num_bytes


def _sizes(corpus: Corpus, split: str) -> list[int]:
    """Bytes of each shard of a split."""
    return [entry.bytes for _, entry in corpus.manifest.shards(split)]
