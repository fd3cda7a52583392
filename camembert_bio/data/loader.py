"""Batches of a run and of an evaluation: pure functions of a number, so that a loader has no state.

A run's state is its step: `batch(step)` is the same after a resume, for any number of ranks and any
micro-batch size, and without the steps before it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from camembert_bio.data.batch import FILLER, Batch, Collator
from camembert_bio.data.hashing import key, permute
from camembert_bio.data.masking import masking
from camembert_bio.data.order import Draws, Order, accumulation_steps
from camembert_bio.data.windows import WindowTable, load_windows, split_shards
from camembert_bio.shards.manifest import TRAIN, VALIDATION, Corpus

_EVALUATION_SEED = 0


@dataclass(frozen=True)
class Loader:
    """The batches of one rank in a run.

    Nothing in it is collective. Opening it reads or builds the table of windows, so on many ranks
    rank 0 calls `windows.load_windows` first and the others wait for it.

    Raises `UserError` when the batch does not divide, and what `load_windows` and `Order` raise.
    """

    corpus: Corpus
    seq_length: int
    seed: int
    global_batch_size: int
    """Sequences per step, all ranks."""
    micro_batch_size: int
    """Sequences per rank per forward."""
    rank: int
    world_size: int
    mlm_probability: float
    """Share of the words (or tokens) that are chosen, in (0, 1]."""
    whole_word: bool = True
    repeats: Mapping[str, float] = field(default_factory=dict)
    """How often an epoch reads each source; 1 where it is not named."""
    split: str = TRAIN

    def __post_init__(self) -> None:
        accumulation_steps(self.global_batch_size, self.micro_batch_size, self.world_size)
        _ = self.order, self._collator  # found before the first step, and not by two threads at once

    @functools.cached_property
    def table(self) -> WindowTable:
        """The windows of the split."""
        return load_windows(self.corpus, self.split, self.seq_length)

    @functools.cached_property
    def order(self) -> Order:
        """Which windows each step reads."""
        return Order(self.table, self.seed, self.repeats, self.global_batch_size)

    @functools.cached_property
    def _collator(self) -> Collator:
        return _new_collator(self.corpus, self.split, self.table, self.seed, self.whole_word)

    def batch(self, step: int) -> list[Batch]:
        """The rank's micro-batches of a step, in the order in which they are accumulated."""
        draws = self.order.share(step, self.rank, self.world_size)
        return [
            self._collator.batch(_rows(draws, first, self.micro_batch_size), self.mlm_probability)
            for first in range(0, len(draws.window), self.micro_batch_size)
        ]

    def iterate(self, first_step: int) -> Iterator[list[Batch]]:
        """`batch(first_step)`, `batch(first_step + 1)`, ... without end, one step ahead in a thread.

        Closing the iterator ends the thread.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            ahead = thread.submit(self.batch, first_step)
            for step in itertools.count(first_step + 1):
                ready = ahead.result()
                ahead = thread.submit(self.batch, step)
                yield ready


@dataclass(frozen=True)
class EvaluationLoader:
    """One rank's batches of the held-out split: the same windows with the same masks at every pass.

    All ranks together read each window once. Every rank has the same number of batches, all of
    `micro_batch_size` rows, as a collective forward needs; rows left over are fillers in which
    nothing is masked, so a sum of losses over masked tokens needs no correction. Nothing here is
    collective.

    Raises what `load_windows` raises.
    """

    corpus: Corpus
    seq_length: int
    micro_batch_size: int
    rank: int
    world_size: int
    mlm_probability: float
    whole_word: bool = True
    max_windows: int | None = None
    """Read the first so many windows of a fixed permutation; None reads all."""
    split: str = VALIDATION

    def __post_init__(self) -> None:
        _ = self._collator

    @functools.cached_property
    def _collator(self) -> Collator:
        table = load_windows(self.corpus, self.split, self.seq_length)
        return _new_collator(self.corpus, self.split, table, _EVALUATION_SEED, self.whole_word)

    @property
    def num_windows(self) -> int:
        """Windows that all ranks read together."""
        num_windows = len(self._collator.table)
        return num_windows if self.max_windows is None else min(num_windows, self.max_windows)

    def __len__(self) -> int:
        return math.ceil(self.num_windows / (self.micro_batch_size * self.world_size))

    def __iter__(self) -> Iterator[Batch]:
        size = self.micro_batch_size
        for index in range(len(self)):
            first = (index * self.world_size + self.rank) * size
            yield self._collator.batch(self._draws(first), self.mlm_probability)

    def _draws(self, first: int) -> Draws:
        """The samples of the batch that begins at a place of the permutation, fillers after its end."""
        places = np.arange(first, first + self.micro_batch_size)
        windows = np.full(len(places), FILLER, dtype=np.int64)
        real = places < self.num_windows
        windows[real] = permute(places[real], len(self._collator.table), key(_EVALUATION_SEED, "evaluation"))
        return Draws(np.zeros_like(places), places, windows)


def _new_collator(corpus: Corpus, split: str, table: WindowTable, seed: int, whole_word: bool) -> Collator:
    tokens = [shard.input_ids for _, shard in split_shards(corpus, split)]
    return Collator(table, tokens, corpus.vocabulary, masking(corpus.vocabulary, seed, whole_word))


def _rows(draws: Draws, first: int, count: int) -> Draws:
    return Draws(*(values[first : first + count] for values in draws))
