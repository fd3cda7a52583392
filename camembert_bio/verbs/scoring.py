"""Verbs that count annotated corpora, fine-tune, score and report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.recipe import Format
from camembert_bio.verbs.command import SECTIONS, answer, declare, declare_recipe, load, positive, pue, within


def add(verbs: Any) -> None:
    """Declare them."""
    corpora = declare(verbs, "corpora", _corpora, "count what annotated corpora hold, and what stands in two parts")
    corpora.add_argument("corpus", metavar="RECIPE|CORPUS", help="recipe with a section finetune; or a folder or file")
    corpora.add_argument("--format", choices=get_args(Format), help="of the corpus (default: as its files tell)")
    corpora.add_argument("--split", metavar="NAME", help="manifest, or name of a split, that divides the corpus")
    corpora.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="count sub-words; ceilings at length 512")
    text = "fine-tune and score model folders over seeds; skips finished runs"
    tune = declare_recipe(verbs, "finetune", "finetune", _finetune, text)
    text = "runs side by side, each with one of the visible GPUs or a share of the cores (default 1)"
    tune.add_argument("--workers", type=positive, default=1, metavar="N", help=text)
    text = "find values of the section finetune by their score on validation; goes on where it ended"
    declare_recipe(verbs, "search", "search", _search, text)
    score = declare(verbs, "score", _score, "recompute every score from saved predictions")
    score.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune, or one run in it")
    report = declare(verbs, "report", _report, "compare the models of a finetune output folder: page, tables, tests")
    report.add_argument("path", type=Path, metavar="RESULTS", help="output folder of finetune")
    report.add_argument("--text", action="store_true", help="a second page, with the texts of the test documents")
    report.add_argument("--card", metavar="MODEL", help="a model card for the hub too, of this model of the results")
    report.add_argument("--watts", type=_watts, help="power of a run's device (default: by its name; 65 for a CPU)")
    report.add_argument("--pue", type=pue, help="power of the site over that of its machines (default 1.58)")


def _corpora(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.census import census, corpus_parts, recipe_parts, table

    path, tokenizer = Path(options.corpus), None
    if path.is_dir() or (path.is_file() and path.suffix not in (".yaml", ".yml")):
        task_type, parts = corpus_parts(path, options.format, options.split)
        types, found = {path.name: task_type}, {path.name: parts}
    elif options.format or options.split:
        raise UserError(f"--format and --split are of a corpus, and {path} is no folder of one; check the path")
    else:
        recipe = config.load_recipe(options.corpus, "finetune", SECTIONS)
        types = {task.name: task.type for task in recipe.tasks}
        found = recipe_parts(recipe)
    if options.tokenizer:
        from camembert_bio.evaluation.models import load_tokenizer

        tokenizer = load_tokenizer(options.tokenizer.name, options.tokenizer)
    counted = {name: census(parts, tokenizer, types[name]) for name, parts in found.items()}
    return answer(options, counted, "\n\n".join(table(name, value) for name, value in counted.items()))


def _finetune(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.workers import end_with_parent, run_workers

    end_with_parent()
    recipe = load(options)
    from camembert_bio.evaluation.runs import check_finetune, run_finetune

    if options.workers > 1:
        check_finetune(recipe)
        run_workers(["finetune", options.recipe, *options.overrides], options.workers)
    report = run_finetune(recipe)  # what workers have done is skipped, and reported
    if report is None:
        return answer(
            options, {"report": None}, "other processes do the runs that are left; they will write the report"
        )
    from camembert_bio.evaluation.report import PAGE

    return _answer_report(options, {"report": report, "page": report.with_name(PAGE)})


def _search(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.search import RECIPE, run_search

    search = load(options)
    found = run_search(search, config.load_recipe(options.recipe, "finetune", SECTIONS))
    best = found["best"]
    lines = [f"best of {found['trials']} trials ({found['diverged']} diverged): {best['validation']:.4f} on validation"]
    lines += [f"  {name}: {value}" for name, value in best["values"].items()]
    return answer(options, found, "\n".join([*lines, f"recipe: {search.output / RECIPE}"]))


def _score(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.predictions import score

    return answer(options, score(options.path))


def _report(options: argparse.Namespace) -> int:
    from camembert_bio.evaluation.cost import Factors
    from camembert_bio.evaluation.report import write_report

    factors = Factors(options.watts) if options.pue is None else Factors(options.watts, options.pue)
    return _answer_report(options, write_report(options.path, factors, options.text, options.card))


def _answer_report(options: argparse.Namespace, written: dict[str, Path]) -> int:
    """Print what the comparison comes to, and where the files lie."""
    from camembert_bio.evaluation.report_markdown import short

    paths = {kind: str(path) for kind, path in written.items()}
    lines = [short(written["report"].read_text(encoding="utf-8")), *(f"{kind}: {path}" for kind, path in paths.items())]
    return answer(options, paths, "\n".join([lines[0], "", *lines[1:]]))


def _watts(text: str) -> float:
    return within(text, lambda value: 0 < value < float("inf"), "a number above 0")
