"""Verbs that check, train and export a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from camembert_bio import config, ranks
from camembert_bio.verbs.command import SECTIONS, answer, declare, declare_recipe, load, positive, pue, within


def add(verbs: Any) -> None:
    """Declare them."""
    text = "refuse what can be refused before a GPU is touched, then tell the plan: memory, hours, energy"
    check = declare_recipe(verbs, "check", "pretrain", _check, text)
    check.add_argument("--world-size", type=positive, default=1, help="ranks that will train (default 1)")
    check.add_argument("--device", metavar="NAME", help="plan for this device, cpu among them (default: all known)")
    check.add_argument("--mfu", type=_share, help="share of the peak that training reaches (default 0.4)")
    check.add_argument("--pue", type=pue, help="power of the site over that of its machines (default 1.58)")
    text = "train, or resume; started on each rank by deepspeed, torchrun or srun"
    declare_recipe(verbs, "pretrain", "pretrain", _pretrain, text)
    text = "score a run's checkpoints on annotated tasks, into its TensorBoard; during the run or after it"
    probe = declare_recipe(verbs, "probe", "probe", _probe, text)
    probe.add_argument("--follow", action="store_true", help="go on with checkpoints to come, until the run's last")
    export = declare(verbs, "export", _export, "write a transformers folder from a run")
    export.add_argument("path", type=Path, metavar="RUN", help="run folder")
    export.add_argument("output", type=Path, metavar="OUT", help="model folder to make; must not exist")
    export.add_argument("--step", type=int, help="checkpoint to export (default: the newest that verifies)")
    export.add_argument(
        "--average", type=positive, default=1, metavar="N", help="export the mean of N checkpoints, that one the last"
    )


def _check(options: argparse.Namespace) -> int:
    recipe = load(options)
    from camembert_bio.pretrain import plan, plan_table, preflight

    given = {name: value for name in ("mfu", "pue", "device") if (value := getattr(options, name)) is not None}
    assumed = plan.Assumptions(options.world_size, **given)
    value = plan.plan(recipe, preflight.check(recipe, options.world_size), assumed)
    return answer(options, value, plan_table.text(value))


def _share(text: str) -> float:
    """A share above 0, for argparse."""
    return within(text, lambda value: 0 < value <= 1, "a number above 0, up to 1")


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


def _probe(options: argparse.Namespace) -> int:
    wanted, run = load(options), config.load_recipe(options.recipe, "pretrain", SECTIONS)
    from camembert_bio import probing

    scores = probing.probe(run, wanted, options.follow)
    return answer(options, probing.as_json(scores), probing.table(scores))


def _export(options: argparse.Namespace) -> int:
    from camembert_bio.pretrain.export import export

    folder = export(options.path, options.output, options.step, options.average)
    return answer(options, {"model": str(folder)}, f"model folder: {folder}")
