"""The report as Markdown: what a terminal, an issue or a README shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from camembert_bio.evaluation import report_cells, wording
from camembert_bio.evaluation.comparison import Report, Section, TaskTable
from camembert_bio.evaluation.cost import Factors, costs
from camembert_bio.evaluation.matching import ERRORS
from camembert_bio.evaluation.report_findings import findings
from camembert_bio.evaluation.report_reading import reading
from camembert_bio.page import visible

_DETAILS = "## Tasks"


def markdown(report: Report, factors: Factors) -> str:
    """The whole report's text: what it comes to, each task, then what the columns mean."""
    blocks = [f"# {wording.TITLE}"]
    for section in report.sections:
        blocks += _section(section)
    blocks.append(_DETAILS)
    for section in report.sections:
        for task in section.tasks:
            blocks.append(f"### {escape(task.name)}, protocol {escape(section.name)}")
            blocks += _task(task)
    found = costs(report.runs, factors)
    blocks += ["## Time and energy", table(report_cells.COST_HEAD, map(report_cells.cost_cells, found))]
    blocks.append(wording.factors_line(factors, [cost.device for cost in found]))
    words = "\n".join(f"- **{name}**: {text}" for name, text in reading(report.sections).items())
    blocks += ["## How to read", words]
    return "\n\n".join(filter(None, blocks)) + "\n"


def short(text: str) -> str:
    """The part of a report that says what it comes to."""
    return text.partition(f"\n{_DETAILS}\n")[0].rstrip()


def summary(section: Section) -> str:
    """The section's table in the paper's form: a row a task, a column a model, and their means."""
    return table(*report_cells.summary_table(section, lambda task, model: _cell(section, task, model)))


def _cell(section: Section, task: TaskTable, model: str) -> str:
    found = task.score(model)
    assert found is not None
    text = wording.estimate(found, task.measure)
    text = f"**{text}**" if model in wording.best(task) else text
    bounds = wording.bounds(found.interval, task.measure)
    return " ".join(filter(None, [text, bounds, wording.mark(section, task, model)]))


def _section(section: Section) -> Iterator[str]:
    yield f"## Protocol {escape(section.name)}"
    yield "\n".join(f"- {escape(sentence)}" for sentence in findings(section))
    yield from wording.warnings(section)
    yield f"{wording.table_caption(section)}:"
    yield summary(section)
    yield wording.marks_explained(section)
    yield wording.protocol_line(section)
    yield wording.DECODING if section.has_entities else ""


def _task(task: TaskTable) -> Iterator[str]:
    yield wording.sizes(task)
    yield from _scores(task)
    if task.comparisons:
        yield f"Differences of {task.measure.title}, paired by document and seed:"
        yield table(*report_cells.comparison_table(task))
    head, rows = report_cells.label_table(task)
    if rows:
        yield "Figures of each label:"
        yield table(head, [[literal(label), *cells] for label, *cells in rows])
    yield from _confusions(task)
    if task.is_of_entities:
        yield from _errors(task)


def _scores(task: TaskTable) -> Iterator[str]:
    yield table(*report_cells.score_table(task))
    head, rows = report_cells.figure_table(task)
    if rows:
        yield table(head, rows)


def _confusions(task: TaskTable) -> Iterator[str]:
    for model, entry in task.entries.items():
        if entry.confusion:
            head, rows = report_cells.confusion_table(entry)
            yield f"Gold labels of {escape(model)} in rows, predicted ones in columns (means over seeds):"
            cells = [[literal(name), *(f"{count:.1f}" if count else "" for count in counts)] for name, counts in rows]
            yield table([*map(literal, head)], cells)


def _errors(task: TaskTable) -> Iterator[str]:
    yield "What went wrong, in entities (means over seeds):"
    kinds = ("correct", *ERRORS)
    found = {model: entry.entities.errors for model, entry in task.entries.items() if entry.entities}
    yield table(
        ("model", *kinds), [[model, *(f"{errors[kind]:.1f}" for kind in kinds)] for model, errors in found.items()]
    )
    yield "What a perfect tagger loses, in entities:"
    yield table(
        ("model", "gold", "kept", *(name.replace("_", " ") for name in wording.LOSSES)),
        [[model, *report_cells.ledger_cells(entry.runs[0].ledger)] for model, entry in task.entries.items()],
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; the first column to the left, the others to the right. Cells may hold Markdown."""
    aligns = ["---", *["---:"] * (len(head) - 1)]
    lines = [[cell if isinstance(cell, Literal) else escape(cell) for cell in cells] for cells in (head, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], aligns, *lines[1:]))


def escape(text: str) -> str:
    """Names as they are: nothing ends a cell or a line, nothing is HTML."""
    one_line = visible(text).replace("\\", "\\\\").replace("|", "\\|")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", one_line)


class Literal(str):
    """A cell that is Markdown and needs no escaping any more."""

    __slots__ = ()


def literal(text: str) -> Literal:
    """A corpus's name as it is: no link, image, code, formula, emphasis or entity."""
    named = escape(re.sub(r"&(?=#?\w+;)", "&amp;", text))
    return Literal(re.sub(r"[][*`!~$]|(?<![^\W_])_|_(?![^\W_])", lambda found: rf"\{found[0]}", named))
