"""What `camembert-bio inspect` says of the output folder of `finetune`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from camembert_bio.errors import Mistakes, raise_all
from camembert_bio.evaluation.results import Result, figures_of, problem_of, read_output, tables


def describe(output: Path) -> dict[str, Any]:
    """Runs done of those asked, and per table of the report each model's seeds and mean scores, in [0, 1].

    `unverified` lists the runs whose scores their own predictions do not give.
    Raises `UserError` when `output` holds no run, or one that cannot be read.
    """
    broken = Mistakes()
    grid, results = read_output(output, broken)
    raise_all(f"{output} holds runs that cannot be read; run finetune again, or remove their folders:", broken.messages)
    found = [{"task": _task(models), "models": _models(models)} for models in tables(grid, results.values())]
    unverified = [folder for folder, result in results.items() if problem_of(folder, result)]
    return {
        "runs_done": len(results),
        "runs_asked": grid.num_runs,
        "unverified": [folder.relative_to(output).as_posix() for folder in unverified],
        "scores": found,
    }


def _task(models: dict[str, list[Result]]) -> str:
    return next(iter(models.values()))[0].task


def _models(models: dict[str, list[Result]]) -> dict[str, Any]:
    return {
        model: {
            "seeds": [run.seed for run in runs],
            **{name: round(statistics.mean(run.scores[name] for run in runs), 4) for name in figures_of(runs[0].type)},
        }
        for model, runs in models.items()
    }
