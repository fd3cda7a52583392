"""The comparison of models that every form of the report shows: scores with intervals, paired tests, what went wrong.

A section for each protocol, since scores of two protocols are not comparable; in it a table for each task, in it an
entry for each model. Scores and differences are in [0, 1].
"""

from __future__ import annotations

import json
import statistics as plain
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from camembert_bio import files
from camembert_bio.errors import UserError, raise_all
from camembert_bio.evaluation.counting import DocumentCounts, count_documents
from camembert_bio.evaluation.matching import confusion, error_counts, pair_spans
from camembert_bio.evaluation.predictions import Row
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.results import Grid, Result, read_output, tables, verified
from camembert_bio.evaluation.statistics import Difference, Interval, analytic_interval, difference, holm, interval

MEASURES = {"f1": "F1", "precision": "precision", "recall": "recall", "iob2_f1": "strict IOB2 F1"}
"""Measures that have an interval, and their names."""
_COMPARED = ("f1", "iob2_f1")

FORGIVING = {"exact": "exact boundaries F1", "partial": "partial F1", "type": "type-only F1", "macro": "macro F1"}
"""Measures that have a standard deviation alone, and their names."""

PAPER = "paper"

Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    interval: Interval
    """Over documents and seeds."""
    std: float | None
    """Over seeds, with n - 1; None with one."""

    @property
    def mean(self) -> float:
        """Of the seeds' scores."""
        return self.interval.mean


@dataclass(frozen=True)
class Entry:
    """A model on a task."""

    runs: tuple[Result, ...]
    rows: tuple[Sequence[Row], ...]
    """The test documents of each run."""
    counts: DocumentCounts
    measures: Mapping[str, Estimate]
    """By the names of `MEASURES`."""
    forgiving: Mapping[str, tuple[float, float | None]]
    """Mean and standard deviation over seeds, by the names of `FORGIVING`."""
    labels: Mapping[str, tuple[int, Estimate]]
    """Of each label: gold entities, and F1."""
    errors: Mapping[str, float]
    """Means over seeds of `matching.error_counts`."""
    confusion: Mapping[tuple[str | None, str | None], float]
    """Means over seeds of `matching.confusion`."""

    @property
    def ceiling(self) -> float:
        """The F1 of a perfect tagger."""
        return float(self.runs[0].scores["ceiling"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs."""
        return tuple(run.seed for run in self.runs)


@dataclass(frozen=True)
class Comparison:
    """A model against another on a task, over the seeds that both have, by the section's measure."""

    difference: Difference
    p_holm: float
    """Adjusted over the tasks of the section, for this pair of models."""


@dataclass(frozen=True)
class TaskTable:
    """The models on one task."""

    name: str
    entries: Mapping[str, Entry]
    """By model."""
    comparisons: Mapping[tuple[str, str], Comparison]
    """By (before, after); no entry where two models share no seed, or there is one document."""

    @property
    def first(self) -> Result:
        """A run that says what all have in common: sizes, data, gold."""
        return next(iter(self.entries.values())).runs[0]


@dataclass(frozen=True)
class Section:
    """What may stand in one table: one protocol."""

    protocol: Mapping[str, Any]
    models: tuple[str, ...]
    """In the recipe's order; the first is the one that others are compared with."""
    tasks: tuple[TaskTable, ...]

    @property
    def name(self) -> str:
        """Of the protocol; one that is called `paper` and has other values than the paper's is not it."""
        name = protocol_name(self.protocol)
        return f"{name}, changed" if name == PAPER and self.protocol != published_protocol() else name

    @property
    def measure(self) -> str:
        """The measure of the section's table and tests."""
        return measure_of(self.protocol)

    def means(self) -> dict[str, float]:
        """The mean over tasks of each model that has them all."""
        found = {}
        for model in self.models:
            entries = [task.entries.get(model) for task in self.tasks]
            scores = [entry.measures[self.measure].mean for entry in entries if entry]
            if len(scores) == len(self.tasks):
                found[model] = plain.mean(scores)
        return found


@dataclass(frozen=True)
class Report:
    """Everything that is shown."""

    grid: Grid
    sections: tuple[Section, ...]

    @property
    def runs(self) -> list[Result]:
        """Of all sections."""
        entries = (entry for section in self.sections for task in section.tasks for entry in task.entries.values())
        return [run for entry in entries for run in entry.runs]


def protocol_name(protocol: Mapping[str, Any]) -> str:
    """`paper` or `audited`."""
    return str(protocol.get("protocol", PAPER))


def published_protocol() -> dict[str, Any]:
    """The paper's, as a result holds it, in the order of the recipe."""
    values: dict[str, Any] = json.loads(json.dumps(paper_protocol()))
    return values


def measure_of(protocol: Mapping[str, Any]) -> str:
    """The measure that models are compared by: that of the published figures in `paper`, else F1 on all gold."""
    return "iob2_f1" if protocol_name(protocol) == PAPER else "f1"


def compare(output: Path) -> Report:
    """Read and verify the runs below `output` and compare their models.

    Raises what `read_output` raises, and `UserError` naming each run whose scores its own predictions do not give.
    """
    grid, results = read_output(output)
    rows: dict[str, list[Row]] = {}
    problems = []
    for folder, result in results.items():
        try:
            rows[_key(result)] = list(verified(folder, result).rows)
        except UserError as error:
            problems.append(str(error))
    raise_all(f"{output} cannot be reported; run finetune again, or remove the folders of these runs:", problems)
    by_protocol: dict[str, list[TaskTable]] = {}
    for models in tables(grid, [result for result in results.values() if result.type == "ner"]):
        task = _task_table(models, rows)
        by_protocol.setdefault(files.canonical_json(task.first.protocol), []).append(task)
    sections = [_section(tasks, list(grid.models)) for tasks in by_protocol.values()]
    return Report(grid, tuple(sorted(sections, key=lambda section: protocol_name(section.protocol) != PAPER)))


def _key(result: Result) -> str:
    return f"{result.task}/{result.model}/{result.seed}"


def _task_table(models: Mapping[str, Sequence[Result]], rows: Mapping[str, list[Row]]) -> TaskTable:
    entries = {model: _entry(runs, [rows[_key(run)] for run in runs]) for model, runs in models.items()}
    first = next(iter(entries.values()))
    for model, entry in entries.items():
        if entry.counts.documents != first.counts.documents:
            raise UserError(
                f"task {first.runs[0].task}: model {model} was tested on other documents than the models before it; "
                "run finetune again"
            )
    task = TaskTable(first.runs[0].task, entries, {})
    measure = measure_of(task.first.protocol)
    pairs = {
        pair: Comparison(found, found.p)
        for pair in combinations(entries, 2)
        if (found := _difference(entries[pair[0]], entries[pair[1]], measure))
    }
    return replace(task, comparisons=pairs)


def _entry(runs: Sequence[Result], rows: Sequence[list[Row]]) -> Entry:
    try:
        counts = count_documents(rows)
    except ValueError as error:
        raise UserError(f"task {runs[0].task}, model {runs[0].model}: {error}; run finetune again") from error
    pairs = [[pair for row in each for pair in pair_spans(row.gold, row.pred)] for each in rows]
    gold = Counter({label: int(counts.gold[0, :, place].sum()) for place, label in enumerate(counts.labels)})
    return Entry(
        tuple(runs),
        tuple(rows),
        counts,
        {measure: _estimate(counts, measure) for measure in MEASURES},
        {name: _mean_std(_forgiving(run, name) for run in runs) for name in FORGIVING},
        {label: (gold[label], _estimate(counts, "f1", label)) for label in counts.labels},
        _means([error_counts(each) for each in pairs]),
        _means([confusion(each) for each in pairs]),
    )


def _estimate(counts: DocumentCounts, measure: str, label: str | None = None) -> Estimate:
    ratios = counts.ratios(measure, label)
    interval_of = interval if measure in _COMPARED and label is None else analytic_interval
    return Estimate(interval_of(ratios), _mean_std(ratios.per_seed.tolist())[1])


def _forgiving(run: Result, name: str) -> float:
    return float(run.scores[name]["f1"])


def _mean_std(values: Iterable[float]) -> tuple[float, float | None]:
    found = list(values)
    return plain.mean(found), plain.stdev(found) if len(found) > 1 else None


def _means(counts: Sequence[Mapping[Key, int]]) -> dict[Key, float]:
    """Each key's mean over the seeds."""
    keys = {key: None for each in counts for key in each}
    return {key: sum(each.get(key, 0) for each in counts) / len(counts) for key in keys}


def _difference(before: Entry, after: Entry, measure: str) -> Difference | None:
    """`after` minus `before` over the seeds that both have."""
    seeds = [seed for seed in before.seeds if seed in after.seeds]
    if not seeds or len(before.counts.documents) < 2:
        return None
    one, two = (entry.counts.of_seeds([entry.seeds.index(seed) for seed in seeds]) for entry in (before, after))
    return difference(one.ratios(measure), two.ratios(measure))


def _section(tasks: Sequence[TaskTable], order: Sequence[str]) -> Section:
    """The tasks of one protocol; p-values adjusted over them, for each pair of models."""
    names = {model: entry.runs[0].model for task in tasks for model, entry in task.entries.items()}
    models = sorted(names, key=lambda model: (*_rank(names[model], order), model))
    adjusted: list[dict[tuple[str, str], Comparison]] = [{} for _ in tasks]
    for pair in dict.fromkeys(pair for task in tasks for pair in task.comparisons):
        places = [place for place, task in enumerate(tasks) if pair in task.comparisons]
        p_values = holm([tasks[place].comparisons[pair].difference.p for place in places])
        for place, p_value in zip(places, p_values, strict=True):
            adjusted[place][pair] = replace(tasks[place].comparisons[pair], p_holm=p_value)
    renamed = _told_apart(tasks)
    named = [
        replace(task, name=name, comparisons=found) for task, name, found in zip(tasks, renamed, adjusted, strict=True)
    ]
    return Section(tasks[0].first.protocol, tuple(models), tuple(named))


def _rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order)), name


def _told_apart(tasks: Sequence[TaskTable]) -> list[str]:
    """The tasks' names; one that stood for several data is told apart by their hash."""
    names = [task.name for task in tasks]
    return [
        name if names.count(name) == 1 else f"{name} ({task.first.data_sha256[:8]})"
        for name, task in zip(names, tasks, strict=True)
    ]
