import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics
from sklearn.preprocessing import MultiLabelBinarizer

from camembert_bio.evaluation.task_metrics import (
    accuracy,
    class_scores,
    edrm_shares,
    exact_match,
    hamming_score,
    pearson,
    set_scores,
    spearman,
)

CLASSES = ["cardio", "neuro", "onco", "pneumo"]


def random_classes(seed):
    rng = np.random.default_rng(seed)
    gold = rng.choice(CLASSES, size=300, p=[0.6, 0.3, 0.1, 0.0]).tolist()
    pred = [one if rng.random() < 0.6 else str(rng.choice(CLASSES)) for one in gold]
    return gold, pred


def random_sets(seed):
    rng = np.random.default_rng(seed)
    shares = [0.5, 0.3, 0.2, 0.0]
    gold, other = (
        [[name for name, share in zip(CLASSES, shares, strict=True) if rng.random() < share] for _ in range(300)]
        for _ in range(2)
    )
    return gold, [one if rng.random() < 0.4 else two for one, two in zip(gold, other, strict=True)]


def test_classes_are_scored_as_scikit_learn_does():
    gold, pred = random_classes(seed=1)
    scores = class_scores(gold, pred)
    assert accuracy(gold, pred) == pytest.approx(metrics.accuracy_score(gold, pred))
    assert scores.micro.f1 == pytest.approx(metrics.f1_score(gold, pred, average="micro"))
    expected = metrics.precision_recall_fscore_support(gold, pred, average="macro", zero_division=0)
    assert list(scores.macro.values()) == pytest.approx(list(expected[:3]))
    assert scores.per_label["neuro"].f1 == pytest.approx(
        metrics.f1_score(gold, pred, labels=["neuro"], average="macro")
    )


def test_sets_of_labels_are_scored_as_scikit_learn_does():
    gold, pred = random_sets(seed=2)
    binary = MultiLabelBinarizer(classes=CLASSES[:3])
    tables = binary.fit_transform(gold), binary.transform(pred)
    scores = set_scores(gold, pred)
    for average, found in (("micro", scores.micro.figures), ("macro", scores.macro)):
        expected = metrics.precision_recall_fscore_support(*tables, average=average, zero_division=0)
        assert list(found.values()) == pytest.approx(list(expected[:3]))
    assert exact_match(gold, pred) == pytest.approx(metrics.accuracy_score(*tables))
    expected = metrics.jaccard_score(*tables, average="samples", zero_division=1)
    assert hamming_score(gold, pred) == pytest.approx(expected)
    assert hamming_score(gold, pred) != pytest.approx(1 - metrics.hamming_loss(*tables), abs=0.01)


@pytest.mark.parametrize("digits", [0, 6])
def test_correlations_are_scipys_with_ties_and_without(digits):
    rng = np.random.default_rng(3)
    gold = np.round(rng.uniform(0, 5, 200), digits)
    pred = np.round(gold + rng.normal(0, 1, 200), digits)
    assert pearson(gold, pred) == pytest.approx(scipy.stats.pearsonr(gold, pred).statistic)
    assert spearman(gold, pred) == pytest.approx(scipy.stats.spearmanr(gold, pred).statistic)


CORRELATE = """
import numpy as np
from camembert_bio.evaluation.task_metrics import pearson, spearman
pairs = [np.random.default_rng(seed).uniform(0, 5, (2, 601)).tolist() for seed in range(20)]
print([(pearson(*pair), spearman(*pair)) for pair in pairs])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernels that are named are of x86-64")
def test_correlations_are_those_of_every_processor():
    def found(kernel):
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-c", CORRELATE], env=environment, capture_output=True, check=True)

    # Kernels with fused products and without.
    assert found("Haswell").stdout == found("Sandybridge").stdout


def test_edrm_divides_by_the_largest_distance_that_the_prediction_could_have():
    # Distances 1, 2, 0, and one outside the scale, over 3, 4, 5.
    assert edrm_shares([1, 3, 5, 5], [2, 1, 5, 9], low=0, high=5).tolist() == pytest.approx([2 / 3, 2 / 4, 1, 0])
    assert edrm_shares([0, 1], [1, 1], low=0, high=1).tolist() == [0, 1]


@pytest.mark.parametrize("function", [accuracy, exact_match, hamming_score, pearson, spearman])
def test_nothing_is_zero(function):
    assert function([], []) == 0.0


@pytest.mark.parametrize("function", [accuracy, class_scores, exact_match, hamming_score, set_scores])
def test_unequal_lengths_are_a_mistake(function):
    with pytest.raises(ValueError, match="shorter"):
        function(["a", "b", "c"], ["a", "b"])


@pytest.mark.parametrize("function", [pearson, spearman])
def test_a_constant_has_no_correlation(function):
    assert function([0.1, 0.1, 0.1], [1, 2, 3]) == 0.0
    assert function([1, 2, 3], [0.1, 0.1, 0.1]) == 0.0


def test_two_empty_sets_agree():
    assert exact_match([[]], [[]]) == hamming_score([[]], [[]]) == 1.0
    assert set_scores([[]], [[]]).micro.f1 == 0.0
