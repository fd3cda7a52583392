"""The report as CSV, for a program: a line a number, in [0, 1] where it is a share.

`kind` says what a line is of, and with it which columns are filled: `score`, `label`, `difference`, `error`,
`confusion`, `ledger`, `documents`, `history`, `search` or `cost`. The number stands in `mean`, a mean or not. A text
that a spreadsheet would take for a formula has an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from camembert_bio.evaluation import report_cells, wording
from camembert_bio.evaluation.comparison import Comparison, Report, Section, TaskTable
from camembert_bio.evaluation.cost import Cost, Factors, costs
from camembert_bio.evaluation.entries import Entry, Estimate
from camembert_bio.evaluation.power import detectable, seeds_needed
from camembert_bio.page import visible

_COLUMNS = (
    *("protocol", "task", "data_sha256", "kind", "model", "against", "label", "predicted", "seed", "step", "device"),
    *("measure", "seeds", "mean", "std", "low", "high", "p", "p_holm", "p_permutation"),
)

Line = dict[str, object]


def csv_text(report: Report, factors: Factors) -> str:
    """Every number of the report."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for section in report.sections:
        protocol = wording.plain_protocol(section.protocol)
        writer.writerows(_harmless({"protocol": protocol, **line}) for line in _section(section))
    for cost in costs(report.runs, factors):
        named = {"kind": "cost", "model": cost.model, "device": cost.device}
        writer.writerows(_harmless({**named, **line}) for line in _cost(cost))
    return file.getvalue()


def _harmless(line: Line) -> Line:
    """Texts in one line, and none that a spreadsheet computes."""
    shown = {name: visible(value) if isinstance(value, str) else value for name, value in line.items()}
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
        for name, value in shown.items()
    }


def _section(section: Section) -> Iterator[Line]:
    yield {"kind": "search", "measure": "trials", "mean": section.search_trials}
    for model, mean in section.means().items():
        assert section.measure is not None
        yield {"kind": "score", "model": model, "measure": f"mean_{section.measure.name}", "mean": mean}
    for task in section.tasks:
        named = {"task": task.name, "data_sha256": task.first.data_sha256}
        yield from ({**named, **line} for line in _task(task))


def _task(task: TaskTable) -> Iterator[Line]:
    counts = task.first.num_documents
    for part in ("train", "validation", "test"):
        yield {"kind": "documents", "measure": part, "mean": getattr(counts, part)}
    for model, entry in task.entries.items():
        for line in (*_scores(entry), *_labels(entry), *_entities(entry), *_confusion(entry)):
            yield {"model": model, "seeds": len(entry.runs), **line}
        yield from ({"kind": "history", "model": model, **line} for line in _history(entry))
    for (before, after), found in task.comparisons.items():
        for line in _difference(task, found):
            yield {"kind": "difference", "model": after, "against": before, **line}


def _scores(entry: Entry) -> Iterator[Line]:
    for measure, found in (*entry.measures.items(), *entry.figures.items()):
        yield {"kind": "score", "measure": measure, **_estimate(found)}
    if entry.entities:
        yield {"kind": "score", "measure": "ceiling", "mean": entry.entities.ceiling}


def _estimate(found: Estimate) -> Line:
    return {"mean": found.mean, "std": found.std, "low": found.interval.low, "high": found.interval.high}


def _labels(entry: Entry) -> Iterator[Line]:
    for label, found in entry.labels.items():
        yield {"kind": "label", "label": label, "measure": "gold", "mean": found.gold}
        for measure, figure in found.figures.items():
            yield {"kind": "label", "label": label, "measure": measure, **_estimate(figure)}


def _entities(entry: Entry) -> Iterator[Line]:
    """Errors and ledger, which are of entities alone."""
    if entry.entities is None:
        return
    for kind, count in entry.entities.errors.items():
        yield {"kind": "error", "measure": kind, "mean": count}
    ledger = entry.runs[0].ledger
    for name in ("gold", *wording.LOSSES):
        yield {"kind": "ledger", "measure": name, "mean": getattr(ledger, name)}


def _confusion(entry: Entry) -> Iterator[Line]:
    if entry.confusion:
        (_, *columns), rows = report_cells.confusion_table(entry)
        for label, counts in rows:
            for predicted, count in zip(columns, counts, strict=True):
                yield {"kind": "confusion", "label": label, "predicted": predicted, "measure": "count", "mean": count}


def _history(entry: Entry) -> Iterator[Line]:
    """What training came to, of every run."""
    for run in entry.runs:
        for point in run.history:
            for measure, value in point.items():
                if measure != "step":
                    yield {"seed": run.seed, "step": point.get("step"), "measure": measure, "mean": value}


def _difference(task: TaskTable, comparison: Comparison) -> Iterator[Line]:
    """The line of the measure, and what the tables show beside it; empty where nothing can be told."""
    found, gains = comparison.difference, comparison.difference.per_seed
    shown: Line = {
        "mean": found.interval.mean,
        "low": found.interval.low,
        "high": found.interval.high,
        "p": found.p,
        "p_holm": comparison.p_holm,
        "p_permutation": found.p_permutation,
    }
    yield {"measure": task.measure.name, "seeds": len(gains), **shown}
    beside: Line = {
        "effect": found.effect,
        "seeds_above_0": sum(gain > 0 for gain in gains),
        "detectable": detectable(found.spread),
        "seeds_needed": seeds_needed(found.spread, wording.POINT),
    }
    yield from ({"measure": name, "seeds": len(gains), "mean": value} for name, value in beside.items())


def _cost(cost: Cost) -> Iterator[Line]:
    grams = {f"g_co2e_{name.lower()}": value for name, value in cost.grams.items()}
    for measure, value in {"runs": cost.num_runs, "hours": cost.hours, "kwh": cost.kwh, **grams}.items():
        yield {"measure": measure, "mean": value}
