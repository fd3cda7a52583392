"""Which prediction answers which annotated entity: error types, partial and type-only scores, confusion.

Entities of a document are paired one to one, never with one that shares no character. In this order, and whatever the
order in which they are given:

1. those that are equal: `correct`;
2. those with the same fragments: `type`;
3. those that overlap and have the same label, most shared characters first: `boundary`;
4. those that overlap otherwise, most shared characters first: `boundary and type`.

Between pairs that share as much, the one that comes first in the text wins. What is left is `missed` or `spurious`.
On entities of which none overlaps two others this is the reading of SemEval-2013 task 9.1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.metrics import Counts, Scores

ERRORS = ("boundary", "type", "boundary and type", "missed", "spurious")
"""The kinds of a pair that is not `correct`."""

_PARTIAL = 0.5
"""What an overlap counts in the partial score: SemEval-2013 task 9.1."""


@dataclass(frozen=True)
class Pair:
    """An annotated entity and the prediction that answers it; one of them may be absent."""

    gold: Span | None
    pred: Span | None

    @property
    def kind(self) -> str:
        """`correct`, or one of `ERRORS`."""
        if self.pred is None:
            return "missed"
        if self.gold is None:
            return "spurious"
        if self.gold == self.pred:
            return "correct"
        if self.gold.fragments == self.pred.fragments:
            return "type"
        return "boundary" if self.gold.label == self.pred.label else "boundary and type"

    @property
    def labels(self) -> tuple[str | None, str | None]:
        """The annotated label and the predicted one."""
        return self.gold.label if self.gold else None, self.pred.label if self.pred else None


def pair_spans(gold: Iterable[Span], pred: Iterable[Span]) -> list[Pair]:
    """Every distinct entity of one document, in one pair each; sorted by text."""
    missed, spurious = set(gold), set(pred)
    correct = missed & spurious
    pairs = [Pair(span, span) for span in correct]
    missed -= correct
    spurious -= correct
    for answered, answer in _candidates(missed, spurious):
        if answered in missed and answer in spurious:
            pairs.append(Pair(answered, answer))
            missed.remove(answered)
            spurious.remove(answer)
    pairs += [Pair(span, None) for span in missed]
    pairs += [Pair(None, span) for span in spurious]
    return sorted(pairs, key=_place)


def _place(pair: Pair) -> tuple[Span, bool]:
    span = pair.gold or pair.pred
    assert span is not None
    return span, pair.gold is None


def _candidates(gold: Iterable[Span], pred: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs that share a character, the best first."""
    found = []
    going_on: tuple[list[Span], list[Span]] = ([], [])
    for span, side in sorted([(span, 0) for span in gold] + [(span, 1) for span in pred]):
        others = going_on[1 - side]
        others[:] = [other for other in others if other.end > span.start]
        for other in others:
            if shared := _num_shared(span, other):
                one, two = (other, span) if side else (span, other)
                key = (one.fragments != two.fragments, one.label != two.label, -shared, one, two)
                found.append(key)
        going_on[side].append(span)
    return [(one, two) for *_, one, two in sorted(found)]


def _num_shared(one: Span, two: Span) -> int:
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for start, end in one.fragments
        for other_start, other_end in two.fragments
    )


def relaxed_scores(pairs: Sequence[Pair]) -> dict[str, Scores]:
    """Scores that forgive, over the pairs of every document.

    `exact` forgives the label, `type` the boundaries; `partial` forgives the label, and an overlap counts half. In the
    counts of one label both labels of a pair must be that one: `exact` of a label is its strict score.
    """
    counts = Counter((pair.kind, *pair.labels) for pair in pairs)
    values = {
        "exact": {"correct": 1.0, "type": 1.0},
        "partial": {"correct": 1.0, "type": 1.0, "boundary": _PARTIAL, "boundary and type": _PARTIAL},
        "type": {"correct": 1.0, "boundary": 1.0},
    }
    return {name: _scores(counts, value_of) for name, value_of in values.items()}


def _scores(counts: Counter[tuple[str, str | None, str | None]], value_of: dict[str, float]) -> Scores:
    """The counts of all entities and of each label, for what a pair of each kind is worth."""
    total = 0.0
    worth: defaultdict[str, float] = defaultdict(float)
    num_pred: Counter[str] = Counter()
    num_gold: Counter[str] = Counter()
    for (kind, gold, pred), count in counts.items():
        value = value_of.get(kind, 0.0) * count
        total += value
        if gold is not None:
            num_gold[gold] += count
            worth[gold] += value if gold == pred else 0.0
        if pred is not None:
            num_pred[pred] += count
    labels = sorted(num_pred.keys() | num_gold.keys())
    per_label = {label: Counts(worth[label], num_pred[label], num_gold[label]) for label in labels}
    return Scores(Counts(total, num_pred.total(), num_gold.total()), per_label)


def error_counts(pairs: Iterable[Pair]) -> dict[str, int]:
    """How many pairs are `correct` and of each of `ERRORS`."""
    kinds = Counter(pair.kind for pair in pairs)
    return {kind: kinds[kind] for kind in ("correct", *ERRORS)}


def confusion(pairs: Iterable[Pair]) -> Counter[tuple[str | None, str | None]]:
    """How often a gold label was answered by a predicted one; None where nothing answers, or was asked."""
    return Counter(pair.labels for pair in pairs)
