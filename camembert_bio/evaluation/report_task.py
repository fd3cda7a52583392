"""One task in the report's page: its charts, and the tables that they repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from camembert_bio.evaluation import report_cells, wording
from camembert_bio.evaluation import report_charts as charts
from camembert_bio.evaluation.comparison import Section, TaskTable
from camembert_bio.evaluation.entries import Entry
from camembert_bio.evaluation.matching import ERRORS
from camembert_bio.evaluation.report_findings import task_findings
from camembert_bio.page import Markup, bar, table

STYLE = """
.q1 { background: color-mix(in srgb, var(--c0) 12%, transparent); }
.q2 { background: color-mix(in srgb, var(--c0) 28%, transparent); }
.q3 { background: color-mix(in srgb, var(--c0) 48%, transparent); }
"""


def task_part(section: Section, task: TaskTable) -> Iterator[str]:
    """Charts, scores, differences, labels and confusion; of entities errors and ledger: under the task's heading."""
    yield f"<p>{escape(wording.sizes(task))}</p>"
    left = _caption(title(task.measure.title) + " and its 95 % interval") + charts.scores_chart(section, task)
    left += "".join(f"<p>{escape(sentence)}</p>" for sentence in task_findings(task))
    right = ""
    if curves := charts.curves_chart(section, task):
        words = "On validation while training: mean over seeds, and from the worst to the best"
        right = f"<div>{_caption(words)}{curves}{charts.legend(section.models, task.entries)}</div>"
    yield f'<div class="pair"><div>{left}</div>{right}</div>'
    yield _scores(task)
    if task.comparisons:
        caption = f"Differences of {task.measure.title}, paired by document and seed"
        yield _titled(caption, report_cells.comparison_table(task, minus="−"))
    yield from _labels(section, task)
    if task.is_of_entities:
        yield _errors(task)
    for model, entry in task.entries.items():
        if entry.confusion:
            yield f"<details><summary>Confusion of labels: {escape(model)}</summary>{_confusion(entry)}</details>"
    if task.is_of_entities:
        yield _ledger(task)


def _caption(text: str) -> str:
    return f'<p class="muted">{escape(text)}</p>'


def _scores(task: TaskTable) -> str:
    """Those with an interval and the others: two tables, since one would be too wide."""
    words = "mean ± standard deviation over seeds"
    first, second = "Scores", "Further scores"
    if task.is_of_entities:
        first, second = "Strict scores", "Scores that forgive, and the mean over labels"
    figures = report_cells.figure_table(task)
    further = _titled(f"{second}: {words}", figures) if figures[1] else ""
    return _titled(f"{first}: {words}", report_cells.score_table(task)) + further


def _titled(caption: str, found: report_cells.Table) -> str:
    head, rows = found
    return table(caption, [title(name) for name in head], rows)


def title(name: str) -> str:
    """The name of a column: a capital, but for `p` and units."""
    return name if name in ("p", "kWh") or name.startswith(("p ", "g ")) else name[:1].upper() + name[1:]


def _labels(section: Section, task: TaskTable) -> Iterator[str]:
    """F1 of each label and model, with bars one below the other; then its parts. Nothing of a task without labels."""
    rows = []
    for label, gold in report_cells.gold_counts(task).items():
        found = {
            model: entry.labels[label].figures["f1"] for model, entry in task.entries.items() if label in entry.labels
        }
        cells = [wording.estimate(found[m], task.measure) if m in found else "–" for m in task.entries]
        bars = charts.label_bars([(section.models.index(model), one) for model, one in found.items()])
        rows.append([label, f"{gold:,}", *cells, bars])
    head = ["Label", "Gold", *(_keyed(model, section.models.index(model)) for model in task.entries), ""]
    caption = "F1 of each label; the lines are 95 % intervals" if task.is_of_entities else "F1 of each label"
    if rows:
        figures = _titled("Precision, recall and F1 of each label", report_cells.label_table(task))
        yield table(caption, head, rows)
        yield f"<details><summary>Precision and recall of each label</summary>{figures}</details>"


def _errors(task: TaskTable) -> str:
    found = {model: entry.entities.errors for model, entry in task.entries.items() if entry.entities}
    most = max(sum(errors[kind] for kind in ERRORS) for errors in found.values())
    head = ["Model", "Correct", *(_keyed(title(kind), place) for place, kind in enumerate(ERRORS)), ""]
    rows = [
        [
            model,
            *(f"{errors[kind]:,.1f}" for kind in ("correct", *ERRORS)),
            charts.error_bar(errors, ERRORS, most),
        ]
        for model, errors in found.items()
    ]
    return table("What went wrong, in entities (means over seeds)", head, rows)


def _keyed(name: str, place: int) -> Markup:
    """A column's name with its colour in the bars."""
    square = f'<rect class="c{charts.colour(place)}" width="10" height="10"/>'
    return Markup(f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true">{square}</svg>{escape(name)}')


def _confusion(entry: Entry) -> str:
    head, rows = report_cells.confusion_table(entry)
    caption = "Gold labels in rows, predicted ones in columns (means over seeds)"
    return table(caption, head, [[name, *_shaded(counts)] for name, counts in rows])


def _shaded(counts: Sequence[float]) -> list[str]:
    """A row's counts, each on a ground as dark as its share of the row."""
    total = sum(counts) or 1.0
    cells: list[str] = []
    for count in counts:
        level = 3 if count / total > 0.5 else 2 if count / total > 0.2 else 1 if count / total > 0.02 else 0
        text = f"{count:,.1f}" if count else "·"
        cells.append(Markup(f'<span class="q{level}">{text}</span>') if level else text)
    return cells


def _ledger(task: TaskTable) -> str:
    rows = []
    for model, entry in task.entries.items():
        ledger = entry.runs[0].ledger
        lost = sum(getattr(ledger, name) for name in wording.LOSSES)
        share = bar(1 - lost / ledger.gold, lost / ledger.gold) if ledger.gold else ""
        ceiling = [wording.percent(entry.entities.ceiling)] if entry.entities else []
        rows.append([model, *report_cells.ledger_cells(ledger), *ceiling, share])
    losses = (title(name.replace("_", " ")) for name in wording.LOSSES)
    head = ("Model", "Gold", "Kept", *losses, title(wording.CEILING), "")
    return table("What a perfect tagger keeps and loses, in entities", head, rows)
