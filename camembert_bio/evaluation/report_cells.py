"""Cells of the report's tables, the same in every form: comparisons, labels, confusion, ledger, costs."""

from __future__ import annotations

from collections.abc import Callable

from camembert_bio import devices
from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import Comparison, Section, TaskTable
from camembert_bio.evaluation.cost import Cost
from camembert_bio.evaluation.entries import LABEL_FIGURES, Entry, Estimate
from camembert_bio.evaluation.measures import Measure
from camembert_bio.evaluation.power import detectable, seeds_needed
from camembert_bio.evaluation.results import Ledger

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""

COST_HEAD = ("model", "device", "runs", "hours", "kWh", *(f"g CO2e, {grid.name}" for grid in devices.GRIDS))


def cost_cells(cost: Cost) -> list[str]:
    """The cells of `COST_HEAD`."""
    figures = [wording.three_digits(value) for value in (cost.hours, cost.kwh, *cost.grams.values())]
    return [cost.model, cost.device, str(cost.num_runs), *figures]


def summary_table(section: Section, cell: Callable[[TaskTable, str], str]) -> Table:
    """The paper's form: a task a row, a model a column, their means last where there are any; of entities the ceiling.

    `cell` writes the score of a model that has one.
    """
    rows = []
    for task in section.tasks:
        cells = [cell(task, model) if task.score(model) else "–" for model in section.models]
        rows.append([wording.task_name(section, task), *cells, wording.ceilings(task)])
    if means := section.means():
        rows.append(["mean", *(wording.percent(means[m]) if m in means else "–" for m in section.models), ""])
    head = ["task", *section.models, wording.CEILING]
    return (head, rows) if section.has_entities else (head[:-1], [row[:-1] for row in rows])


def score_table(task: TaskTable) -> Table:
    """For each model the scores that have an interval, of entities the ceiling, and the number of seeds."""
    rows = []
    for model, entry in task.entries.items():
        cells = [wording.estimate(found, task.measure) for found in entry.measures.values()]
        ceilings = [wording.percent(entry.entities.ceiling)] if entry.entities else []
        rows.append([model, *cells, *ceilings, str(len(entry.runs))])
    ceiling = [wording.CEILING] if task.is_of_entities else []
    return ["model", *(task.titles[name] for name in _first(task).measures), *ceiling, "seeds"], rows


def figure_table(task: TaskTable) -> Table:
    """For each model the scores without an interval; no row where there is none."""
    rows = [
        [model, *(wording.estimate(found, task.measure) for found in entry.figures.values())]
        for model, entry in task.entries.items()
        if entry.figures
    ]
    return ["model", *(task.titles[name] for name in _first(task).figures)], rows


def label_table(task: TaskTable) -> Table:
    """For each label and model the figures, with intervals where they have one; no row where a task has no labels."""
    rows = []
    for label, gold in gold_counts(task).items():
        for model, entry in task.entries.items():
            if label in entry.labels:
                figures = entry.labels[label].figures.values()
                rows.append([label, f"{gold:,}", model, *(_with_bounds(one, task.measure) for one in figures)])
    return ["label", "gold", "model", *LABEL_FIGURES.values()], rows


def _with_bounds(found: Estimate, measure: Measure) -> str:
    text = wording.estimate(found, measure)
    return text if found.interval.low is None else f"{text} {wording.bounds(found.interval, measure)}"


def _first(task: TaskTable) -> Entry:
    return next(iter(task.entries.values()))


def comparison_table(task: TaskTable, minus: str = "-") -> Table:
    """For each pair of models their difference."""
    pairs = task.comparisons.items()
    rows = [[f"{two} {minus} {one}", *comparison_cells(found, task.measure)] for (one, two), found in pairs]
    return comparison_head(task.measure), rows


def comparison_head(measure: Measure) -> list[str]:
    """The columns of `comparison_cells`."""
    unit, point = ("points", "1 point") if measure.is_share else (measure.title, f"{wording.POINT:g}")
    tests = ("95 % interval", "p", "p (Holm)", "p (permutation)")
    return ["difference", unit, *tests, "effect", "seeds above 0", f"told ({unit})", f"seeds for {point}"]


def comparison_cells(comparison: Comparison, measure: Measure) -> list[str]:
    """The cells of `comparison_head` after the first."""
    found = comparison.difference
    gains = found.per_seed
    told = detectable(found.spread)
    needed = seeds_needed(found.spread, wording.POINT)
    return [
        wording.figure(found.interval.mean, measure, "+"),
        wording.bounds(found.interval, measure, "+"),
        wording.p_value(found.p),
        wording.p_value(comparison.p_holm),
        wording.p_value(found.p_permutation),
        "–" if found.effect is None else f"{found.effect:+.2f}",
        f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        "–" if told is None else wording.figure(told, measure),
        ("none suffice" if len(gains) > 1 and found.spread.varies else "–") if needed is None else str(needed),
    ]


def gold_counts(task: TaskTable) -> dict[str, int]:
    """How often each label is gold, the most frequent first."""
    gold = {label: found.gold for entry in task.entries.values() for label, found in entry.labels.items()}
    return dict(sorted(gold.items(), key=lambda item: (-item[1], item[0])))


def confusion_table(entry: Entry) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """Columns, and rows with their counts: gold labels in rows, predicted ones in columns."""
    gold = sorted({one for one, _ in entry.confusion if one is not None})
    pred = sorted({two for _, two in entry.confusion if two is not None})
    rows: list[tuple[str, str | None]] = [(label, label) for label in gold]
    columns: list[tuple[str, str | None]] = [(label, label) for label in pred]
    if any(one is None for one, _ in entry.confusion):
        rows.append(("(not annotated)", None))
    if any(two is None for _, two in entry.confusion):
        columns.append(("(missed)", None))
    cells = [(name, [entry.confusion.get((one, two), 0.0) for _, two in columns]) for name, one in rows]
    return ["", *(name for name, _ in columns)], cells


def ledger_cells(ledger: Ledger) -> list[str]:
    """Gold, what is kept of it, and each loss."""
    lost = [getattr(ledger, name) for name in wording.LOSSES]
    return [f"{count:,}" for count in (ledger.gold, ledger.gold - sum(lost), *lost)]
