"""The comparison of models that every form of the report shows: scores with intervals, paired tests, what went wrong.

A section for each protocol, since scores of two protocols are not comparable; in it a table for each task, in it an
entry for each model. Each task has its measure.
"""

from __future__ import annotations

import json
import logging
import math
import statistics as plain
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from camembert_bio import files
from camembert_bio.errors import Mistakes, UserError, raise_all
from camembert_bio.evaluation.entries import Entry, Estimate, entry_of, measure_of, titles_of
from camembert_bio.evaluation.measures import Measure
from camembert_bio.evaluation.predictions import Saved
from camembert_bio.evaluation.recipe import UNTRAINED, paper_protocol
from camembert_bio.evaluation.results import Grid, Result, read_output, tables, verified
from camembert_bio.evaluation.spread import Ratios
from camembert_bio.evaluation.statistics import Difference, difference, holm

logger = logging.getLogger(__name__)

PAPER = "paper"


@dataclass(frozen=True)
class Comparison:
    """A model against another on a task, over the seeds that both have, by the task's measure."""

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
    def measure(self) -> Measure:
        """What models are compared by."""
        return measure_of(self.first.type, protocol_name(self.first.protocol) == PAPER)

    def score(self, model: str) -> Estimate | None:
        """A model's estimate of the measure; None without a run."""
        return self.entries[model].measures[self.measure.name] if model in self.entries else None

    @property
    def titles(self) -> dict[str, str]:
        """What its scores are called, by key."""
        return titles_of(self.first.type)

    @property
    def is_of_entities(self) -> bool:
        """Whether errors, ledger and documents can be shown."""
        return self.first.type == "ner"

    @property
    def is_trained(self) -> bool:
        """Whether seeds say something."""
        return self.first.type not in UNTRAINED

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
    def search_trials(self) -> int:
        """Of the search that chose the hyperparameters; 0 without one. The most, where its runs had several."""
        entries = (entry for task in self.tasks for entry in task.entries.values())
        return max(run.search_trials for entry in entries for run in entry.runs)

    @property
    def measure(self) -> Measure | None:
        """The measure of every task; None where they have several."""
        first = self.tasks[0].measure
        return first if all(task.measure == first for task in self.tasks) else None

    @property
    def has_entities(self) -> bool:
        """Whether any task is of entities."""
        return any(task.is_of_entities for task in self.tasks)

    def means(self) -> dict[str, float]:
        """The mean over several tasks of each model that has them all; nothing where they have several measures."""
        if self.measure is None or len(self.tasks) < 2:
            return {}
        scores = {model: [found for task in self.tasks if (found := task.score(model))] for model in self.models}
        return {
            model: plain.mean(one.mean for one in found)
            for model, found in scores.items()
            if len(found) == len(self.tasks)
        }


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


def compare(output: Path, leave_out_broken: bool = False) -> Report:
    """Read and verify the runs below `output` and compare their models.

    Raises what `read_output` raises, and `UserError` naming each run that cannot be read or whose scores its own
    predictions do not give; with `leave_out_broken` these are left out with a warning, and if no other is there the
    report has no section.
    """
    broken = Mistakes()
    grid, results = read_output(output, broken)
    whole: list[Result] = []
    saved: dict[str, Saved] = {}
    for folder, result in results.items():
        with broken.noted():
            saved[_key(result)] = verified(folder, result)
            whole.append(result)
    if not leave_out_broken:
        heading = f"{output} cannot be reported; run finetune again, or remove the folders of these runs:"
        raise_all(heading, broken.messages)
    for message in broken.messages:
        logger.warning("left out of the report: %s", message)
    by_protocol: dict[str, list[TaskTable]] = {}
    for models in tables(grid, whole):
        task = _task_table(models, saved)
        by_protocol.setdefault(files.canonical_json(task.first.protocol), []).append(task)
    sections = [_section(tasks, grid) for tasks in by_protocol.values()]
    return Report(grid, tuple(sorted(sections, key=lambda section: protocol_name(section.protocol) != PAPER)))


def _key(result: Result) -> str:
    return f"{result.task}/{result.model}/{result.seed}"


def _task_table(models: Mapping[str, Sequence[Result]], saved: Mapping[str, Saved]) -> TaskTable:
    _check_gold(models, saved)
    entries = {model: _entry(runs, [saved[_key(run)] for run in runs]) for model, runs in models.items()}
    task = TaskTable(next(iter(models.values()))[0].task, entries, {})
    documents = next(iter(entries.values())).documents
    for model, entry in entries.items():
        if entry.documents != documents:
            raise UserError(
                f"task {task.name}: model {model} was tested on other documents than the models before it; "
                "run finetune again"
            )
    pairs = {
        pair: Comparison(found, found.p)
        for pair in combinations(entries, 2)
        if (found := _difference(entries[pair[0]], entries[pair[1]], task.measure))
    }
    return replace(task, comparisons=pairs)


def _check_gold(models: Mapping[str, Sequence[Result]], saved: Mapping[str, Saved]) -> None:
    """Raise `UserError` where runs on the same documents have other gold, or those of a model other perfect spans."""
    first = next(iter(models.values()))[0]
    for runs in models.values():
        for run in runs:
            for part, other in (("gold", first), ("perfect", runs[0])):
                one, two = (_by_document(saved[_key(each)], part) for each in (other, run))
                if one.keys() == two.keys() and one != two:
                    raise UserError(
                        f"{_key(other)} and {_key(run)} have other {part} answers on the same data, so one was "
                        "changed; remove its folder, or both, and run finetune again"
                    )


def _by_document(saved: Saved, part: str) -> dict[str, Any]:
    """One part of each row; None of a text that is only read."""
    return {row.document: getattr(row, part, None) for row in saved.rows}


def _entry(runs: Sequence[Result], saved: Sequence[Saved]) -> Entry:
    first = runs[0]
    try:
        return entry_of(runs, saved, measure_of(first.type, protocol_name(first.protocol) == PAPER))
    except ValueError as error:
        raise UserError(f"task {first.task}, model {first.model}: {error}; run finetune again") from error


def _difference(before: Entry, after: Entry, measure: Measure) -> Difference | None:
    """`after` minus `before` over the seeds that both have."""
    seeds = [seed for seed in before.seeds if seed in after.seeds]
    if not seeds or len(before.documents) < 2:
        return None
    one, two = (_of_seeds(entry, seeds) for entry in (before, after))
    return difference(one, two, largest=1.0 if measure.is_share else math.inf)


def _of_seeds(entry: Entry, seeds: Sequence[int]) -> Ratios:
    places = [entry.seeds.index(seed) for seed in seeds]
    return Ratios(entry.ratios.numerator[places], entry.ratios.denominator[places])


def _section(tasks: Sequence[TaskTable], grid: Grid) -> Section:
    """The tasks of one protocol; p-values adjusted over them, for each pair of models."""
    names = {model: entry.runs[0].model for task in tasks for model, entry in task.entries.items()}
    models = sorted(names, key=lambda model: (*_rank(names[model], list(grid.models)), model))
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
