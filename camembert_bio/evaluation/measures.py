"""What a task of another type than entities is scored by: its measure, what a document adds to it, every score.

The measure of a type is a ratio of sums over documents, so that intervals and paired tests (`statistics`) are those of
entities. Scores in [0, 1] are shares; a `nll` is in nats a sub-word.

Shape letters: S seeds, D documents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camembert_bio.evaluation.recipe import TaskType
from camembert_bio.evaluation.spread import FloatArray, Ratios
from camembert_bio.evaluation.task_metrics import (
    accuracy,
    class_scores,
    edrm_shares,
    exact_match,
    hamming_score,
    jaccard,
    pearson,
    set_scores,
    spearman,
    weighted_f1,
)

Scale = tuple[float, float]


@dataclass(frozen=True)
class Labelled:
    """A test document with labels: one, any number, the right choices, or one for each word."""

    document: str
    """Its id."""
    gold: tuple[str, ...]
    pred: tuple[str, ...]


@dataclass(frozen=True)
class Rated:
    """A pair of texts with a similarity."""

    document: str
    gold: float
    pred: float


@dataclass(frozen=True)
class Likelihood:
    """A text under a model's masked-LM head."""

    document: str
    nll: float
    """Summed over the sub-words that were scored, in nats."""
    num_tokens: int
    """Sub-words that were scored."""
    num_words: int
    """Words of the text, between white space, of which the tokenizer knows every sub-word."""
    num_unscored_words: int
    """The others."""


AnyRow = Labelled | Rated | Likelihood


@dataclass(frozen=True)
class Measure:
    """The score that chooses the best weights and compares models."""

    name: str
    """Its key in the scores."""
    title: str
    is_larger_better: bool = True
    is_share: bool = True
    """Whether it is in [0, 1], and shown in percent."""


MEASURES: dict[TaskType, Measure] = {
    "ner": Measure("f1", "F1"),
    "pos": Measure("accuracy", "accuracy"),
    "classification": Measure("accuracy", "accuracy"),
    "multi-label": Measure("f1", "micro F1"),
    "similarity": Measure("edrm", "EDRM"),
    "multiple-choice": Measure("hamming_score", "Hamming score"),
    "perplexity": Measure("nll", "nats a sub-word", is_larger_better=False, is_share=False),
    "pseudo-perplexity": Measure("nll", "nats a sub-word", is_larger_better=False, is_share=False),
}

FIGURES: dict[TaskType, dict[str, str]] = {
    "pos": {"accuracy": "accuracy", "macro_f1": "macro F1"},
    "classification": {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"},
    "multi-label": {
        "f1": "micro F1",
        "macro_f1": "macro F1",
        "weighted_f1": "weighted F1",
        "exact_match": "exact match",
        "hamming_score": "Hamming score",
    },
    "similarity": {"edrm": "EDRM", "spearman": "Spearman", "pearson": "Pearson"},
    "multiple-choice": {"hamming_score": "Hamming score", "exact_match": "exact match"},
    "perplexity": {"nll": "nats a sub-word", "perplexity": "perplexity"},
    "pseudo-perplexity": {
        "nll": "nats a sub-word",
        "perplexity": "pseudo-perplexity",
        "word_perplexity": "pseudo-perplexity a word",
        "unscored_words": "share of unscored words",
    },
}
"""The scores that are shown, and their names; the measure is the first."""


def scores_of(task_type: TaskType, rows: Sequence[AnyRow], scale: Scale) -> dict[str, Any]:
    """Every score of a run, as JSON values."""
    if task_type == "similarity":
        rated = [row for row in rows if isinstance(row, Rated)]
        gold, pred = [row.gold for row in rated], [row.pred for row in rated]
        shares = edrm_shares(gold, pred, *scale)
        return {"edrm": float(shares.mean()), "spearman": spearman(gold, pred), "pearson": pearson(gold, pred)}
    if task_type in ("perplexity", "pseudo-perplexity"):
        return _likelihoods(task_type, [row for row in rows if isinstance(row, Likelihood)])
    labelled = [row for row in rows if isinstance(row, Labelled)]
    if task_type == "multi-label":
        return _label_sets(labelled)
    if task_type == "multiple-choice":
        sets = [row.gold for row in labelled], [row.pred for row in labelled]
        return {"hamming_score": hamming_score(*sets), "exact_match": exact_match(*sets)}
    gold_labels = [label for row in labelled for label in row.gold]
    pred_labels = [label for row in labelled for label in row.pred]
    found = class_scores(gold_labels, pred_labels)
    return {
        "accuracy": accuracy(gold_labels, pred_labels),
        "macro_f1": found.macro["f1"],
        "weighted_f1": weighted_f1(found),
        "per_label": {label: counts.as_dict() for label, counts in found.per_label.items()},
    }


def _label_sets(rows: Sequence[Labelled]) -> dict[str, Any]:
    gold, pred = [row.gold for row in rows], [row.pred for row in rows]
    found = set_scores(gold, pred)
    return {
        **found.micro.as_dict(),
        "macro_f1": found.macro["f1"],
        "weighted_f1": weighted_f1(found),
        "exact_match": exact_match(gold, pred),
        "hamming_score": hamming_score(gold, pred),
        "per_label": {label: counts.as_dict() for label, counts in found.per_label.items()},
    }


def _likelihoods(task_type: TaskType, rows: Sequence[Likelihood]) -> dict[str, Any]:
    """At least one sub-word was scored; for pseudo-perplexity, hence, at least one word."""
    nll, num_tokens = math.fsum(row.nll for row in rows), sum(row.num_tokens for row in rows)
    found = {"nll": nll / num_tokens, "perplexity": _exp(nll / num_tokens), "num_tokens": num_tokens}
    if task_type == "perplexity":  # which scores some words alone
        return found
    num_words, num_unscored = sum(row.num_words for row in rows), sum(row.num_unscored_words for row in rows)
    word_perplexity = _exp(nll / num_words)
    return {**found, "word_perplexity": word_perplexity, "unscored_words": num_unscored / (num_words + num_unscored)}


def _exp(value: float) -> float:
    """e to the power of a value, at most 1e100: JSON knows no infinity."""
    return math.exp(min(value, 100 * math.log(10)))


def ratios(task_type: TaskType, runs: Sequence[Sequence[AnyRow]], scale: Scale) -> Ratios:
    """What the measure of runs on the same documents, one a seed, is made of: [S, D], documents by id.

    `Ratios.per_seed` is the measure. Raises `ValueError` when the runs have other test documents.
    """
    tables = [sorted(rows, key=lambda row: row.document) for rows in runs]
    names = [[row.document for row in rows] for rows in tables]
    if any(found != names[0] for found in names):
        raise ValueError("the runs have other test documents")
    pairs = np.array([_additions(task_type, rows, scale) for rows in tables])
    return Ratios(pairs[:, 0], pairs[:, 1])


def _additions(task_type: TaskType, rows: Sequence[AnyRow], scale: Scale) -> tuple[FloatArray, FloatArray]:
    """What each document adds to the numerator and to the denominator of the measure."""
    pairs: list[tuple[float, float]] = []
    for row in rows:
        if isinstance(row, Rated):
            pairs.append((float(edrm_shares([row.gold], [row.pred], *scale)[0]), 1.0))
        elif isinstance(row, Likelihood):
            pairs.append((row.nll, row.num_tokens))
        elif task_type == "multi-label":
            pairs.append((2 * len(set(row.gold) & set(row.pred)), len(set(row.gold)) + len(set(row.pred))))
        elif task_type == "multiple-choice":
            pairs.append((jaccard(row.gold, row.pred), 1.0))
        else:
            pairs.append((sum(one == two for one, two in zip(row.gold, row.pred, strict=True)), len(row.gold)))
    numerator, denominator = np.array(pairs, dtype=np.float64).T
    return numerator, denominator
