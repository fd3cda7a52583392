"""Verbs that check, train and export a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from camembert_bio import ranks
from camembert_bio.verbs.command import answer, declare, declare_recipe, load, positive


def add(verbs: Any) -> None:
    """Declare them."""
    check = declare_recipe(verbs, "check", "pretrain", _check, "refuse what can be refused before a GPU is touched")
    check.add_argument("--world-size", type=positive, default=1, help="ranks that will train (default 1)")
    text = "train, or resume; started on each rank by deepspeed, torchrun or srun"
    declare_recipe(verbs, "pretrain", "pretrain", _pretrain, text)
    export = declare(verbs, "export", _export, "write a transformers folder from a run")
    export.add_argument("path", type=Path, metavar="RUN", help="run folder")
    export.add_argument("output", type=Path, metavar="OUT", help="model folder to make; must not exist")
    export.add_argument("--step", type=int, help="checkpoint to export (default: the newest that verifies)")
    export.add_argument(
        "--average", type=positive, default=1, metavar="N", help="export the mean of N checkpoints, that one the last"
    )


def _check(options: argparse.Namespace) -> int:
    from camembert_bio.pretrain.preflight import check

    recipe = load(options)
    value = check(recipe, options.world_size)
    return answer(options, value, "\n".join(f"{key}: {number}" for key, number in value.items()))


def _pretrain(options: argparse.Namespace) -> int:
    recipe = load(options)
    from camembert_bio.pretrain.engine import leave_distributed
    from camembert_bio.pretrain.loop import pretrain

    try:
        code = pretrain(recipe)
    finally:
        leave_distributed()
    if options.json and ranks.is_main():
        print(json.dumps({"run": str(recipe.output), "exit_code": code}))
    return code


def _export(options: argparse.Namespace) -> int:
    from camembert_bio.pretrain.export import export

    folder = export(options.path, options.output, options.step, options.average)
    return answer(options, {"model": str(folder)}, f"model folder: {folder}")
