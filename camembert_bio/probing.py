"""Scores of a run's checkpoints on annotated tasks, in the run's TensorBoard beside its loss.

RUN/probe/step-N/              an output folder of finetune for each checkpoint, its report among it
RUN/tensorboard/probe/         the scores by step

A process of its own, during the run or after it: training waits for nothing, and its files are only read. Each
checkpoint is scored once, whoever asks and however often.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.predictions import RECIPE, RESULT
from camembert_bio.evaluation.probe_recipe import Probe
from camembert_bio.evaluation.recipe import Finetune, protocol
from camembert_bio.pretrain import checkpoint, metrics, run_folder
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import num_steps

if TYPE_CHECKING:
    from camembert_bio.evaluation.results import Result

logger = logging.getLogger(__name__)

PROBE = "probe"
"""Name of the folder in the run's and in its TensorBoard's, and of the curves."""
_POLL_S = 10.0


def probe(run: Pretrain, wanted: Probe, follow: bool = False) -> dict[int, dict[str, float]]:
    """Score the checkpoints that are there and not scored yet, and write the curves; the scores of each step.

    With `follow`, goes on with those that come, until the last of the run is scored. A checkpoint that the run prunes
    first is passed over. Raises `UserError` when the run has not begun, and what `finetune` raises.
    """
    run_folder.check_begun(run.output)
    last = num_steps(run)
    while True:
        for step in _steps(run.output, wanted, last):
            _score(run.output, wanted, step)
        scores = read(run.output, wanted)
        _show(run.output, scores)
        if not follow or last in scores:
            return scores
        time.sleep(_POLL_S)


def read(run: Path, wanted: Probe) -> dict[int, dict[str, float]]:
    """By step, the mean over seeds of each task's score, of the checkpoints that are scored whole."""
    from camembert_bio.evaluation.entries import measure_of

    found = {}
    for folder in sorted((run / PROBE).glob("step-*")):
        recipe = wanted.of(folder, {folder.name: ""})
        if results := _results(folder, recipe):
            found[int(folder.name.removeprefix("step-"))] = {
                task.name: fmean(
                    one.scores[measure_of(one.type, recipe.protocol == "paper").name] for one in results[task.name]
                )
                for task in recipe.tasks
            }
    return found


def _steps(run: Path, wanted: Probe, last: int) -> list[int]:
    """The steps whose checkpoints are there and to be scored."""
    there = [int(path.name.removeprefix("step-")) for path in checkpoint.complete(run)]
    return [step for step in there if step == last or step % (wanted.every_steps or 1) == 0]


def _score(run: Path, wanted: Probe, step: int) -> None:
    """Fine-tune and score one checkpoint, unless that is done."""
    from camembert_bio.evaluation.runs import run_finetune
    from camembert_bio.pretrain.export import export

    name = f"step-{step:08d}"
    folder = run / PROBE / name
    if _results(folder, wanted.of(folder, {name: ""})):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=run / PROBE) as aside:
        try:
            model = export(run, Path(aside) / "model", step)
        except UserError:
            if checkpoint.path_of(run, step).is_dir():
                raise
            logger.warning(
                "the run removed the checkpoint of step %d before it was scored; raise checkpoint.keep", step
            )
            return
        run_finetune(wanted.of(folder, {name: str(model)}))


def _results(folder: Path, recipe: Finetune) -> dict[str, list[Result]]:
    """Of each task the runs that a recipe asks for; nothing unless all are there, by this recipe.

    Runs of another recipe may stand beside them, which was changed or broken off.
    """
    from camembert_bio.evaluation.results import read_result, seeds_of

    if not (folder / RECIPE).is_file():
        return {}
    asked = json.loads(json.dumps({"tasks": config.to_dict(recipe)["tasks"], "protocol": protocol(recipe)}))
    if config.read_json(folder / RECIPE).get("tasks") != asked["tasks"]:
        return {}
    found: dict[str, list[Result]] = {}
    for task in recipe.tasks:
        runs = [folder / task.name / folder.name / f"seed-{seed}" for seed in seeds_of(task.type, recipe.seeds)]
        if not all((run / RESULT).is_file() for run in runs):
            return {}
        found[task.name] = [read_result(run) for run in runs]
        if any(one.protocol != asked["protocol"] for one in found[task.name]):
            return {}
    return found


def _show(run: Path, scores: dict[int, dict[str, float]]) -> None:
    """Write the curves anew: one line, however often and by however many processes they were asked for."""
    from torch.utils.tensorboard import SummaryWriter

    folder = run / metrics.TENSORBOARD / PROBE
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as board:
        for step, by_task in sorted(scores.items()):
            for task, score in by_task.items():
                board.add_scalar(f"{PROBE}/{task}", score, step)


def table(scores: dict[int, dict[str, float]]) -> str:
    """The scores as lines: a step, and each task's."""
    lines = [
        f"step {step}: " + ", ".join(f"{task} {score:.4f}" for task, score in by_task.items())
        for step, by_task in sorted(scores.items())
    ]
    return "\n".join(lines) or "no checkpoint to score yet"


def as_json(scores: dict[int, dict[str, float]]) -> dict[str, Any]:
    """The scores by the step as text."""
    return {str(step): by_task for step, by_task in sorted(scores.items())}
