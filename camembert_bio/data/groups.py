"""An epoch that reads its shards group by group, so that few of them need to be at hand.

The shards of an epoch are permuted and cut into groups of nearly equal size; the draws of a group are permuted among
themselves. Everything is a function of (seed, seq_length, epoch): which group holds a place of the epoch is found by
bisection, the rest is arithmetic.

Shape letters: H shards that are read, G groups.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from camembert_bio.data.hashing import I64, key, permute
from camembert_bio.data.windows import WindowTable


class _Epoch(NamedTuple):
    """The shards of an epoch, in the order in which it reads them."""

    shards: I64
    """Indices into `Groups.shards`: [H]."""
    ends: I64
    """Draws of the shards up to each one: [H]."""
    bounds: I64
    """Group g has the shards from `bounds[g]` to `bounds[g + 1]`: [G + 1]."""
    group_ends: I64
    """Draws of the groups up to each one: [G]."""


class Groups:
    """The draws of each epoch by groups of at most `shuffle_shards` shards.

    An epoch draws each window of source s `whole[s]` times, and `extra[s]` of them once more. The extra ones are shared
    out over the source's shards by their windows, exactly; in each shard an epoch reads on where the one before
    stopped.
    """

    def __init__(self, table: WindowTable, seed: int, whole: I64, extra: I64, shuffle_shards: int) -> None:
        self._key = (seed, table.seq_length)
        shards, first, windows = np.unique(table.shard, return_index=True, return_counts=True)
        source = table.source_of(first)
        extras = _shared(windows, source, extra)
        read = whole[source] * windows + extras > 0
        self.shards, self._first, self._windows, self._extra = shards[read], first[read], windows[read], extras[read]
        self._whole = whole[source[read]] * self._windows
        self._draws = self._whole + self._extra
        num_groups = math.ceil(len(self.shards) / shuffle_shards)
        self._bounds = np.arange(num_groups + 1) * len(self.shards) // num_groups
        self._epoch = functools.lru_cache(maxsize=4)(self._new_epoch)

    @property
    def smallest(self) -> int:
        """Draws that any group has at least."""
        return int(np.sort(self._draws)[: np.diff(self._bounds).min()].sum())

    def windows_of(self, epoch: int, places: I64) -> I64:
        """The windows at some places of an epoch."""
        order = self._epoch(epoch)
        group = np.searchsorted(order.group_ends, places, side="right")
        slots = np.empty_like(places)
        for number in np.unique(group).tolist():
            rows = group == number
            first = int(order.group_ends[number - 1]) if number else 0
            size = int(order.group_ends[number]) - first
            slots[rows] = first + permute(places[rows] - first, size, key(*self._key, epoch, number, "group"))
        position = np.searchsorted(order.ends, slots, side="right")
        shard = order.shards[position]
        within = slots - (order.ends[position] - self._draws[shard])
        local: I64 = within % self._windows[shard]
        extra = within - self._whole[shard]
        for number in np.unique(shard[extra >= 0]).tolist():
            rows = (shard == number) & (extra >= 0)
            local[rows] = self._extra_windows(epoch, number, extra[rows])
        return self._first[shard] + local

    def group_of(self, epoch: int, place: int) -> tuple[tuple[int, ...], int]:
        """The shards, as the table numbers them, of the group that a place of an epoch is in, and where it ends."""
        order = self._epoch(epoch)
        number = int(np.searchsorted(order.group_ends, place, side="right"))
        shards = order.shards[order.bounds[number] : order.bounds[number + 1]]
        return tuple(self.shards[shards].tolist()), int(order.group_ends[number])

    def _new_epoch(self, epoch: int) -> _Epoch:
        shards = permute(np.arange(len(self.shards)), len(self.shards), key(*self._key, epoch, "shards"))
        ends = np.cumsum(self._draws[shards])
        return _Epoch(shards, ends, self._bounds, ends[self._bounds[1:] - 1])

    def _extra_windows(self, epoch: int, number: int, places: I64) -> I64:
        """Windows of the fractional repeat in one shard, counted from its first."""
        windows = int(self._windows[number])
        turned = (places + epoch * int(self._extra[number]) % windows) % windows
        return permute(turned, windows, key(*self._key, int(self.shards[number]), "share"))


def _shared(windows: I64, source: I64, extra: I64) -> I64:
    """Each source's extra draws over its shards, by their windows, so that the sum is exact: [H]."""
    shared = np.zeros_like(windows)
    for number in np.unique(source).tolist():
        mine = source == number
        ends = np.cumsum(windows[mine])
        shared[mine] = np.diff(ends * extra[number] // ends[-1], prepend=0)
    return shared
