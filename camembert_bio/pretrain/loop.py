"""The training loop: what happens at each step of a run, from its start or resumption to its end."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from camembert_bio import ranks
from camembert_bio.data.batch import Batch
from camembert_bio.errors import EXIT_DONE, EXIT_RESUMABLE, DoNotRequeueError
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import heldout, interval, run_folder
from camembert_bio.pretrain.engine import init_distributed
from camembert_bio.pretrain.interval import Interval, Step
from camembert_bio.pretrain.metrics import Metrics
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import PlacedPhase, learning_rate, num_steps, phase_of, phases, tokens_before
from camembert_bio.pretrain.setup import Run, set_up
from camembert_bio.pretrain.stopping import StopRequests

logger = logging.getLogger(__name__)


def pretrain(recipe: Pretrain) -> int:
    """Start the run of a recipe, or resume it, and train to its end or to a request to stop.

    Collective: every rank of the job calls it. Returns the exit code: 0 done, 85 stopped early with
    a checkpoint. Raises `UserError`, `RunError` or `DoNotRequeueError` on every rank.
    """
    requests = StopRequests(recipe.output)  # first: a stop asked for while the run is set up is one too
    encoders.quiet_transformers()
    init_distributed()
    run = set_up(recipe, requests)
    if run.step >= num_steps(recipe):
        logger.info("%s is complete: %d steps; give another output for a new run", run.folder, run.step)
        return EXIT_DONE
    metrics = Metrics(run.folder, run.step, num_steps(recipe)) if ranks.is_main() else None
    try:
        code = train(run, metrics)
        run.saver.wait()
    finally:
        if metrics is not None:
            metrics.close()
    _finish(run, code)
    return code


def train(run: Run, metrics: Metrics | None) -> int:
    """Steps from `run.step` to the end: agree, step, log, evaluate, save. Collective.

    A phase's last step is logged, evaluated and saved whatever the intervals.
    """
    recipe, total = run.recipe, num_steps(run.recipe)
    batches = _batches(run)
    seen = Interval(run.costs)
    while run.step < total:
        with seen.timed(interval.DATA_WAIT):
            micro_batches = next(batches)
        with seen.timed(interval.AGREE):
            agreed = _agree(run, micro_batches)
        if agreed.stop or agreed.save:
            _save(run, metrics)
            run.requests.done(agreed.stop, agreed.save)
        if agreed.stop:
            return EXIT_RESUMABLE
        seen.count(micro_batches)
        with seen.timed(interval.STEP):
            seen.add(_step(run, micro_batches, agreed.num_targets))
        last = run.step + 1 == phase_of(recipe, run.step).end_step
        run.step += 1
        if metrics is not None:
            metrics.advance()
        if run.step % recipe.log_every_steps == 0 or last:
            _log(run, seen, metrics)
            seen = Interval(run.costs)
        if run.step % recipe.evaluation.every_steps == 0 or last:
            heldout.evaluate(run, metrics)
        if run.step % recipe.checkpoint.every_steps == 0 or last:
            _save(run, metrics)
    return EXIT_DONE


def _batches(run: Run) -> Iterator[list[Batch]]:
    """The micro-batches of each step from `run.step` to the end, those of a phase from its own loader."""
    for phase, loader in zip(phases(run.recipe), run.loaders, strict=True):
        left = phase.end_step - max(run.step, phase.first_step)
        if left > 0:
            _announce(run, phase)
            with closing(loader.iterate(phase.end_step - left)) as batches:
                yield from islice(batches, left)


def _announce(run: Run, phase: PlacedPhase) -> None:
    """One line a phase: what it reads, and how a step of it is laid out."""
    accumulation = phase.global_batch_size // (phase.micro_batch_size * ranks.world_size())
    logger.info(
        "phase %d of %d, to step %d: %s, %d rank(s) x %d accumulation x %d windows of %d",
        phase.number,
        len(run.loaders),
        phase.end_step,
        phase.objective.kind,
        ranks.world_size(),
        accumulation,
        phase.micro_batch_size,
        phase.seq_length,
    )


class Agreed(NamedTuple):
    """What all ranks know before a step."""

    num_targets: float
    """Targets of the step, over all ranks and micro-batches."""
    stop: bool
    save: bool


def _agree(run: Run, micro_batches: Sequence[Batch]) -> Agreed:
    """The step's targets over all ranks, and whether any rank wants to stop or save. Collective."""
    stop, save = run.requests.poll()
    num_targets = sum(batch.num_targets for batch in micro_batches)
    totals = run.engine.sum_over_ranks([num_targets, stop, save, run.saver.failed()])
    if totals[3]:
        run.saver.wait()
    return Agreed(totals[0], totals[1] > 0, totals[2] > 0)


def _step(run: Run, micro_batches: Sequence[Batch], num_targets: float) -> Step:
    """One optimizer step. Collective; raises `DoNotRequeueError` on every rank when the run diverged."""
    rate = learning_rate(run.recipe, run.step)
    loss, norm = run.engine.train_step(run.step, micro_batches, num_targets, rate)
    (loss,) = run.engine.sum_over_ranks([loss])
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise DoNotRequeueError(
            f"step {run.step + 1}: loss {loss}, gradient norm {norm}: the run diverged; nothing was saved after step "
            f"{run.step}. Lower optimizer.learning_rate or lengthen the warm-up, in a new output"
        )
    phase, limit, scale = phase_of(run.recipe, run.step), run.recipe.optimizer.gradient_clipping, run.engine.loss_scale
    return Step(
        loss_sum=loss,
        num_targets=num_targets,
        masked=phase.objective.kind == "masked",
        num_tokens=phase.tokens_per_step,
        gradient_norm=norm,
        learning_rate=rate,
        clipped=0 < limit < norm,
        loss_scale=None if scale is None else scale.value,
    )


def _log(run: Run, seen: Interval, metrics: Metrics | None) -> None:
    """One point of the curves and one line. Collective: every rank tells what it did."""
    shares = ranks.gather(seen.share(run.engine.stopwatch.take(), run.engine.device))
    if metrics is not None:
        scalars = seen.scalars(shares, run.peak_flops)
        metrics.write(run.step, tokens_before(run.recipe, run.step), scalars)
        metrics.say(run.step, scalars)


def _save(run: Run, metrics: Metrics | None) -> None:
    """Start to save, and tell how long training stood still for it. Collective."""
    stall_s = run.save()
    if metrics is not None:
        metrics.write(run.step, tokens_before(run.recipe, run.step), {"checkpoint/stall_s": stall_s})


def _finish(run: Run, code: int) -> None:
    """Tell how a start of the run ended, once its last checkpoint is written. Collective."""
    if ranks.is_main():
        run.requests.done(stop=True, save=True)
        run_folder.event(run.folder, "done" if code == EXIT_DONE else "stopped", step=run.step)
    if code == EXIT_DONE:
        logger.info("done: %d steps in %s; export with: camembert-bio export %s OUT", run.step, run.folder, run.folder)
    else:
        logger.info("stopped at step %d with a checkpoint; the same command resumes (exit code %d)", run.step, code)
    ranks.barrier()
