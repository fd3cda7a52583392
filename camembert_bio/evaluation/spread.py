"""How much a mean score would vary with other documents and other seeds.

Shape letters: S seeds, D documents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

FloatArray = npt.NDArray[np.float64]


_ROUNDING = 1e-12
"""A standard error below it is one of sums in another order, not of documents or seeds."""


@dataclass(frozen=True)
class Ratios:
    """What the runs of one model on one task are scored from: two tables [S, D]."""

    numerator: FloatArray
    denominator: FloatArray

    @property
    def per_seed(self) -> FloatArray:
        """[S]: the score of each seed; 0 where the denominator is."""
        return ratio(self.numerator.sum(-1), self.denominator.sum(-1))


@dataclass(frozen=True)
class Spread:
    """Where the variance of a mean score, or of a mean difference, comes from."""

    num_seeds: int
    num_documents: int
    seed_variance: float
    """Of one seed's score on the documents at hand; 0, for want of knowledge, with one seed."""
    residual_variance: float
    """The part of `seed_variance` that is a seed's luck with single documents, not with all."""
    document_variance: float
    """Of the mean over the seeds at hand, by documents."""
    document_df: float
    """Degrees of freedom of `document_variance`: large documents count more, so fewer count."""

    @property
    def seed_part(self) -> float:
        """What the seeds bring to the variance of the mean."""
        return self.seed_variance / self.num_seeds

    @property
    def document_part(self) -> float:
        """What the documents bring beside it; no number of seeds makes it smaller."""
        return max(0.0, self.document_variance - self.residual_variance / self.num_seeds)

    @property
    def standard_error(self) -> float:
        """Of the mean over documents and seeds."""
        return float(np.sqrt(self.seed_part + self.document_part))

    @property
    def varies(self) -> bool:
        """Whether documents or seeds differ: where none does, nothing says how far another sample would lie."""
        return self.standard_error > _ROUNDING

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom of the squared standard error, at least 1."""
        others = self.num_seeds - 1
        parts = [(self.seed_part, float(others))]
        if self.document_part > 0:
            parts.append((self.document_variance, self.document_df))
            parts.append((self.residual_variance / self.num_seeds, others * (self.num_documents - 1)))
        denominator = sum(variance**2 / df for variance, df in parts if variance > 0)
        return max(1.0, self.standard_error**4 / denominator) if denominator else 1.0

    def reach(self, level: float) -> float:
        """Standard errors that an interval of this level reaches to either side of the mean.

        The t quantiles of seeds and documents, weighted by their parts of the variance (Cochran and Cox 1957). On
        synthetic models with 3 to 10 seeds it errs at most at the nominal rate, where Satterthwaite's degrees of
        freedom err up to 1.4 times as often.
        """
        parts = ((self.seed_part, self.num_seeds - 1), (self.document_part, self.document_df))
        quantiles = [-variance * special.stdtrit(df, (1 - level) / 2) for variance, df in parts if variance > 0]
        return float(sum(quantiles)) / self.standard_error**2 if quantiles else 0.0

    def p_of(self, distance: float) -> float:
        """One minus the level whose interval reaches this many standard errors; at least 1e-12."""
        smallest = 1e-12
        if self.reach(1 - smallest) <= distance:
            return smallest
        return float(optimize.brentq(lambda p: self.reach(1 - p) - distance, smallest, 1.0, xtol=smallest))


def num_counting(*tables: Ratios) -> int:
    """Documents that have a denominator for some seed in some table; the others say nothing of the score."""
    return int(np.any([table.denominator > 0 for table in tables], axis=(0, 1)).sum())


def spread_of(ratios: Ratios, minus: Ratios | None = None) -> Spread:
    """The parts of the variance of a mean score, or of the mean difference of two.

    By each document's influence on each seed's score, corrected for the document's weight in it (the jackknife's
    variance without its excess), split as in a two-way analysis of variance with one value a cell.
    """
    influence_SD, weight_SD = _influence(ratios)
    scores_S = ratios.per_seed
    if minus is not None:
        other_SD, other_weight_SD = _influence(minus)
        influence_SD, weight_SD = influence_SD - other_SD, (weight_SD + other_weight_SD) / 2
        scores_S = scores_S - minus.per_seed
    num_seeds, num_documents = influence_SD.shape
    by_document_D = influence_SD.mean(0)
    residual = seed_variance = 0.0
    if num_seeds > 1:
        seed_variance = float(scores_S.var(ddof=1))
        residual = float(((influence_SD - by_document_D) ** 2).sum() / ((num_seeds - 1) * (num_documents - 1)))
    concentration = float((weight_SD.mean(0) ** 2).sum())
    return Spread(
        num_seeds,
        num_documents,
        seed_variance,
        residual / num_documents,
        float((by_document_D**2).sum() / (num_documents * (num_documents - 1))),
        max(1.0, 1 / concentration - 1) if concentration else float(num_documents - 1),
    )


def _influence(ratios: Ratios) -> tuple[FloatArray, FloatArray]:
    """[S, D]: how far each document pulls each seed's score, times D; and its share of the denominator."""
    totals_S1 = ratios.denominator.sum(-1, keepdims=True)
    weight_SD = ratio(ratios.denominator, totals_S1)
    pull_SD = ratio(ratios.numerator, totals_S1) - ratios.per_seed[:, None] * weight_SD
    # A document that is a share w of the whole pulls the score towards itself: its variance shows 1 - w of itself.
    influence_SD = weight_SD.shape[1] * pull_SD / np.sqrt(np.maximum(1 - weight_SD, 1e-9))
    return influence_SD, weight_SD


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator + denominator), where=denominator > 0)
