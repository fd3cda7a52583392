"""How sure a score is: intervals over documents and seeds, paired tests of two models, Holm's correction.

A score is a ratio of sums over documents (F1: twice the entities found over those predicted and annotated), computed
for each seed and averaged over seeds. Every seed predicts every document, so both vary crosswise, and both are samples:
other documents, other seeds would have given other scores.

The spread has two parts: what documents do to all seeds together, and what seeds do to all documents together. Drawing
both anew and independently, the usual hierarchical bootstrap, counts what is left (seed by document) three times;
drawing documents alone, the usual paired test, takes the luck of a few seeds for a difference of models: on synthetic
models that differ by their seeds alone it told a difference, at the level of 5 %, in 18 % of the experiments with ten
seeds and in 43 % with five. Here documents are drawn with all their seeds, and to each draw is added a normal effect of
the seeds, of the variance that documents do not explain: five or ten seeds are too few to draw from. The spread of the
draws is then brought to that of an analysis of variance, their tails to those of Cochran's mean of t distributions.
Draws in which a seed has nothing to count are left out.

A few documents that agree seem not to vary at all. So no difference has a p-value below that of swapping the two models
on documents at random: 0.5 with two documents.

Shape letters: S seeds, D documents, R draws.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from camembert_bio.evaluation.spread import FloatArray, Ratios, Spread, num_counting, ratio, spread_of

NUM_DRAWS = 10_000
"""Draws of a bootstrap and of a permutation test: p-values have a standard error below 0.0025 around 0.05."""
LEVEL = 0.95
"""Of the intervals."""

SHARES = (0.0, 1.0)
"""Between which scores lie that are shares."""

_CELLS = 4_000_000  # of a block of draws: 32 MB
_SEED = 0  # the same report each time it is written
_RESOLVED = 5  # draws beyond which a quantile is theirs; further out the spread decides alone


@dataclass(frozen=True)
class Interval:
    """A mean score or difference and the interval around it.

    Without one where nothing tells of another sample: fewer than two documents count, or nothing varies.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A model minus another, on the same documents and seeds."""

    interval: Interval
    spread: Spread
    per_seed: tuple[float, ...]
    p: float
    """The one that is reported: the larger of two. The bootstrap's, which is one minus the level of the widest interval
    that leaves out 0, and the share of swaps of the two models on documents alone that give a difference as large."""
    p_permutation: float
    """Of swaps of documents and of seeds. With fewer than five seeds it errs up to 1.8 times as often as it says, or,
    where seeds vary most, can hardly be small: the signs of three seeds are one in four times all the same."""

    @property
    def effect(self) -> float | None:
        """The mean over the standard deviation over seeds (Cohen's d of paired values); None without a deviation."""
        deviation = np.std(self.per_seed, ddof=1) if len(self.per_seed) > 1 else 0.0
        return float(self.interval.mean / deviation) if deviation > 0 else None


def interval(
    ratios: Ratios, level: float = LEVEL, num_draws: int = NUM_DRAWS, bounds: tuple[float, float] = SHARES
) -> Interval:
    """The mean over seeds of a score that lies in `bounds`, and its interval over documents and seeds.

    With one seed the interval is over documents alone: how another seed would score cannot be told.
    """
    mean = float(ratios.per_seed.mean())
    if (spread := _told(ratios)) is None:
        return Interval(mean, None, None)
    draws_R = _draws(lambda w: _ratios_of(ratios, w), spread, num_draws)
    return _interval(draws_R, mean, spread, level, bounds)


def analytic_interval(ratios: Ratios, level: float = LEVEL) -> Interval:
    """As `interval`, without draws and so symmetric: at once, for the many figures of a report that decide nothing."""
    mean = float(ratios.per_seed.mean())
    if (spread := _told(ratios)) is None:
        return Interval(mean, None, None)
    half = spread.reach(level) * spread.standard_error
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def difference(
    before: Ratios, after: Ratios, level: float = LEVEL, num_draws: int = NUM_DRAWS, largest: float = 1.0
) -> Difference:
    """`after` minus `before`: the same seeds in the same rows, the same documents in the same columns.

    `largest` is the largest difference that two scores can have.

    Raises `ValueError` when their shapes differ, or there are fewer than two documents.
    """
    if before.numerator.shape != after.numerator.shape or before.numerator.shape[1] < 2:
        raise ValueError("a difference needs the same seeds and documents of both models, and two documents")
    gains_S = after.per_seed - before.per_seed
    spread = spread_of(after, before)
    mean = float(gains_S.mean())
    of_documents, of_both = _swap_p_values(before, after, spread, num_draws)
    around, p = Interval(mean, None, None), of_documents
    if spread.varies and num_counting(before, after) > 1:
        draws_R = _draws(lambda w: _ratios_of(after, w) - _ratios_of(before, w), spread, num_draws)
        around = _interval(draws_R, mean, spread, level, (-largest, largest))
        p = max(p, _bootstrap_p(draws_R, mean, spread))
    return Difference(around, spread, tuple(gains_S.tolist()), p, of_both)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted so that all tests together err with the probability that one has (Holm 1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _told(ratios: Ratios) -> Spread | None:
    """The spread of a score; None where nothing tells of another sample."""
    if num_counting(ratios) < 2:
        return None
    spread = spread_of(ratios)
    return spread if spread.varies else None


def _draws(scores: Callable[[FloatArray], FloatArray], spread: Spread, num_draws: int) -> FloatArray:
    """[at most R]: the mean score of documents drawn with replacement, plus a mean effect of seeds.

    `scores` gives [R, S] for the weights [R, D] of the documents; a draw with a NaN is left out.
    """
    found_R = np.concatenate([scores(weights).mean(1) for weights in _resampled(spread.num_documents, num_draws)])
    drawn_R: FloatArray = found_R[~np.isnan(found_R)]
    deviation = _seed_share(spread) * np.sqrt(spread.seed_part)
    drawn_R += deviation * np.random.default_rng(_SEED + 1).standard_normal(len(drawn_R))
    return drawn_R


def _seed_share(spread: Spread) -> float:
    """Of the seeds' deviations, what is not their luck with single documents."""
    if not spread.seed_variance:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - spread.residual_variance / spread.seed_variance)))


def _resampled(num_documents: int, num_draws: int) -> Iterator[FloatArray]:
    """Blocks of [R, D]: how often each document is drawn."""
    counts_RD = _times_drawn(num_documents, num_draws)
    for rows in _blocks(num_documents, num_draws):
        yield counts_RD[rows].astype(np.float64)


@functools.lru_cache(maxsize=2)
def _times_drawn(num_documents: int, num_draws: int) -> npt.NDArray[np.uint16]:
    """[R, D]: the same draws for every model of a task, which takes most of the time."""
    rng = np.random.default_rng(_SEED)
    blocks = []
    for rows in _blocks(num_documents, num_draws):
        size = rows.stop - rows.start
        drawn = rng.integers(num_documents, size=(size, num_documents))
        drawn += np.arange(size)[:, None] * num_documents
        counts = np.bincount(drawn.ravel(), minlength=size * num_documents)
        blocks.append(counts.astype(np.uint16).reshape(size, num_documents))
    return np.concatenate(blocks)


def _blocks(num_documents: int, num_draws: int) -> Iterator[slice]:
    """The draws in blocks that fit into memory."""
    size = max(1, _CELLS // num_documents)
    for first in range(0, num_draws, size):
        yield slice(first, min(first + size, num_draws))


def _ratios_of(ratios: Ratios, weights_RD: FloatArray) -> FloatArray:
    """[R, S]: each seed's score on weighted documents; NaN where they leave it nothing of what it counts."""
    totals_RS = weights_RD @ ratios.denominator.T
    is_lost_RS = (totals_RS == 0) & (ratios.denominator.sum(-1) > 0)
    return np.where(is_lost_RS, np.nan, ratio(weights_RD @ ratios.numerator.T, totals_RS))


def _interval(draws_R: FloatArray, mean: float, spread: Spread, level: float, bounds: tuple[float, float]) -> Interval:
    """The quantiles of the draws that lie, were the draws normal, where the interval ends.

    By the spread alone where too few draws lie beyond them, or the mean does.
    """
    half = spread.reach(level) * spread.standard_error
    low, high = mean - half, mean + half
    deviation = float(draws_R.std()) if len(draws_R) else 0.0
    tail = float(special.ndtr(-half / deviation)) if deviation > 0 else 0.5
    if tail * len(draws_R) >= _RESOLVED:
        drawn_low, drawn_high = np.quantile(draws_R, [tail, 1 - tail]).tolist()
        if drawn_low <= mean <= drawn_high:
            low, high = drawn_low, drawn_high
    return Interval(mean, max(bounds[0], low), min(bounds[1], high))


def _bootstrap_p(draws_R: FloatArray, mean: float, spread: Spread) -> float:
    """The p-value at whose level the interval would end at 0."""
    beyond = min(int((draws_R <= 0).sum()), int((draws_R >= 0).sum()))
    if beyond < _RESOLVED:
        return spread.p_of(abs(mean) / spread.standard_error)
    tail = min(0.5, beyond / len(draws_R))
    return spread.p_of(float(-special.ndtri(tail) * draws_R.std()) / spread.standard_error)


def _swap_p_values(before: Ratios, after: Ratios, spread: Spread, num_draws: int) -> tuple[float, float]:
    """How often a difference as large arises when nothing but chance tells the models apart, two-sided.

    Documents swap the two models' counts, all their seeds together: the first. For the second, seeds change the sign of
    their difference too, of which `_seed_share` is taken.
    """
    rng = np.random.default_rng(_SEED + 2)
    gains_S = after.per_seed - before.per_seed
    effects_S = _seed_share(spread) * gains_S
    beyond = np.zeros(2, dtype=np.int64)
    for rows in _blocks(spread.num_documents, num_draws):
        size = rows.stop - rows.start
        swap_RD = rng.integers(2, size=(size, spread.num_documents), dtype=np.uint8).astype(np.float64)
        swapped_RS = _mixed(after, before, swap_RD) - _mixed(before, after, swap_RD)
        signs_RS = 2 * rng.integers(2, size=(size, spread.num_seeds)) - 1
        differences_R = np.stack([swapped_RS.mean(1), (swapped_RS + signs_RS * effects_S).mean(1)])
        beyond += (np.abs(differences_R) >= abs(gains_S.mean()) - 1e-12).sum(1)
    of_documents, of_both = ((beyond + 1) / (num_draws + 1)).tolist()
    return of_documents, of_both


def _mixed(ratios: Ratios, other: Ratios, swap_RD: FloatArray) -> FloatArray:
    """[R, S]: the scores when the documents marked take the other model's counts."""
    numerator = ratios.numerator.sum(-1) + swap_RD @ (other.numerator - ratios.numerator).T
    denominator = ratios.denominator.sum(-1) + swap_RD @ (other.denominator - ratios.denominator).T
    return ratio(numerator, denominator)
