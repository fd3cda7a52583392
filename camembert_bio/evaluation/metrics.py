"""Strict entity scores: what counts as found, and how it is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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

    true_positives: int
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

    def as_dict(self) -> dict[str, Any]:
        """The counts and the figures, for JSON."""
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {"true_positives": self.true_positives, "predicted": self.predicted, "gold": self.gold, **figures}


@dataclass(frozen=True)
class Scores:
    """Micro counts over every mention, and the counts of each label."""

    micro: Counts
    per_label: dict[str, Counts]


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
    if not len(tags):
        return []
    labels = (tags - 1) // 2
    is_inside = (tags > 0) & (tags % 2 == 0)
    continues = np.zeros(len(tags), dtype=bool)
    # O has label -1, so that no I has the same label as an O before it.
    continues[1:] = is_inside[1:] & (labels[1:] == labels[:-1])
    starts = np.flatnonzero(~continues)
    ends = np.append(starts[1:], len(tags))
    opened = tags[starts] % 2 == 1
    return list(zip(starts[opened].tolist(), ends[opened].tolist(), labels[starts[opened]].tolist(), strict=True))
