"""Random numbers that are arithmetic: a hash of a key and a counter, of no library's generator.

The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
number generators", constants of Stafford's variant 13). All arithmetic is modulo 2^64.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ROUNDS = 6


def key(*parts: int | str) -> U64:
    """A key [1] of the tuple of parts: (seed 1, epoch 1) and (seed 2, epoch 0) have nothing in common."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def draw(keys: U64, counters: npt.NDArray[np.integer]) -> U64:
    """64 random bits for each (key, counter); the arguments broadcast, counters are not negative."""
    bits = counters.astype(np.uint64)
    bits *= _STEP
    bits = bits + (keys + _STEP)
    bits ^= bits >> np.uint64(30)
    bits *= _FIRST
    bits ^= bits >> np.uint64(27)
    bits *= _SECOND
    bits ^= bits >> np.uint64(31)
    return bits


def permute(indices: I64, size: int, keys: U64) -> I64:
    """The places of `indices` in a permutation of `range(size)` named by a key [1].

    O(1) an index: a six-round Feistel network on (left, right) pairs of about sqrt(size) values
    each, walked until the value falls below `size` (cycle walking, Black and Rogaway 2002).
    """
    left_size = math.isqrt(size - 1) + 1 if size > 1 else 1
    right_size = -(-size // left_size)
    round_keys = draw(keys, np.arange(_ROUNDS))
    sizes = np.uint64(left_size), np.uint64(right_size)
    places = _feistel(indices.astype(np.uint64), *sizes, round_keys)
    while len(walking := np.flatnonzero(places >= size)):
        places[walking] = _feistel(places[walking], *sizes, round_keys)
    return places.astype(np.int64)


def _feistel(values: U64, left_size: np.uint64, right_size: np.uint64, round_keys: U64) -> U64:
    """One pass over `range(left_size * right_size)`; halving the bits keeps the sum below 2^64."""
    left, right = values // right_size, values % right_size
    for first, second in round_keys.reshape(-1, 2, 1):
        left = (left + (draw(first, right) >> np.uint64(1))) % left_size
        right = (right + (draw(second, left) >> np.uint64(1))) % right_size
    return left * right_size + right
