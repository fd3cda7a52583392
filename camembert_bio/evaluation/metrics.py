"""Strict entity scores: what counts as found, and how it is counted.

Partial and type-only scores stand in `matching`, those of other tasks in `task_metrics`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camembert_bio.evaluation.documents import Fragments

IntArray = npt.NDArray[np.int64]

Mention = tuple[str, Fragments, str]
"""(document id, fragments, label): an entity of a corpus. Two mentions are the same if all three are."""


@dataclass(frozen=True)
class Counts:
    """Entities found, predicted and annotated; the three figures made of them.

    Each figure is 0 when its denominator is: no prediction has precision 0, no gold has recall 0
    (as seqeval's `zero_division=0`).
    """

    true_positives: float
    """Half ones occur where a partial match counts half."""
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """True positives over predicted."""
        return self.true_positives / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """True positives over gold."""
        return self.true_positives / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 TP / (predicted + gold)."""
        total = self.predicted + self.gold
        return 2 * self.true_positives / total if total else 0.0

    @property
    def figures(self) -> dict[str, float]:
        """Precision, recall and F1 by name."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}

    def as_dict(self) -> dict[str, Any]:
        """The counts and the figures, for JSON."""
        return {
            "true_positives": self.true_positives,
            "predicted": self.predicted,
            "gold": self.gold,
            **self.figures,
        }


@dataclass(frozen=True)
class Scores:
    """Micro counts over every mention, and the counts of each label that gold or predictions have."""

    micro: Counts
    per_label: dict[str, Counts]

    @property
    def macro(self) -> dict[str, float]:
        """Means of the labels' precision, recall and F1: each label weighs the same (as seqeval's macro)."""
        return macro(self.per_label)


def macro(per_label: Mapping[str, Counts]) -> dict[str, float]:
    """Unweighted means of precision, recall and F1 over the labels; 0 without labels."""
    figures = [counts.figures for counts in per_label.values()]
    return {
        name: sum(each[name] for each in figures) / len(figures) if figures else 0.0
        for name in ("precision", "recall", "f1")
    }


def are_same(one: Any, two: Any) -> bool:
    """Whether two JSON values of scores are equal, numbers but for the last digits, which are the processor's.

    Python, numpy and libm add, multiply and exponentiate in an order that depends on version and processor.
    """
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(are_same(value, two[name]) for name, value in one.items())
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == two)


def strict_scores(gold: Iterable[Mention], pred: Iterable[Mention]) -> Scores:
    """Compare two sets of mentions: one is found if every fragment and the label are equal.

    Duplicates count once. Micro averaged: each mention weighs the same, whatever its label.
    """
    gold, pred = set(gold), set(pred)
    found = gold & pred
    by_label = [Counter(label for _, _, label in mentions) for mentions in (found, pred, gold)]
    labels = sorted(by_label[1].keys() | by_label[2].keys())
    per_label = {label: Counts(*(counter[label] for counter in by_label)) for label in labels}
    return Scores(Counts(len(found), len(pred), len(gold)), per_label)


def iob2_spans(tags: IntArray) -> list[tuple[int, int, int]]:
    """Entities in one sequence of tags, read strictly: (first token, one past the last, label index).

    Tags are 0 for O, 1 + 2l for B of label l, 2 + 2l for I of label l. B opens an entity; I continues
    it if the token before has the same label. An I after O, after another label, or after such an I
    opens nothing and is dropped: seqeval's `mode="strict", scheme=IOB2`.
    """
    starts, ends, labels = _iob2_entities(tags)
    return list(zip(starts.tolist(), ends.tolist(), labels.tolist(), strict=True))


def iob2_scores(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> Scores:
    """Strict IOB2 scores of sequences of tags (`O`, `B-CHEM`, `I-CHEM`, ...), as `iob2_spans` reads them.

    Micro, per-label and macro figures are seqeval's with `mode="strict", scheme=IOB2, zero_division=0`; seqeval's
    `scheme` without `mode` (or the reverse) counts otherwise. Raises `ValueError` for sequences of unequal lengths and
    for a tag of another scheme.
    """
    lengths = [[len(tags) for tags in part] for part in (gold, pred)]
    if lengths[0] != lengths[1]:
        raise ValueError("gold and predicted tags differ in their number of sequences, or in a sequence's length")
    parts = [list(itertools.chain.from_iterable(part)) for part in (gold, pred)]
    labels, codes = _tag_codes(set(parts[0]) | set(parts[1]))
    # An O after each sequence: nothing goes on into the next one.
    joints = np.cumsum(lengths[0], dtype=np.int64)
    flat = [np.insert(np.fromiter(map(codes.__getitem__, tags), np.int64, len(tags)), joints, 0) for tags in parts]
    return _scores_of(_iob2_entities(flat[0]), _iob2_entities(flat[1]), labels, len(flat[0]))


def _iob2_entities(tags: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """First token, one past the last, and label of each entity; see `iob2_spans`."""
    if not len(tags):
        return tags, tags, tags
    # O has label -1, so that no I has the same label as an O before it.
    labels = (tags - 1) >> 1
    begins = (tags & 1).astype(bool)
    continues = np.zeros(len(tags), dtype=bool)
    continues[1:] = ~begins[1:] & (tags[1:] > 0) & (labels[1:] == labels[:-1])
    starts = np.flatnonzero(~continues)
    ends = np.append(starts[1:], len(tags))
    opened = begins[starts]
    return starts[opened], ends[opened], labels[starts[opened]]


def _tag_codes(tags: set[str]) -> tuple[list[str], dict[str, int]]:
    """The labels of IOB2 tags, sorted, and each tag's number in `iob2_spans`."""
    strange = sorted(tag for tag in tags if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:]))
    if strange:
        raise ValueError(f"tag {strange[0]!r} is not IOB2; use O, B-LABEL and I-LABEL")
    labels = sorted({tag[2:] for tag in tags if tag != "O"})
    codes = {"O": 0}
    for index, label in enumerate(labels):
        codes |= {f"B-{label}": 1 + 2 * index, f"I-{label}": 2 + 2 * index}
    return labels, codes


def _scores_of(
    gold: tuple[IntArray, ...], pred: tuple[IntArray, ...], labels: Sequence[str], num_tokens: int
) -> Scores:
    """Compare flat entities given as (starts, ends, labels): at most one starts at each token."""
    ends, kinds = np.full(num_tokens, -1), np.full(num_tokens, -1)
    ends[gold[0]], kinds[gold[0]] = gold[1:]
    is_found = (ends[pred[0]] == pred[1]) & (kinds[pred[0]] == pred[2])
    counted = [np.bincount(part, minlength=len(labels)).tolist() for part in (pred[2][is_found], pred[2], gold[2])]
    per_label = {
        label: Counts(*counts) for label, *counts in zip(labels, *counted, strict=True) if counts[1] or counts[2]
    }
    return Scores(Counts(*(sum(counts) for counts in counted)), per_label)
