"""The order of windows as arithmetic: which windows a step reads, in O(1) and with no state.

Samples of one `seq_length` are numbered from 0 through all phases of a run that have it; a step reads
`global_batch_size` of them, where the step before stopped. Sample i is draw `i % epoch_length` of
epoch `i // epoch_length`. Lengths have orders that have nothing in common.

An epoch is a permutation of all its draws, or one by groups of shards (`groups`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from camembert_bio.data.groups import Groups
from camembert_bio.data.hashing import I64, key, permute
from camembert_bio.data.windows import WindowTable
from camembert_bio.errors import UserError, nearest, raise_all

_MAX_REPEATS = 1_000_000


Shards = tuple[int, ...]
"""Shards as a table of windows numbers them."""


class Draws(NamedTuple):
    """Samples of one `seq_length`, arrays of one length."""

    epoch: I64
    draw: I64
    """The sample's place in its epoch."""
    window: I64

    def part(self, first: int, count: int) -> Draws:
        """Some of the samples, one after the other."""
        return Draws(*(values[first : first + count] for values in self))


def accumulation_steps(global_batch_size: int, micro_batch_size: int, world_size: int) -> int:
    """Micro-batches that each rank runs in a step.

    Raises `UserError` with the nearest sizes that fit when the batch does not divide.
    """
    unit = micro_batch_size * world_size
    if global_batch_size % unit:
        fitting = max(1, global_batch_size // unit) * unit
        raise UserError(
            f"global_batch_size {global_batch_size} is not a multiple of micro_batch_size {micro_batch_size}"
            f" x {world_size} ranks = {unit}; use {fitting} or {fitting + unit}"
        )
    return global_batch_size // unit


class Order:
    """The permutation of each epoch, with exact repeats of each source.

    `repeats` maps a source to how often an epoch reads it, 1 where it is not named. 2 reads each of
    its windows exactly twice an epoch; the fraction of 1.25 reads a quarter of them (rounded to
    whole windows, at least one) once more, the next quarter in the next epoch, so that four epochs
    read each window exactly five times where the quarter is whole.

    Step `first_step` reads the samples from `first_sample` on: a phase that follows others of its length
    gives the number of samples that they read. With `shuffle_shards` an epoch reads groups of so many shards, one
    after the other, and permutes what it draws within each.

    Raises `UserError` for repeats that are negative, above a million, not finite, all zero, or of an unknown source.
    """

    def __init__(
        self,
        table: WindowTable,
        seed: int,
        repeats: Mapping[str, float],
        global_batch_size: int,
        first_step: int = 0,
        first_sample: int = 0,
        shuffle_shards: int | None = None,
    ) -> None:
        _check(repeats, table.sources)
        self.table = table
        self.seed = seed
        self.global_batch_size = global_batch_size
        self.first_step = first_step
        self.first_sample = first_sample
        wanted = [float(repeats.get(source, 1.0)) for source in table.sources]
        self._windows = np.diff(table.source_offsets)
        self._whole = np.array([math.floor(value) for value in wanted], dtype=np.int64)
        share = np.array([value % 1.0 for value in wanted])
        self._extra = np.where(share > 0, np.maximum(1, np.rint(share * self._windows)), 0).astype(np.int64)
        self._ends = np.cumsum(self._whole * self._windows + self._extra)
        self.groups = Groups(table, seed, self._whole, self._extra, shuffle_shards) if shuffle_shards else None

    @property
    def epoch_length(self) -> int:
        """Samples of an epoch."""
        return int(self._ends[-1])

    def draws(self, first: int, count: int) -> Draws:
        """The samples `first` to `first + count - 1`."""
        return self._draws(np.arange(first, first + count))

    def _draws(self, numbers: I64) -> Draws:
        """Some samples by their ascending numbers."""
        assert numbers[0] >= 0, "samples are numbered from 0"
        epochs, places = numbers // self.epoch_length, numbers % self.epoch_length
        windows = np.empty_like(numbers)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            rows = epochs == epoch
            windows[rows] = self._windows_of(epoch, places[rows])
        return Draws(epochs, places, windows)

    def windows(self, step: int) -> Draws:
        """The samples of a step, over all ranks: [global_batch_size]."""
        return self.share(step, 0, 1)

    def share(self, step: int, rank: int, world_size: int) -> Draws:
        """The contiguous share of a step's samples that a rank reads; the batch divides by `world_size`."""
        return self.shares(step, 1, rank, world_size)

    def shares(self, first_step: int, num_steps: int, rank: int, world_size: int) -> Draws:
        """A rank's shares of some steps, one after the other.

        A thousand samples at once take 0.4 us each, 32 take 5 us each: what numpy's calls cost.
        """
        count = self.global_batch_size // world_size
        first = self._first_of(first_step) + rank * count
        steps = np.arange(num_steps)[:, None] * self.global_batch_size
        return self._draws((first + steps + np.arange(count)).reshape(-1))

    def shards(self, step: int) -> tuple[Shards, Shards]:
        """The shards of the groups that a step reads from, and of the group after them; all and none without groups."""
        if self.groups is None:
            return self._all_shards, ()
        first = self._first_of(step)
        now: list[int] = []
        while True:
            epoch, place = divmod(first, self.epoch_length)
            shards, end = self.groups.group_of(epoch, place)
            if first >= self._first_of(step + 1):
                return tuple(now), shards
            now += shards
            first = epoch * self.epoch_length + end

    def _first_of(self, step: int) -> int:
        """The first sample of a step."""
        return self.first_sample + (step - self.first_step) * self.global_batch_size

    @functools.cached_property
    def _all_shards(self) -> Shards:
        return tuple(np.unique(self.table.shard).tolist())

    def _windows_of(self, epoch: int, places: I64) -> I64:
        """The windows at some places of an epoch."""
        if self.groups is not None:
            return self.groups.windows_of(epoch, places)
        slots = permute(places, self.epoch_length, key(self.seed, self.table.seq_length, epoch, "epoch"))
        source = np.searchsorted(self._ends, slots, side="right")
        within = slots - np.concatenate([[0], self._ends])[source]
        extra = within - self._whole[source] * self._windows[source]
        local: I64 = within % self._windows[source]
        for index in np.unique(source[extra >= 0]).tolist():
            rows = (source == index) & (extra >= 0)
            local[rows] = self._extra_windows(epoch, index, extra[rows])
        local += self.table.source_offsets[source]
        return local

    def _extra_windows(self, epoch: int, source: int, places: I64) -> I64:
        """Windows of the fractional repeat: each epoch reads on where the one before stopped."""
        windows = int(self._windows[source])
        turned = (places + epoch * int(self._extra[source]) % windows) % windows
        return permute(turned, windows, key(self.seed, self.table.seq_length, self.table.sources[source], "share"))


def _check(repeats: Mapping[str, float], sources: tuple[str, ...]) -> None:
    mistakes = [f"repeats of {name!r}: no such source ({nearest(name, sources)})" for name in repeats.keys() - sources]
    mistakes += [
        f"repeats of {name!r} are {value}; use a finite number up to {_MAX_REPEATS:,}"
        for name, value in repeats.items()
        if not 0 <= value <= _MAX_REPEATS  # NaN neither
    ]
    if all(repeats.get(source, 1.0) == 0 for source in sources):
        mistakes.append("repeats of every source are 0, so an epoch reads nothing; give one of them 1")
    raise_all("The repeats of the sources cannot be used:", sorted(mistakes))
