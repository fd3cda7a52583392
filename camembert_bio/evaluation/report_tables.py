"""The report as LaTeX, for an article, and as CSV, for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import FORGIVING, Entry, Report, Section, TaskTable

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
    columns = "l" + "r" * (len(section.models) + 1)
    head = " & ".join(["", *map(_tex, section.models), wording.CEILING])
    rows = [_latex_row(section, task) for task in section.tasks]
    means = section.means()
    if len(section.tasks) > 1:
        cells = [wording.percent(means[model]) if model in means else "--" for model in section.models]
        rows += ["\\midrule", " & ".join(["mean", *cells, ""]) + r" \\"]
    caption = f"Protocol {section.name}. {wording.table_caption(section)}. {wording.marks_explained(section)}"
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            f"{head} \\\\",
            "\\midrule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            f"\\caption{{{_tex(caption.strip())}}}",
            "\\end{table}",
        ]
    )


def _latex_row(section: Section, task: TaskTable) -> str:
    """Mean and deviation of each model over the interval, in smaller letters."""
    best = wording.best(section, {m: entry.measures[section.measure].mean for m, entry in task.entries.items()})
    cells = []
    for model in section.models:
        if model not in task.entries:
            cells.append("--")
            continue
        found = task.entries[model].measures[section.measure]
        score = _tex(wording.estimate(found))
        score = f"\\textbf{{{score}}}" if model in best else score
        mark = _tex(wording.mark(section, task, model))
        cells.append(f"{score}{mark} {{\\scriptsize {_tex(wording.bounds(found.interval))}}}")
    return " & ".join([_tex(task.name), *cells, _tex(wording.ceilings(task))]) + r" \\"


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
            "measure": section.measure,
            "seeds": len(gains),
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "p": found.difference.p,
            "p_holm": found.p_holm,
            "p_permutation": found.difference.p_permutation,
        }


def _csv_entry(entry: Entry) -> Iterable[dict[str, object]]:
    for measure, found in entry.measures.items():
        low, high = found.interval.low, found.interval.high
        yield {"measure": measure, "mean": found.mean, "std": found.std, "low": low, "high": high}
    for name in FORGIVING:
        mean, std = entry.forgiving[name]
        yield {"measure": f"{name}_f1", "mean": mean, "std": std}
    yield {"measure": "ceiling", "mean": entry.ceiling}
    for label, (_, found) in entry.labels.items():
        low, high = found.interval.low, found.interval.high
        yield {"label": label, "measure": "f1", "mean": found.mean, "std": found.std, "low": low, "high": high}
