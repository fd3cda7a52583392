"""Random choices that give the same result for the same key on every Python version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """A random stream named by its key, for example `Dice(seed, "case", 12)`.

    Only `random.Random.random` is used: it is the one method whose sequence the standard library
    keeps across versions ("Reproducibility" in the documentation of `random`). A document drawn
    from its own key does not change when more documents are asked for.
    """

    def __init__(self, *key: int | str) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self._draw = random.Random(int.from_bytes(digest[:8], "big")).random  # noqa: S311 (not for secrets)

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self._draw() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._draw() < probability

    def choice(self, items: Sequence[Item]) -> Item:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` items at distinct places, in random order; all of them when there are fewer."""
        pool = list(items)
        for place in range(min(count, len(pool))):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:count]
