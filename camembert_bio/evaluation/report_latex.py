"""The report as LaTeX, for an article: of each protocol the scores, the differences and the labels of each task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from camembert_bio.evaluation import report_cells, wording
from camembert_bio.evaluation.comparison import Report, Section, TaskTable
from camembert_bio.page import visible

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "▲": r"$\uparrow$",
    "▼": r"$\downarrow$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}

_CEILING = r"\shortstack[r]{ceiling of F1\\on all gold}"
"""In two lines: the column is as wide as its name."""


def latex(report: Report) -> str:
    r"""Tables to be read with `\input`; the document needs booktabs."""
    tables = ["% Tables of camembert-bio report. In the document: \\usepackage{booktabs}, then \\input{report}."]
    for section in report.sections:
        tables += _section(section)
    return "\n\n".join(tables) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield _summary(section)
    if any(task.comparisons for task in section.tasks):
        yield _differences(section)
    for task in section.tasks:
        head, rows = report_cells.label_table(task)
        if rows:
            caption = f"{task.name}, protocol {section.name}: precision, recall and F1 of each label"
            lines = [[*map(_tex, row[:3]), *map(_with_small_bounds, row[3:])] for row in rows]
            yield _table("lrlrrr", map(_tex, head), lines, caption, size="\\scriptsize\\setlength{\\tabcolsep}{3pt}")


def _summary(section: Section) -> str:
    """The paper's form; its caption says all that is to be known of the protocol."""
    head, rows = report_cells.summary_table(section, lambda task, model: _score(section, task, model))
    lines = [[_tex(first), *others] for first, *others in rows]
    caption = " ".join(
        [
            f"Protocol {section.name}. {wording.table_caption(section)}.",
            wording.marks_explained(section),
            *wording.warnings(section),
            wording.protocol_line(section),
        ]
    )
    names = [_CEILING if name == wording.CEILING else _tex(name) for name in head]
    return _table(f"l{'r' * (len(head) - 1)}", names, lines, caption, is_last_apart=bool(section.means()))


def _score(section: Section, task: TaskTable, model: str) -> str:
    """Mean and deviation beside the interval, in smaller letters."""
    found = task.score(model)
    assert found is not None
    score = _tex(wording.estimate(found, task.measure))
    score = f"\\textbf{{{score}}}" if model in wording.best(task) else score
    mark = _tex(wording.mark(section, task, model))
    return f"{score}{mark} {{\\scriptsize {_tex(wording.bounds(found.interval, task.measure))}}}"


def _differences(section: Section) -> str:
    rows = [
        [
            wording.task_name(section, task),
            f"{after} − {before}",
            wording.figure(found.difference.interval.mean, task.measure, "+"),
            wording.bounds(found.difference.interval, task.measure, "+"),
            wording.p_value(found.p_holm),
        ]
        for task in section.tasks
        for (before, after), found in task.comparisons.items()
    ]
    title = section.measure.title if section.measure else "the measure of each task"
    caption = f"Protocol {section.name}: differences of {title}, paired by document and seed; p adjusted over the tasks"
    head = ("task", "models", "difference", "95 % interval", "p (Holm)")
    return _table("llrrr", map(_tex, head), [[*map(_tex, row)] for row in rows], caption)


def _with_small_bounds(cell: str) -> str:
    score, bracket, bounds = cell.partition("[")
    return _tex(score) + (f" {{\\tiny [{_tex(bounds)}}}" if bracket else "")


def _table(
    columns: str,
    head: Iterable[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    size: str = "\\small",
    is_last_apart: bool = False,
) -> str:
    """A floating table; the cells are LaTeX, the caption is not."""
    # Braces first, since what begins with a bracket or a star after a line's end is an option of that end.
    first, *lines = [f"{{}}{' & '.join(row)} \\\\" for row in ([*head], *rows)]
    if is_last_apart:
        lines.insert(-1, "\\midrule")
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            size,
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            first,
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            f"\\caption{{{_with_code(_tex(' '.join(caption.split())).rstrip('.'))}.}}",
            "\\end{table}",
        ]
    )


def _with_code(text: str) -> str:
    """What stands between backticks in the letters of code."""
    return re.sub("`([^`]*)`", r"\\texttt{\1}", text)


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in visible(text))
