"""Scores of every type against other implementations, and what a document adds to each measure."""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics

from camembert_bio.evaluation.measures import MEASURES, Labelled, Likelihood, Rated, ratios, scores_of
from camembert_bio.evaluation.recipe import TaskType

SCALE = (0.0, 5.0)
NAMES = ["cardio", "neuro", "onco"]


def rows_of(task_type: TaskType, seed: int, count: int = 40):
    rng = np.random.default_rng(seed)
    if task_type == "similarity":
        return [Rated(str(n), *np.round(rng.uniform(0, 5, 2), 3).tolist()) for n in range(count)]
    if task_type.endswith("perplexity"):
        return [Likelihood(str(n), float(rng.uniform(1, 90)), int(rng.integers(1, 40)), 9, 1) for n in range(count)]
    if task_type in ("classification", "pos"):
        sizes = np.ones(count, int) if task_type == "classification" else rng.integers(1, 9, count)
        return [Labelled(str(n), *map(tuple, rng.choice(NAMES, (2, size)).tolist())) for n, size in enumerate(sizes)]
    shown = [[tuple(name for name in NAMES if rng.random() < 0.5) for _ in range(2)] for _ in range(count)]
    return [Labelled(str(n), *pair) for n, pair in enumerate(shown)]


@pytest.mark.parametrize("task_type", [name for name in MEASURES if name != "ner"])
def test_the_measure_is_a_ratio_of_sums_over_documents(task_type):
    runs = [rows_of(task_type, seed) for seed in (0, 1)]
    found = ratios(task_type, [runs[0], runs[1][::-1]], SCALE)
    assert found.numerator.shape == found.denominator.shape == (2, 40)
    name = MEASURES[task_type].name
    expected = [scores_of(task_type, rows, SCALE)[name] for rows in runs]
    assert found.per_seed.tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="the runs have other test documents"):
        ratios(task_type, [runs[0], runs[1][:-1]], SCALE)


def test_classes_words_and_labels_are_scored_as_scikit_learn_does():
    for task_type in ("classification", "pos"):
        rows = rows_of(task_type, seed=2)
        gold, pred = ([label for row in rows for label in getattr(row, part)] for part in ("gold", "pred"))
        found = scores_of(task_type, rows, SCALE)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, pred))
        for average in ("macro", "weighted"):
            assert found[f"{average}_f1"] == pytest.approx(metrics.f1_score(gold, pred, average=average))
    rows = rows_of("multi-label", seed=3)
    tables = [[[name in getattr(row, part) for name in NAMES] for row in rows] for part in ("gold", "pred")]
    found = scores_of("multi-label", rows, SCALE)
    assert found["f1"] == pytest.approx(metrics.f1_score(*tables, average="micro"))
    for average in ("macro", "weighted"):
        assert found[f"{average}_f1"] == pytest.approx(metrics.f1_score(*tables, average=average))
    assert found["exact_match"] == pytest.approx(metrics.accuracy_score(*map(np.array, tables)))


def test_similarities_and_perplexities():
    rows = rows_of("similarity", seed=4)
    gold, pred = [row.gold for row in rows], [row.pred for row in rows]
    found = scores_of("similarity", rows, SCALE)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(gold, pred).statistic)
    shares = [1 - abs(g - p) / max(p, 5 - p) for g, p in zip(gold, pred, strict=True)]
    assert found["edrm"] == pytest.approx(np.mean(shares))
    rows = [Likelihood("a", 6.0, 2, 3, 0), Likelihood("b", 3.0, 1, 3, 2)]
    found = scores_of("pseudo-perplexity", rows, SCALE)
    assert found["nll"] == 3.0
    assert found["perplexity"] == pytest.approx(math.e**3)
    assert found["word_perplexity"] == pytest.approx(math.exp(9 / 6))
    assert found["unscored_words"] == 2 / 8
    assert "word_perplexity" not in scores_of("perplexity", rows, SCALE)  # which scores some words alone
    assert scores_of("perplexity", [Likelihood("a", 1e9, 1, 1, 0)], SCALE)["perplexity"] == pytest.approx(1e100)
