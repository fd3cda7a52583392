"""What the runs of a model on a task come to: estimates of its scores, labels, confusion; of entities, errors too."""

from __future__ import annotations

import statistics as plain
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from camembert_bio.evaluation import measures
from camembert_bio.evaluation.counting import count_documents
from camembert_bio.evaluation.matching import confusion, error_counts, pair_spans
from camembert_bio.evaluation.measures import Labelled, Measure
from camembert_bio.evaluation.predictions import Row, Saved
from camembert_bio.evaluation.recipe import TaskType
from camembert_bio.evaluation.results import Result
from camembert_bio.evaluation.spread import Ratios
from camembert_bio.evaluation.statistics import SHARES, Interval, analytic_interval, interval

IOB2 = Measure("iob2_f1", "strict IOB2 F1")
"""The measure of the published figures."""
_ENTITY_MEASURES = {"f1": "F1", "precision": "precision", "recall": "recall", "iob2_f1": "strict IOB2 F1"}
_COMPARED = ("f1", "iob2_f1")
LABEL_FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1"}
"""What is told of each label, and what it is called."""
_ENTITY_FIGURES = {
    "exact_f1": "exact boundaries F1",
    "partial_f1": "partial F1",
    "type_f1": "type-only F1",
    "macro_f1": "macro F1",
}

Labels = tuple[str | None, str | None]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    interval: Interval
    """Over documents and seeds; without bounds where none is computed."""
    std: float | None
    """Over seeds, with n - 1; None with one."""

    @property
    def mean(self) -> float:
        """Of the seeds' scores."""
        return self.interval.mean


@dataclass(frozen=True)
class Label:
    """What is told of one label."""

    gold: int
    """How often it is annotated, or the class of a text."""
    figures: Mapping[str, Estimate]
    """`precision`, `recall` and `f1`; of entities with intervals."""


@dataclass(frozen=True)
class Entities:
    """What is told of entities alone."""

    rows: tuple[Sequence[Row], ...]
    """The test documents of each run."""
    errors: Mapping[str, float]
    """Means over seeds of `matching.error_counts`."""
    ceiling: float
    """The F1 of a perfect tagger."""


@dataclass(frozen=True)
class Entry:
    """A model on a task."""

    runs: tuple[Result, ...]
    documents: tuple[str, ...]
    """Ids of the test documents, sorted."""
    ratios: Ratios
    """Of the measure that models are compared by: the seeds of `runs`, the documents of `documents`."""
    measures: Mapping[str, Estimate]
    """By key in the scores, those that have an interval."""
    figures: Mapping[str, Estimate]
    """Further scores by key."""
    labels: Mapping[str, Label]
    confusion: Mapping[Labels, float]
    """How often a gold label was answered by a predicted one, means over seeds; None where nothing answers."""
    entities: Entities | None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs."""
        return tuple(run.seed for run in self.runs)


def measure_of(task_type: TaskType, is_paper: bool) -> Measure:
    """What models are compared by on a type of task; on entities under the paper's protocol, as its figures are."""
    return IOB2 if task_type == "ner" and is_paper else measures.MEASURES[task_type]


def titles_of(task_type: TaskType) -> dict[str, str]:
    """What the scores of a type of task are called, by key."""
    return {**_ENTITY_MEASURES, **_ENTITY_FIGURES} if task_type == "ner" else measures.FIGURES[task_type]


def entry_of(runs: Sequence[Result], saved: Sequence[Saved], measure: Measure) -> Entry:
    """The entry of runs that differ by their seed. Raises `ValueError` when they have other test documents."""
    build = _of_entities if runs[0].type == "ner" else _of_answers
    return build(runs, saved, measure)


def _of_entities(runs: Sequence[Result], saved: Sequence[Saved], measure: Measure) -> Entry:
    rows = [each.rows for each in saved]
    counts = count_documents(rows)
    gold = Counter({label: int(counts.gold[0, :, place].sum()) for place, label in enumerate(counts.labels)})
    pairs = [[pair for row in each for pair in pair_spans(row.gold, row.pred)] for each in rows]
    return Entry(
        tuple(runs),
        counts.documents,
        counts.ratios(measure.name),
        {
            name: _estimate(counts.ratios(name), interval if name in _COMPARED else analytic_interval)
            for name in _ENTITY_MEASURES
        },
        {name: _mean(run.scores[name.removesuffix("_f1")]["f1"] for run in runs) for name in _ENTITY_FIGURES},
        {
            label: Label(
                gold[label], {name: _estimate(counts.ratios(name, label), analytic_interval) for name in LABEL_FIGURES}
            )
            for label in counts.labels
        },
        _means([confusion(each) for each in pairs]),
        Entities(tuple(rows), _means([error_counts(each) for each in pairs]), float(runs[0].scores["ceiling"])),
    )


def _of_answers(runs: Sequence[Result], saved: Sequence[Saved], measure: Measure) -> Entry:
    task_type, rows = runs[0].type, [each.rows for each in saved]
    ratios = measures.ratios(task_type, rows, saved[0].scale)
    others = [name for name in measures.FIGURES[task_type] if name != measure.name]
    bounds = SHARES if measure.is_share else (0.0, float("inf"))
    return Entry(
        tuple(runs),
        tuple(sorted(row.document for row in rows[0])),
        ratios,
        {measure.name: _estimate(ratios, lambda found: interval(found, bounds=bounds))},
        {name: _mean(run.scores[name] for run in runs) for name in others},
        _labels(runs),
        _means([_answers(each) for each in rows]),
        None,
    )


def _labels(runs: Sequence[Result]) -> dict[str, Label]:
    """Each label, from the scores of the runs."""
    tables: list[dict[str, Any]] = [run.scores.get("per_label", {}) for run in runs]
    found = {}
    for label in sorted({label for table in tables for label in table}):
        gold = next(int(table[label]["gold"]) for table in tables if label in table)
        rows = [table.get(label, {}) for table in tables]
        found[label] = Label(gold, {name: _mean(row.get(name, 0.0) for row in rows) for name in LABEL_FIGURES})
    return found


def _answers(rows: Sequence[Any]) -> Counter[Labels]:
    """Gold and predicted classes; nothing of sets and numbers, which are not paired."""
    labelled = [row for row in rows if isinstance(row, Labelled)]
    if any(len(row.gold) != len(row.pred) for row in labelled):
        return Counter()
    return Counter(pair for row in labelled for pair in zip(row.gold, row.pred, strict=True))


def _estimate(ratios: Ratios, interval_of: Callable[[Ratios], Interval]) -> Estimate:
    return Estimate(interval_of(ratios), _std(ratios.per_seed.tolist()))


def _mean(values: Iterable[float]) -> Estimate:
    """Without an interval."""
    found = list(values)
    return Estimate(Interval(plain.mean(found), None, None), _std(found))


def _std(values: Sequence[float]) -> float | None:
    return plain.stdev(values) if len(values) > 1 else None


def _means(counts: Sequence[Mapping[Key, int]]) -> dict[Key, float]:
    """Each key's mean over the seeds."""
    keys = {key: None for each in counts for key in each}
    return {key: sum(each.get(key, 0) for each in counts) / len(counts) for key in keys}
