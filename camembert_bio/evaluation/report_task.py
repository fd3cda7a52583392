"""One task in the report's page: its charts, and the tables that they repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from camembert_bio.evaluation import report_charts as charts
from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import FORGIVING, MEASURES, Entry, Section, TaskTable
from camembert_bio.evaluation.matching import ERRORS
from camembert_bio.evaluation.report_findings import task_findings
from camembert_bio.page import Markup, bar, table

STYLE = """
.q1 { background: color-mix(in srgb, var(--c0) 12%, transparent); }
.q2 { background: color-mix(in srgb, var(--c0) 28%, transparent); }
.q3 { background: color-mix(in srgb, var(--c0) 48%, transparent); }
"""


def task_part(section: Section, task: TaskTable) -> Iterator[str]:
    """Charts, scores, differences, labels, errors, confusion and ledger, under the task's heading."""
    yield f"<p>{escape(wording.sizes(task))}</p>"
    left = _caption(title(MEASURES[section.measure]) + " and its 95 % interval") + charts.scores_chart(section, task)
    left += "".join(f"<p>{escape(sentence)}</p>" for sentence in task_findings(task))
    right = ""
    if curves := charts.curves_chart(section, task):
        words = "F1 on validation while training: mean over seeds, and from the worst to the best"
        right = f"<div>{_caption(words)}{curves}{charts.legend(section.models, task.entries)}</div>"
    yield f'<div class="pair"><div>{left}</div>{right}</div>'
    yield _scores(task)
    if task.comparisons:
        rows = [
            [f"{after} − {before}", *wording.comparison_cells(found)]
            for (before, after), found in task.comparisons.items()
        ]
        caption = f"Differences of {MEASURES[section.measure]}, paired by document and seed"
        yield table(caption, [title(name) for name in wording.COMPARISON_HEAD], rows)
    yield _labels(section, task)
    yield _errors(task)
    for model, entry in task.entries.items():
        yield f"<details><summary>Confusion of types: {escape(model)}</summary>{_confusion(entry)}</details>"
    yield _ledger(task)


def _caption(text: str) -> str:
    return f'<p class="muted">{escape(text)}</p>'


def _scores(task: TaskTable) -> str:
    """Two tables, since one would be too wide."""
    strict = [
        [
            model,
            *(wording.estimate(entry.measures[name]) for name in MEASURES),
            wording.percent(entry.ceiling),
            str(len(entry.runs)),
        ]
        for model, entry in task.entries.items()
    ]
    forgiving = [
        [model, *(wording.mean_std(*entry.forgiving[name]) for name in FORGIVING)]
        for model, entry in task.entries.items()
    ]
    words = "mean ± standard deviation over seeds"
    return table(
        f"Strict scores: {words}", ("Model", *map(title, MEASURES.values()), wording.CEILING, "Seeds"), strict
    ) + table(
        f"Scores that forgive, and the mean over labels: {words}",
        ("Model", *map(title, FORGIVING.values())),
        forgiving,
    )


def title(name: str) -> str:
    """The name of a column: a capital, but for `p` and units."""
    return name if name in ("p", "kWh") or name.startswith(("p ", "g ")) else name[:1].upper() + name[1:]


def _labels(section: Section, task: TaskTable) -> str:
    """Figures of each label and model, then their bars, one below the other."""
    gold = {label: found[0] for entry in task.entries.values() for label, found in entry.labels.items()}
    rows = []
    for label in sorted(gold, key=lambda name: (-gold[name], name)):
        found = {model: entry.labels[label][1] for model, entry in task.entries.items() if label in entry.labels}
        cells = [wording.estimate(found[model]) if model in found else "–" for model in task.entries]
        bars = charts.label_bars([(section.models.index(model), one) for model, one in found.items()])
        rows.append([label, f"{gold[label]:,}", *cells, bars])
    head = ["Label", "Gold", *(_keyed(model, section.models.index(model)) for model in task.entries), ""]
    return table("F1 of each label; the lines are 95 % intervals", head, rows)


def _errors(task: TaskTable) -> str:
    most = charts.worst_errors(task.entries, ERRORS)
    head = ["Model", "Correct", *(_keyed(title(kind), place) for place, kind in enumerate(ERRORS)), ""]
    rows = [
        [
            model,
            *(f"{entry.errors[kind]:,.1f}" for kind in ("correct", *ERRORS)),
            charts.error_bar(entry.errors, ERRORS, most),
        ]
        for model, entry in task.entries.items()
    ]
    return table("What went wrong, in entities (means over seeds)", head, rows)


def _keyed(name: str, place: int) -> Markup:
    """A column's name with its colour in the bars."""
    square = f'<rect class="c{charts.colour(place)}" width="10" height="10"/>'
    return Markup(f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true">{square}</svg>{escape(name)}')


def _confusion(entry: Entry) -> str:
    gold = sorted({one for one, _ in entry.confusion if one is not None})
    pred = sorted({two for _, two in entry.confusion if two is not None})
    rows = [[label, *_shaded(entry, label, [*pred, None])] for label in gold]
    rows.append(["(not annotated)", *_shaded(entry, None, [*pred, None])])
    return table("Annotated, in rows; predicted, in columns", ("", *pred, "(missed)"), rows)


def _shaded(entry: Entry, label: str | None, columns: Sequence[str | None]) -> list[str]:
    """A row's counts, each on a ground as dark as its share of the row."""
    counts = [entry.confusion.get((label, other), 0.0) for other in columns]
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
        lost = {name: getattr(ledger, name) for name in wording.LOSSES}
        kept = ledger.gold - sum(lost.values())
        share = bar(kept / ledger.gold, sum(lost.values()) / ledger.gold) if ledger.gold else ""
        cells = [f"{ledger.gold:,}", f"{kept:,}", *(f"{count:,}" for count in lost.values())]
        rows.append([model, *cells, wording.percent(entry.ceiling), share])
    head = ("Model", "Gold", "Kept", *(title(name.replace("_", " ")) for name in wording.LOSSES), wording.CEILING, "")
    return table("What a perfect tagger keeps and loses, in entities", head, rows)
