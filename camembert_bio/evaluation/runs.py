"""Runs of a grid: one a (task, model, seed), known by a hash of all that decides it, kept on disk.

OUTPUT/finetune.json                        the resolved recipe
OUTPUT/report.html, .md, ...
OUTPUT/TASK/MODEL/seed-N/result.json        scores, ledger, and what the run was made of
                         predictions.jsonl  what every score is recomputed from
                  .lock-seed-N              while a process does that run

Any number of processes may work on one output: each does the runs that are neither done nor claimed.
"""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camembert_bio import __version__, config, files
from camembert_bio.errors import Mistakes, UserError
from camembert_bio.evaluation.claims import alone, claim
from camembert_bio.evaluation.predictions import PREDICTIONS, RECIPE, RESULT
from camembert_bio.evaluation.recipe import UNTRAINED, Finetune, Task, protocol
from camembert_bio.evaluation.report import write_report
from camembert_bio.evaluation.results import id_of, problem_of, read_result, seeds_of
from camembert_bio.evaluation.splits import find_split
from camembert_bio.evaluation.tasks import TaskData, load_task

if TYPE_CHECKING:
    from camembert_bio.evaluation.models import ModelFolder
    from camembert_bio.evaluation.task_types import Finished, TaskRuns

logger = logging.getLogger(__name__)


def run_finetune(recipe: Finetune) -> Path | None:
    """Do every run of the recipe that is not done yet, and write the report; returns the report's path.

    Runs that other processes do meanwhile are left to them, and taken over if they die before this one is through. Then
    the report is theirs too, and None is returned: what stands in the place of their runs need not be whole. Broken
    runs that the recipe does not ask for are left out of the report with a warning. Every task and model folder is
    read before the first run. Raises `UserError` with all that is wrong with them and with the output.
    """
    tasks, models = check_finetune(recipe)
    # Not write_json, which sorts keys: the report keeps the order of the models.
    files.write_atomic(recipe.output / RECIPE, json.dumps(config.to_dict(recipe), indent=2) + "\n")
    num_left, num_done = 1, 1
    while num_left and num_done:  # no waiting: as long as there is something to do here, others may have died
        counts = [_run_seeds(recipe, data, model) for data, model in itertools.product(tasks, models)]
        num_done, num_left = (sum(column) for column in zip(*counts, strict=True))
    if num_left:
        logger.info("%d runs are being done by other processes, which will report them", num_left)
        return None
    with alone(recipe.output):
        return write_report(recipe.output, leave_out_broken=True)["report"]


def check_finetune(recipe: Finetune) -> tuple[list[TaskData], list[ModelFolder]]:
    """Every task and model, read. Raises `UserError` with all that is wrong with them and with the output."""
    mistakes = Mistakes()
    with mistakes.noted():
        _check_output(recipe.output)
    tasks, models = open_grid(recipe, mistakes)
    for task, model in itertools.product(tasks, models):
        for seed in seeds_of(task.task.type, recipe.seeds):
            with mistakes.noted():
                _check_replaceable(recipe, task, model, seed)
    mistakes.raise_any("finetune cannot start:")
    return tasks, models


def open_grid(recipe: Finetune, mistakes: Mistakes) -> tuple[list[TaskData], list[ModelFolder]]:
    """Every task and model of a recipe, read and checked; what is wrong with them is noted."""
    from camembert_bio.evaluation.models import check_tokenizer, open_model
    from camembert_bio.evaluation.perplexity import check_head, check_scored
    from camembert_bio.evaluation.weights import check_finite

    tasks: list[TaskData] = []
    models: list[ModelFolder] = []
    for task in recipe.tasks:
        with mistakes.noted():
            if recipe.protocol == "audited":
                _check_split(task)
            tasks.append(load_task(task))
    for name, folder in recipe.models.items():
        with mistakes.noted():
            model = open_model(name, folder, recipe.seq_length)
            check_finite(model)
            models.append(model)
    untrained = [data for data in tasks if data.task.type in UNTRAINED]
    for model in models if untrained else ():
        with mistakes.noted():
            check_head(model)
            for data in untrained:
                with mistakes.noted():
                    check_scored(model, data, recipe)
    for model, data in itertools.product(models, tasks):
        with mistakes.noted():
            check_tokenizer(model, data.name, [*data.train, *data.validation, *data.test])
    return tasks, models


def run_id(recipe: Finetune, task: TaskData, model: ModelFolder, seed: int) -> str:
    """The sha256 of all that decides a run's predictions (`results.id_of`)."""
    return id_of(_result(recipe, task, model, seed), task.task.scale)


def is_finished(folder: Path, identity: str) -> bool:
    """Whether a run's folder is whole and is that of the run `identity`: its scores can be recomputed."""
    try:
        result = read_result(folder)
    except UserError:
        return False
    return result.id == identity and problem_of(folder, result) is None


def _check_output(output: Path) -> None:
    """Raise `UserError` for a folder in which something else than results of finetune stands."""
    if output.exists() and not output.is_dir():
        raise UserError(f"output {output} is a file; give a folder")
    if not output.exists() or (output / RECIPE).is_file():
        return
    if any(not path.name.startswith(".tmp-") for path in output.iterdir()):  # files.write_atomic, killed
        raise UserError(f"output {output} holds other files and no {RECIPE}; give a new or empty folder")


def _check_replaceable(recipe: Finetune, task: TaskData, model: ModelFolder, seed: int) -> None:
    """Raise `UserError` where a run that is to be done would take away more than another run."""
    folder = _folder(recipe, task, model, seed)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, in the place of a run's folder; move it away")
    foreign = {path.name for path in folder.glob("*")} - {RESULT, PREDICTIONS}
    if foreign and not is_finished(folder, run_id(recipe, task, model, seed)):
        shown = ", ".join(sorted(foreign)[:3])
        raise UserError(f"{folder} is to be replaced by a run and holds other files ({shown}); move them away")


def _check_split(task: Task) -> None:
    """Raise `UserError` for a split that says itself that it leaks."""
    if task.split is not None and task.path is not None and find_split(task.split, task.format, task.path).leaks:
        raise UserError(f"task {task.name}: split {task.split} leaks, and protocol audited allows none; take another")


def _run_seeds(recipe: Finetune, task: TaskData, model: ModelFolder) -> tuple[int, int]:
    """Do the runs of one model on one task; returns how many were done here, and how many others are doing.

    The documents are tokenised once for all of them.
    """
    from camembert_bio.evaluation.task_types import TaskRuns

    seeds = seeds_of(task.task.type, recipe.seeds)
    folders = {seed: _folder(recipe, task, model, seed) for seed in seeds}
    ids = {seed: run_id(recipe, task, model, seed) for seed in seeds}
    due = [seed for seed in seeds if not is_finished(folders[seed], ids[seed])]
    if len(due) < len(seeds):
        logger.info("%s, %s: %d of %d runs are done", task.name, model.name, len(ids) - len(due), len(ids))
    runs = None
    num_done = num_left = 0
    for seed in due:
        with claim(folders[seed]) as is_ours:
            if not is_ours:
                num_left += 1
            elif not is_finished(folders[seed], ids[seed]):  # another process may have done it just now
                runs = runs or TaskRuns(recipe, task, model)
                _run(recipe, task, model, runs, seed)
                num_done += 1
    return num_done, num_left


def _run(recipe: Finetune, task: TaskData, model: ModelFolder, runs: TaskRuns, seed: int) -> None:
    """One run, to its folder."""
    from camembert_bio.evaluation.task_types import summary

    folder = _folder(recipe, task, model, seed)
    done = runs.run(seed, f"{task.name} {model.name} seed {seed}")
    _save(folder, _result(recipe, task, model, seed), run_id(recipe, task, model, seed), done)
    steps = f", best at step {done.outcome.best_step} of {recipe.max_steps}" if done.outcome.best_step else ""
    found, train_s = summary(task, done.found), done.outcome.train_s
    logger.info("%s, %s, seed %d: %s%s, %.0f s", task.name, model.name, seed, found, steps, train_s)


def _folder(recipe: Finetune, task: TaskData, model: ModelFolder, seed: int) -> Path:
    return recipe.output / task.name / model.name / f"seed-{seed}"


def _result(recipe: Finetune, task: TaskData, model: ModelFolder, seed: int) -> dict[str, Any]:
    """What a run is made of: the part of `result.json` that is known before it."""
    return {
        "task": task.name,
        "type": task.task.type,
        "model": model.name,
        "seed": seed,
        "protocol": protocol(recipe),
        "weights_sha256": model.weights_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "data_sha256": task.sha256,
        "version": __version__,
        "search_trials": recipe.search_trials,
        "num_documents": {
            "train": len(task.train),
            "validation": len(task.validation),
            "test": len(task.test),
        },
    }


def _save(folder: Path, result: dict[str, Any], identity: str, done: Finished) -> None:
    """Write a run's folder, whole, in the place of any that stood there."""
    outcome = done.outcome
    result = {
        **result,
        **done.found,
        "id": identity,
        "best_step": outcome.best_step,
        "history": outcome.history,
        "train_s": outcome.train_s,
        "device": outcome.device,
    }
    with files.atomic_folder(folder) as aside:
        done.save(aside, identity)
        files.write_json(aside / RESULT, result)
        if folder.exists():
            with alone(folder.parents[2]):  # nobody reads it for a report just now
                shutil.rmtree(folder)
