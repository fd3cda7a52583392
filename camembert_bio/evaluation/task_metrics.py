"""Scores of the tasks that are not entity recognition: classes, sets of labels, numbers.

Each function takes gold and predictions of equal length, one a document, and returns a number; none raises on an empty
denominator: that figure is 0 (`zero_division=0` of scikit-learn).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from camembert_bio.evaluation.metrics import Counts, Scores
from camembert_bio.evaluation.spread import FloatArray


def accuracy(gold: Sequence[str], pred: Sequence[str]) -> float:
    """Share of documents (or tokens) whose class is right; on single classes it is also micro F1."""
    pairs = list(zip(gold, pred, strict=True))
    return sum(one == two for one, two in pairs) / len(pairs) if pairs else 0.0


def class_scores(gold: Sequence[str], pred: Sequence[str]) -> Scores:
    """Counts of each class and of all, where each document has one."""
    return set_scores([{label} for label in gold], [{label} for label in pred])


def set_scores(gold: Sequence[Collection[str]], pred: Sequence[Collection[str]]) -> Scores:
    """Counts of each label and of all, where each document has any number of labels; `.macro` gives macro F1."""
    pairs = [(set(one), set(two)) for one, two in zip(gold, pred, strict=True)]
    found = Counter(label for one, two in pairs for label in one & two)
    predicted = Counter(label for _, two in pairs for label in two)
    annotated = Counter(label for one, _ in pairs for label in one)
    labels = sorted(predicted.keys() | annotated.keys())
    per_label = {label: Counts(found[label], predicted[label], annotated[label]) for label in labels}
    return Scores(Counts(found.total(), predicted.total(), annotated.total()), per_label)


def exact_match(gold: Sequence[Collection[str]], pred: Sequence[Collection[str]]) -> float:
    """Share of documents (or questions) whose whole set of labels is right."""
    pairs = [(set(one), set(two)) for one, two in zip(gold, pred, strict=True)]
    return sum(one == two for one, two in pairs) / len(pairs) if pairs else 0.0


def hamming_score(gold: Sequence[Collection[str]], pred: Sequence[Collection[str]]) -> float:
    """Mean over documents of the labels in both sets over those in either; 1 where both are empty.

    The measure that FrenchMedMCQA calls Hamming score: the mean Jaccard index, not one minus the Hamming loss.
    """
    shares = [jaccard(one, two) for one, two in zip(gold, pred, strict=True)]
    return sum(shares) / len(shares) if shares else 0.0


def jaccard(gold: Collection[str], pred: Collection[str]) -> float:
    """The labels in both sets over those in either; 1 where both are empty."""
    one, two = set(gold), set(pred)
    return len(one & two) / len(one | two) if one | two else 1.0


def weighted_f1(scores: Scores) -> float:
    """The mean over labels of F1, weighted by how often each is gold: DrBenchmark's figure of classes and labels."""
    total = sum(counts.gold for counts in scores.per_label.values())
    return sum(counts.f1 * counts.gold for counts in scores.per_label.values()) / total if total else 0.0


def pearson(gold: Sequence[float], pred: Sequence[float]) -> float:
    """Linear correlation; 0 where one side is constant (the correlation is not defined)."""
    if any(len(set(values)) < 2 for values in (gold, pred)):
        return 0.0
    # Not by numpy's products, whose last digits are those of the processor: scores are recomputed on other machines.
    means = [math.fsum(values) / len(values) for values in (gold, pred)]
    one, two = ([value - mean for value in values] for values, mean in zip((gold, pred), means, strict=True))
    return _product(one, two) / (math.sqrt(_product(one, one)) * math.sqrt(_product(two, two)))


def _product(one: Sequence[float], two: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, two, strict=True))


def spearman(gold: Sequence[float], pred: Sequence[float]) -> float:
    """Correlation of the ranks, equal values having the mean of their ranks; 0 where one side is constant."""
    return pearson(*(_mean_ranks(values).tolist() for values in (gold, pred)))


def edrm_shares(gold: Sequence[float], pred: Sequence[float], low: float, high: float) -> FloatArray:
    """Of each document one minus the distance to gold over the largest distance that the prediction could have.

    Their mean is DEFT 2020's measure of similarity as DrBenchmark computes it for CLISTER and DEFT 2020 (`EDRM` in its
    recipes/*/scripts/*regr.py): a prediction outside the scale counts 0.
    """
    truth, found = np.asarray(gold, dtype=np.float64), np.asarray(pred, dtype=np.float64)
    largest = np.maximum(found - low, high - found)
    return np.where((found < low) | (found > high), 0.0, 1 - np.abs(truth - found) / largest)


def _mean_ranks(values: Sequence[float]) -> FloatArray:
    """Ranks from 1, equal values sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: FloatArray = (last - (counts - 1) / 2)[inverse]
    return ranks
