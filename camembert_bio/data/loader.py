"""Batches of a run and of an evaluation: pure functions of a number, so that a loader has no state.

A run's state is its step: `batch(step)` is the same after a resume, for any number of ranks and any
micro-batch size, and without the steps before it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from camembert_bio.data.batch import Batch, Collator, Objective
from camembert_bio.data.hashing import key, permute
from camembert_bio.data.masking import masking
from camembert_bio.data.order import Draws, Order, accumulation_steps
from camembert_bio.data.rows import FILLER, Rows, lay_out
from camembert_bio.data.tokens import FetchedTokens, open_tokens
from camembert_bio.data.windows import WindowTable, load_windows, split_entries
from camembert_bio.errors import UserError, nearest
from camembert_bio.shards.manifest import TRAIN, VALIDATION, Corpus

EVALUATION_MLM_PROBABILITY = 0.15
"""Of held-out evaluation, whatever the training rate, so that runs can be compared."""

_EVALUATION_SEED = 0
_LAID_OUT_AHEAD = 4096
"""Windows that a rank works out the places of at once: a few hundred bytes each."""


@dataclass(frozen=True)
class Loader:
    """The batches of one rank in a run, or in one of its phases.

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
    mlm_probability: float | Callable[[int], float]
    """Share of the words (or tokens) that are chosen, in (0, 1], or a function of the step that gives it."""
    whole_word: bool = True
    objective: Objective = "masked"
    """`causal` masks nothing, and has no use for `mlm_probability` and `whole_word`."""
    first_step: int = 0
    """The run's step at which the phase begins; `batch` and `iterate` take the run's steps from this one on."""
    first_sample: int = 0
    """Windows that earlier phases of this `seq_length` read: the epoch goes on where they stopped."""
    repeats: Mapping[str, float] = field(default_factory=dict)
    """How often an epoch reads each source; 1 where it is not named."""
    shuffle_shards: int | None = None
    """Shards that are read at a time, see `Order`; None permutes all windows."""
    split: str = TRAIN
    num_threads: int = 1
    """Threads that make batches ahead of the one in use, each a step at a time."""
    pin_memory: bool = False
    """Make batches in page-locked memory, which a GPU copies from while it works."""

    def __post_init__(self) -> None:
        accumulation_steps(self.global_batch_size, self.micro_batch_size, self.world_size)
        _ = self.order, self.collator  # found before the first step, and not by two threads at once

    @functools.cached_property
    def table(self) -> WindowTable:
        """The windows of the split; `Batch.sources` are indices of its `sources`."""
        return load_windows(self.corpus, self.split, self.seq_length)

    @functools.cached_property
    def order(self) -> Order:
        """Which windows each step reads."""
        return Order(
            self.table,
            self.seed,
            self.repeats,
            self.global_batch_size,
            self.first_step,
            self.first_sample,
            self.shuffle_shards,
        )

    @functools.cached_property
    def collator(self) -> Collator:
        """What makes batches of windows."""
        return _new_collator(self.corpus, self.split, self.table, self.seed, self.objective, self.whole_word)

    def mask_rate(self, step: int) -> float:
        """`mlm_probability` at a step."""
        return self.mlm_probability(step) if callable(self.mlm_probability) else self.mlm_probability

    def batch(self, step: int) -> list[Batch]:
        """The rank's micro-batches of a step, in the order in which they are accumulated."""
        return self._make(step, next(self.samples(step, 1)))

    def iterate(self, first_step: int) -> Generator[list[Batch]]:
        """`batch(first_step)`, `batch(first_step + 1)`, ... without end, made ahead in threads.

        Closing the iterator ends the threads.
        """
        samples = self.samples(first_step, math.ceil(_LAID_OUT_AHEAD * self.world_size / self.global_batch_size))
        with self._threads() as threads:
            made = (threads.submit(self._make, *each) for each in zip(itertools.count(first_step), samples))
            ahead = deque(itertools.islice(made, self.num_threads + 1))
            while True:
                ready = ahead.popleft().result()
                ahead.append(next(made))
                yield ready

    def samples(self, first_step: int, num_ahead: int) -> Iterator[tuple[Draws, Rows]]:
        """The rank's samples of each step from the first on, and their rows, worked out `num_ahead` steps at once."""
        count = self.global_batch_size // self.world_size
        for step in itertools.count(first_step, num_ahead):
            draws = self.order.shares(step, num_ahead, self.rank, self.world_size)
            rows = lay_out(self.table, draws.window)
            for first in range(0, len(rows), count):
                yield draws.part(first, count), rows.part(first, count)

    def _make(self, step: int, samples: tuple[Draws, Rows]) -> list[Batch]:
        """The micro-batches of a step from its samples."""
        if isinstance(self.collator.shards, FetchedTokens):
            self.collator.shards.want(*self.order.shards(step))
        batches = self.collator.batches(*samples, self.micro_batch_size, self.mask_rate(step))
        return [batch.pin_memory() for batch in batches] if self.pin_memory else batches

    def _threads(self) -> ThreadPoolExecutor:
        if not self.pin_memory:
            return ThreadPoolExecutor(self.num_threads, thread_name_prefix="batches")
        # A new thread's device is the first one, where pinning would take memory from another rank.
        device = torch.accelerator.current_device_index()
        return ThreadPoolExecutor(self.num_threads, "batches", torch.accelerator.set_device_index, (device,))


@dataclass(frozen=True)
class EvaluationLoader:
    """One rank's batches of the held-out split: the same windows with the same masks at every pass.

    All ranks together read each window once. Every rank has the same number of batches, all of
    `micro_batch_size` rows, as a collective forward needs; rows left over are fillers in which
    nothing is predicted, so a sum of losses over targets needs no correction. Masking chooses 15 %.
    Nothing here is collective.

    Raises `UserError` when the split has no windows of the source, and what `load_windows` raises.
    """

    corpus: Corpus
    seq_length: int
    micro_batch_size: int
    rank: int
    world_size: int
    whole_word: bool = True
    objective: Objective = "masked"
    """As in `Loader`."""
    max_windows: int | None = None
    """Read the first so many windows of a fixed permutation; None reads all."""
    source: str | None = None
    """Read the windows of this source alone; None reads those of all."""
    split: str = VALIDATION

    def __post_init__(self) -> None:
        _ = self.collator, self._windows

    @functools.cached_property
    def collator(self) -> Collator:
        """What makes batches of windows."""
        table = load_windows(self.corpus, self.split, self.seq_length)
        return _new_collator(self.corpus, self.split, table, _EVALUATION_SEED, self.objective, self.whole_word)

    @functools.cached_property
    def _windows(self) -> range:
        """The windows that a pass without `max_windows` reads."""
        table = self.collator.table
        if self.source is None:
            return range(len(table))
        if self.source not in table.sources:
            raise UserError(
                f"the split {self.split!r} has no windows of the source {self.source!r}"
                f" ({nearest(self.source, table.sources)})"
            )
        place = table.sources.index(self.source)
        return range(int(table.source_offsets[place]), int(table.source_offsets[place + 1]))

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have windows in the split; `Batch.sources` are indices of them."""
        return self.collator.table.sources

    @property
    def num_windows(self) -> int:
        """Windows that all ranks read together."""
        num_windows = len(self._windows)
        return num_windows if self.max_windows is None else min(num_windows, self.max_windows)

    def __len__(self) -> int:
        return math.ceil(self.num_windows / (self.micro_batch_size * self.world_size))

    def __iter__(self) -> Iterator[Batch]:
        size = self.micro_batch_size
        for index in range(len(self)):
            first = (index * self.world_size + self.rank) * size
            draws = self._draws(first)
            rows = lay_out(self.collator.table, draws.window)
            yield from self.collator.batches(draws, rows, size, EVALUATION_MLM_PROBABILITY)

    def _draws(self, first: int) -> Draws:
        """The samples of the batch that begins at a place of the permutation, fillers after its end.

        A window is named by itself, so that it has the same masks alone in its source and among all.
        """
        places = np.arange(first, first + self.micro_batch_size)
        windows = np.full(len(places), FILLER, dtype=np.int64)
        real = places < self.num_windows
        windows[real] = permute(places[real], len(self._windows), key(_EVALUATION_SEED, "evaluation"))
        windows[real] += self._windows.start
        return Draws(np.zeros_like(places), np.maximum(windows, 0), windows)


def _new_collator(
    corpus: Corpus, split: str, table: WindowTable, seed: int, objective: Objective, whole_word: bool
) -> Collator:
    tokens = open_tokens(corpus, [entry for _, entry in split_entries(corpus, split)])
    masked = masking(corpus.vocabulary, seed, whole_word) if objective == "masked" else None
    return Collator(table, tokens, corpus.vocabulary, masked)
