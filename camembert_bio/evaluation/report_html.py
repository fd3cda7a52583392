"""The report as one page, which needs no network, script or font of its own.

Every number stands in a table; the charts repeat it. Names and labels are escaped. The page holds no text and no id of
a document, unless documents are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from camembert_bio import __version__, devices
from camembert_bio.evaluation import report_cells, report_documents, report_task, wording
from camembert_bio.evaluation import report_charts as charts
from camembert_bio.evaluation.comparison import Report, Section, TaskTable
from camembert_bio.evaluation.cost import Factors, costs
from camembert_bio.evaluation.report_findings import findings
from camembert_bio.evaluation.report_reading import reading
from camembert_bio.page import Markup, document, markup, table, tiles

_STYLE = """
nav { margin: 1rem 0; } nav a { margin-right: 1.1rem; color: var(--c0); }
.paper small { display: block; color: var(--muted); }
.paper tr:last-child th, .paper tr:last-child td { border-bottom: 2px solid var(--rule); }
.up { color: var(--c2); } .down { color: var(--c5); }
details { margin: .6rem 0; } details details { margin-left: 1.2rem; } summary { cursor: pointer; color: var(--c0); }
.warn { border-left: 4px solid var(--c1); padding: .3rem .8rem; }
dt.how { font-weight: 600; }
.how { display: block; margin: .6rem 0; max-width: 48rem; } .how p { margin: .3rem 0; }
"""

Texts = Mapping[tuple[str, str], Mapping[str, str]]
"""By (task, hash of its data) and document: the texts that the page is to show."""


def page(report: Report, factors: Factors, texts: Texts | None = None) -> str:
    """The page; with `texts`, documents too, gold and predictions side by side: confidential where they are."""
    body = [
        f"<h1>{wording.TITLE}</h1>",
        f'<p class="muted">camembert-bio {escape(__version__)}; every score recomputed from the saved predictions.</p>',
        *_tiles(report, factors),
    ]
    if texts is not None:
        body.append(
            '<p class="warn"><strong>Holds the texts of documents.</strong> Share it as you may share them.</p>'
        )
    body.append(_navigation(report))
    for number, section in enumerate(report.sections):
        body += _section(section, number, texts)
    body += _costs(report, factors)
    body += _reading(report)
    return document(wording.TITLE, body, charts.STYLE + report_documents.STYLE + report_task.STYLE + _STYLE)


def _tiles(report: Report, factors: Factors) -> Iterator[str]:
    runs = report.runs
    spent = costs(runs, factors)
    place = devices.GRIDS[0].name
    asked = report.grid.num_runs
    yield tiles(
        {
            "Models": str(len({run.model for run in runs})),
            "Tasks": str(len({run.task for run in runs})),
            "Seeds": str(len({run.seed for run in runs})),
            "Runs": str(len(runs)) if len(runs) >= asked else f"{len(runs)} of {asked}",
            "Hours": wording.three_digits(sum(cost.hours for cost in spent)),
            f"CO2e ({place})": _grams(sum(cost.grams[place] for cost in spent)),
        }
    )


def _grams(grams: float) -> str:
    return f"{wording.three_digits(grams / 1000)} kg" if grams >= 1000 else f"{wording.three_digits(grams)} g"


def _navigation(report: Report) -> str:
    links = []
    for number, section in enumerate(report.sections):
        links.append((f"section-{number}", f"Protocol {section.name}"))
        links += [(_anchor(number, place), task.name) for place, task in enumerate(section.tasks)]
    links += [("cost", "Time and energy"), ("reading", "How to read")]
    return "<nav>" + " ".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links) + "</nav>"


def _anchor(section: int, task: int) -> str:
    return f"task-{section}-{task}"


def _section(section: Section, number: int, texts: Texts | None) -> Iterator[str]:
    yield f'<h2 id="section-{number}">Protocol {escape(section.name)}</h2>'
    yield from (f"<p>{escape(sentence)}</p>" for sentence in findings(section))
    yield from (f'<p class="warn">{escape(warning)}</p>' for warning in wording.warnings(section))
    yield f'<div class="paper">{_summary(section)}</div>'
    notes = [wording.marks_explained(section), wording.protocol_line(section)]
    notes += [wording.DECODING] if section.has_entities else []
    yield from (f'<p class="muted">{_code(note)}</p>' for note in notes if note)
    for place, task in enumerate(section.tasks):
        yield f'<h3 id="{_anchor(number, place)}">{escape(task.name)}</h3>'
        yield from report_task.task_part(section, task)
        if texts is not None and task.is_of_entities:
            its_texts = texts.get((task.first.task, task.first.data_sha256))
            yield report_documents.documents(task, its_texts) if its_texts else report_documents.GONE


def _summary(section: Section) -> str:
    (first, *others), rows = report_cells.summary_table(section, lambda task, model: _score(section, task, model))
    head = [
        report_task.title(first),
        *(report_task.title(name) if name == wording.CEILING else name for name in others),
    ]
    return table(report_task.title(wording.table_caption(section)), head, rows)


def _score(section: Section, task: TaskTable, model: str) -> str:
    found = task.score(model)
    assert found is not None
    text = wording.estimate(found, task.measure)
    text = f"<strong>{text}</strong>" if model in wording.best(task) else text
    mark = wording.mark(section, task, model)
    way = {"▲": "up", "▼": "down"}.get(mark, "")
    text += f' <span class="{way}">{mark}</span>' if mark else ""
    return Markup(f"{text}<small>{wording.bounds(found.interval, task.measure)}</small>")


def _costs(report: Report, factors: Factors) -> Iterator[str]:
    found = costs(report.runs, factors)
    yield '<h2 id="cost">Time and energy</h2>'
    head = [report_task.title(name) for name in report_cells.COST_HEAD]
    yield table("Of the runs in this report", head, map(report_cells.cost_cells, found))
    yield f'<p class="muted">{_code(wording.factors_line(factors, [cost.device for cost in found]))}</p>'


def _reading(report: Report) -> Iterator[str]:
    yield '<h2 id="reading">How to read</h2>'
    found = reading(report.sections)
    items = "".join(f"<p><strong>{markup(name)}</strong>: {_code(text)}</p>" for name, text in found.items())
    yield f'<div class="how">{items}</div>'


def _code(text: str) -> str:
    """Escaped; what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
