"""What `camembert-bio inspect` says of the output folder of `finetune`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.evaluation.predictions import RECIPE, RESULT
from camembert_bio.evaluation.report import tables
from camembert_bio.evaluation.runs import is_finished

_SCORES = ("f1", "precision", "recall", "iob2_f1", "ceiling")


def describe(output: Path) -> dict[str, Any]:
    """Runs done of those asked, and per table of the report each model's seeds and mean scores, in [0, 1].

    `unverified` lists the runs whose scores their own predictions do not give.
    Raises `UserError` when `output` holds no run, or one that cannot be read.
    """
    recipe = config.read_json(output / RECIPE)
    folders = sorted(path.parent for path in output.glob(f"*/*/seed-*/{RESULT}"))
    found = [{"task": _task(models), "models": _models(models)} for models in tables(output)]
    return {
        "runs_done": len(folders),
        "runs_asked": len(recipe["tasks"]) * len(recipe["models"]) * len(recipe["seeds"]),
        "unverified": [folder.relative_to(output).as_posix() for folder in folders if not _is_verified(folder)],
        "scores": found,
    }


def _task(models: dict[str, list[dict[str, Any]]]) -> str:
    name: str = next(iter(models.values()))[0]["task"]
    return name


def _models(models: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        model: {
            "seeds": [run["seed"] for run in runs],
            **{name: round(statistics.mean(run["scores"][name] for run in runs), 4) for name in _SCORES},
        }
        for model, runs in models.items()
    }


def _is_verified(folder: Path) -> bool:
    return is_finished(folder, config.read_json(folder / RESULT).get("id", ""))
