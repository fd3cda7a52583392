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

from camembert_bio import __version__
from camembert_bio.errors import UserError
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

Scores = dict[int, dict[str, float]]
"""By step, the mean over seeds of each task's measure."""


def probe(run: Pretrain, wanted: Probe, follow: bool = False) -> Scores:
    """Score the checkpoints that are there and not scored yet, and write the curves; the scores of each step.

    With `follow`, goes on with those that come, until the last of the run is scored. A checkpoint that the run prunes
    first is passed over. Raises `UserError` when the run has not begun, and what `finetune` raises.
    """
    run_folder.check_begun(run.output)
    last = num_steps(run)
    scores: Scores = {}
    data_sha256: dict[str, str] = {}
    while True:
        there = _steps(run.output, wanted, last)
        if not data_sha256 or not set(there) <= scores.keys():
            now = _data_of(wanted)
            scores = _read(run.output, wanted, now, scores if now == data_sha256 else {})
            data_sha256 = now
            for step in there:
                if step not in scores:
                    _score(run.output, wanted, step)
            scores = _read(run.output, wanted, data_sha256, scores)
            _show(run.output, scores)
        if not follow or last in scores:
            _warn_of_others(run.output, scores)
            return scores
        time.sleep(_POLL_S)


def _read(run: Path, wanted: Probe, data_sha256: dict[str, str], known: Scores) -> Scores:
    """The scores of the checkpoints that are scored whole, on documents of these hashes: others share no curve.

    Those that are `known` are not read again.
    """
    from camembert_bio.evaluation.entries import measure_of

    found = dict(known)
    for folder in _folders(run):
        recipe = wanted.of(folder, {folder.name: ""})
        if _step_of(folder) not in known and (results := _results(folder, recipe, data_sha256)):
            found[_step_of(folder)] = {
                task.name: fmean(
                    one.scores[measure_of(one.type, recipe.protocol == "paper").name] for one in results[task.name]
                )
                for task in recipe.tasks
            }
    return found


def _data_of(wanted: Probe) -> dict[str, str]:
    """The hash of each task's documents."""
    from camembert_bio.evaluation.tasks import load_task

    return {task.name: load_task(task).sha256 for task in wanted.of(Path(PROBE), {PROBE: ""}).tasks}


def _folders(run: Path) -> list[Path]:
    """Those of the checkpoints that were scored, or begun to be."""
    return sorted((run / PROBE).glob("step-*"))


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _warn_of_others(run: Path, scores: Scores) -> None:
    if others := [step for step in map(_step_of, _folders(run)) if step not in scores]:
        logger.warning(
            "left out of the curves, for their scores are broken or of other documents, options or version, and their "
            "checkpoints are gone or not asked for: step %s",
            ", ".join(map(str, others)),
        )


def _steps(run: Path, wanted: Probe, last: int) -> list[int]:
    """The steps whose checkpoints are there and to be scored."""
    there = [_step_of(path) for path in checkpoint.complete(run)]
    return [step for step in there if step == last or step % (wanted.every_steps or 1) == 0]


def _score(run: Path, wanted: Probe, step: int) -> None:
    """Fine-tune and score one checkpoint."""
    from camembert_bio.evaluation.runs import run_finetune
    from camembert_bio.pretrain.export import export

    name = f"step-{step:08d}"
    folder = run / PROBE / name
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


def _results(folder: Path, recipe: Finetune, data_sha256: dict[str, str]) -> dict[str, list[Result]]:
    """Of each task the runs that a recipe asks for; nothing unless all are there, whole and of this recipe and data.

    Which weights and tokenizer a run had it says itself: its checkpoint may be gone. Runs of another recipe may stand
    beside them, which was changed or broken off.
    """
    from camembert_bio.evaluation.results import seeds_of

    protocol_now = json.loads(json.dumps(protocol(recipe)))
    found: dict[str, list[Result]] = {}
    for task in recipe.tasks:
        now = {"protocol": protocol_now, "data_sha256": data_sha256[task.name], "type": task.type}
        for seed in seeds_of(task.type, recipe.seeds):
            result = _whole(folder / task.name / folder.name / f"seed-{seed}", now, task.scale)
            if result is None:
                return {}
            found.setdefault(task.name, []).append(result)
    return found


def _whole(run: Path, now: dict[str, Any], scale: tuple[float, float]) -> Result | None:
    """A run's result if its scores can be recomputed and it is what this version would do now; else None."""
    from camembert_bio.evaluation.results import id_of, problem_of, read_result

    try:
        result = read_result(run)
    except UserError:
        return None
    expected = id_of({**vars(result), **now, "version": __version__}, scale)
    return result if result.id == expected and problem_of(run, result) is None else None


def _show(run: Path, scores: Scores) -> None:
    """Write the curves anew: one line, however often and by however many processes they were asked for."""
    from torch.utils.tensorboard import SummaryWriter

    folder = run / metrics.TENSORBOARD / PROBE
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as board:
        for step, by_task in sorted(scores.items()):
            for task, score in by_task.items():
                board.add_scalar(f"{PROBE}/{task}", score, step)


def table(scores: Scores) -> str:
    """The scores as lines: a step, and each task's."""
    lines = [
        f"step {step}: " + ", ".join(f"{task} {score:.4f}" for task, score in by_task.items())
        for step, by_task in sorted(scores.items())
    ]
    return "\n".join(lines) or "no checkpoint to score yet"


def as_json(scores: Scores) -> dict[str, Any]:
    """The scores by the step as text."""
    return {str(step): by_task for step, by_task in sorted(scores.items())}
