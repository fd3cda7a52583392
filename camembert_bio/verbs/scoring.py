"""Verbs that fine-tune, score and report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from camembert_bio.verbs.command import answer, declare, declare_recipe, load


def add(verbs: Any) -> None:
    """Declare them."""
    text = "fine-tune and score model folders over seeds; skips finished runs"
    declare_recipe(verbs, "finetune", "finetune", _finetune, text)
    score = declare(verbs, "score", _score, "recompute every score from saved predictions")
    score.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune, or one run in it")
    report = declare(verbs, "report", _report, "write the table of a finetune output folder")
    report.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune")


def _finetune(options: argparse.Namespace) -> int:
    recipe = load(options)
    from camembert_bio.evaluation.runs import run_finetune

    report = run_finetune(recipe)
    if report is None:
        return answer(options, {"report": None}, "other processes do every run; they will write the report")
    return _answer_report(options, report)


def _score(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.predictions import score

    return answer(options, score(options.path))


def _report(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.report import write_report

    return _answer_report(options, write_report(options.path))


def _answer_report(options: argparse.Namespace, report: Path) -> int:
    return answer(options, {"report": str(report)}, f"{report.read_text(encoding='utf-8')}\nreport: {report}")
