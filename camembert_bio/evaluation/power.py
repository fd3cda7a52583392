"""What a comparison can see: the power of its test, the smallest difference it tells, the seeds it needs.

Of the test that `statistics.difference` reports. More seeds lower the seeds' part of the variance alone; the
documents' part stays, so some differences no number of seeds can tell.
"""

from __future__ import annotations

import dataclasses

from scipy import optimize, stats

from camembert_bio.evaluation.spread import Spread
from camembert_bio.evaluation.statistics import LEVEL

POWER = 0.8
"""The chance of telling a difference that is there, by custom."""
MAX_SEEDS = 1000

_ONE_SIDED = 5.0  # the other tail is below 4e-9 there, and scipy 1.17 gives NaN for it further out

_CERTAIN = 10.0  # then a smaller t needs a standard error ten times too large: below 1e-20; scipy gives NaN further out


def power(spread: Spread, effect: float, level: float = LEVEL) -> float:
    """The chance that a two-sided test tells a true difference of `effect`, in the unit of the scores.

    By the noncentral t distribution with Satterthwaite's degrees of freedom; 0 where documents are too few for it.

    Raises `ValueError` for a spread that does not vary: it says nothing of other samples.
    """
    if not spread.standard_error > 0:
        raise ValueError("a standard error of 0 says nothing of a test's power")
    if _smallest_p(spread.num_documents) > 1 - level:
        return 0.0
    bound = spread.reach(level)
    shift = abs(effect) / spread.standard_error
    if shift > _CERTAIN * bound:
        return 1.0
    wrong_way = stats.nct.cdf(-bound, spread.df, shift) if shift < _ONE_SIDED else 0.0
    return float(stats.nct.sf(bound, spread.df, shift) + wrong_way)


def detectable(spread: Spread, target: float = POWER, level: float = LEVEL) -> float | None:
    """The smallest difference that is told with the power `target`; None when even a difference of 1 is not.

    None for a spread that does not vary too.
    """
    if not spread.varies or power(spread, 1.0, level) < target:
        return None
    return float(optimize.brentq(lambda effect: power(spread, effect, level) - target, 0.0, 1.0, xtol=1e-6))


def seeds_needed(spread: Spread, effect: float, target: float = POWER, level: float = LEVEL) -> int | None:
    """The smallest number of seeds, from 2, with which `effect` is told with the power `target` on these documents.

    None when `MAX_SEEDS` do not suffice, as where the documents are too few, and when the spread is of one seed or does
    not vary.
    """
    if spread.num_seeds < 2 or not spread.varies or power(_with_seeds(spread, MAX_SEEDS), effect, level) < target:
        return None
    low, high = 1, MAX_SEEDS
    while high - low > 1:  # power grows with the seeds
        middle = (low + high) // 2
        enough = power(_with_seeds(spread, middle), effect, level) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def _smallest_p(num_documents: int) -> float:
    """What `statistics.difference` can give: one model is better on all documents, as in two of all the swaps."""
    return float(2.0 ** (1 - num_documents))


def _with_seeds(spread: Spread, num_seeds: int) -> Spread:
    """The spread that another number of seeds would have: the documents' part stays."""
    document_variance = spread.document_part + spread.residual_variance / num_seeds
    return dataclasses.replace(spread, num_seeds=num_seeds, document_variance=document_variance)
