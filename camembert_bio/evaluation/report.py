"""The report of `finetune`'s output: one comparison, written as a page, Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.cost import DEFAULT_FACTORS, Factors
from camembert_bio.evaluation.recipe import Task

MARKDOWN = "report.md"
PAGE = "report.html"
PAGE_WITH_TEXT = "report_with_text.html"
"""Apart, so that what is confidential is never passed on by mistake for the other."""


def write_report(
    output: Path,
    factors: Factors = DEFAULT_FACTORS,
    with_text: bool = False,
    card_of: str | None = None,
    leave_out_broken: bool = False,
) -> dict[str, Path]:
    """Write the report of the runs below `output` beside them; returns what was written, by its kind.

    `with_text` writes the documents too, into a page of their own; `card_of` a model card of that model;
    `leave_out_broken` is that of `comparison.compare`, and where no run is left nothing is written. Raises what
    `compare` raises, and `UserError` when the documents are not those that were tested, and for a model that
    has no run.
    """
    from camembert_bio.evaluation.comparison import compare
    from camembert_bio.evaluation.model_card import card
    from camembert_bio.evaluation.report_csv import csv_text
    from camembert_bio.evaluation.report_html import page
    from camembert_bio.evaluation.report_latex import latex
    from camembert_bio.evaluation.report_markdown import markdown

    report = compare(output, leave_out_broken)
    if not report.sections:
        return {}
    contents = {
        "report": (MARKDOWN, markdown(report, factors)),
        "page": (PAGE, page(report, factors)),
        "latex": ("report.tex", latex(report)),
        "csv": ("report.csv", csv_text(report, factors)),
    }
    if with_text:
        tested = {(run.task, run.data_sha256) for run in report.runs}
        contents["page_with_text"] = (PAGE_WITH_TEXT, page(report, factors, _texts(report.grid.tasks, tested)))
    if card_of is not None:
        contents["card"] = (f"card-{card_of}/README.md", card(report, card_of))
    for name, content in contents.values():
        files.write_atomic(output / name, content)
    return {kind: output / name for kind, (name, _) in contents.items()}


def _texts(
    tasks: tuple[dict[str, Any], ...], tested: Collection[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, str]]:
    """By task of entities and hash of its data, as they lie now: the texts of the test documents, by id."""
    from camembert_bio.evaluation.tasks import load_task

    found = {}
    for task in (config.build(Task, values) for values in tasks):
        if task.name not in {name for name, _ in tested} or task.type != "ner":
            continue
        data = load_task(task)
        if (task.name, data.sha256) not in tested:
            raise UserError(
                f"task {task.name}: its documents are not those that were tested any more; run finetune again, or "
                "report without --text"
            )
        found[task.name, data.sha256] = {document.id: document.text for document in data.test}
    return found
