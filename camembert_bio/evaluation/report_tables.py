"""The report as LaTeX, for an article, and as CSV, for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import Report, Section, TaskTable
from camembert_bio.evaluation.entries import Entry, Estimate

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "▲": r"$\uparrow$",
    "▼": r"$\downarrow$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex(report: Report) -> str:
    r"""A table for each protocol, to be read with `\input`; the document needs booktabs."""
    tables = ["% Tables of camembert-bio report. In the document: \\usepackage{booktabs}, then \\input{report}."]
    return "\n\n".join([*tables, *(_latex_table(section) for section in report.sections)]) + "\n"


def _latex_table(section: Section) -> str:
    rows = [["", *map(_tex, section.models), wording.CEILING], *(_latex_row(section, task) for task in section.tasks)]
    if means := section.means():
        rows.append(["mean", *(wording.percent(means[m]) if m in means else "--" for m in section.models), ""])
    num_columns = len(section.models) + 1 + section.has_entities
    head, *lines = [f"{' & '.join(row[:num_columns])} \\\\" for row in rows]
    if means:
        lines.insert(-1, "\\midrule")
    caption = f"Protocol {section.name}. {wording.table_caption(section)}. {wording.marks_explained(section)}"
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\begin{{tabular}}{{l{'r' * (num_columns - 1)}}}",
            "\\toprule",
            head,
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            f"\\caption{{{_tex(caption.strip())}}}",
            "\\end{table}",
        ]
    )


def _latex_row(section: Section, task: TaskTable) -> list[str]:
    """Mean and deviation of each model over the interval, in smaller letters."""
    cells = []
    for model in section.models:
        if (found := task.score(model)) is None:
            cells.append("--")
            continue
        score = _tex(wording.estimate(found, task.measure))
        score = f"\\textbf{{{score}}}" if model in wording.best(task) else score
        mark = _tex(wording.mark(section, task, model))
        cells.append(f"{score}{mark} {{\\scriptsize {_tex(wording.bounds(found.interval, task.measure))}}}")
    return [_tex(wording.task_name(section, task)), *cells, _tex(wording.ceilings(task))]


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


_COLUMNS = (
    *("protocol", "task", "data_sha256", "model", "against", "label", "measure", "seeds"),
    *("mean", "std", "low", "high", "p", "p_holm", "p_permutation"),
)


def csv_text(report: Report) -> str:
    """One line a figure, in [0, 1]: scores, those of each label, and differences of two models."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for section in report.sections:
        protocol = wording.plain_protocol(section.protocol)
        for task in section.tasks:
            for row in _csv_rows(section, task):
                writer.writerow({"protocol": protocol, "task": task.name, "data_sha256": task.first.data_sha256, **row})
    return file.getvalue()


def _csv_rows(section: Section, task: TaskTable) -> Iterator[dict[str, object]]:
    for model, entry in task.entries.items():
        for row in _csv_entry(entry):
            yield {"model": model, "seeds": len(entry.runs), **row}
    for (before, after), found in task.comparisons.items():
        interval, gains = found.difference.interval, found.difference.per_seed
        yield {
            "model": after,
            "against": before,
            "measure": task.measure.name,
            "seeds": len(gains),
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "p": found.difference.p,
            "p_holm": found.p_holm,
            "p_permutation": found.difference.p_permutation,
        }


def _csv_entry(entry: Entry) -> Iterable[dict[str, object]]:
    for measure, found in (*entry.measures.items(), *entry.figures.items()):
        yield {"measure": measure, **_csv_estimate(found)}
    if entry.entities:
        yield {"measure": "ceiling", "mean": entry.entities.ceiling}
    for label, (_, found) in entry.labels.items():
        yield {"label": label, "measure": "f1", **_csv_estimate(found)}


def _csv_estimate(found: Estimate) -> dict[str, object]:
    return {"mean": found.mean, "std": found.std, "low": found.interval.low, "high": found.interval.high}
