"""The training loop: what happens at each step of a run, from its start or resumption to its end."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio import config, files, ranks
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.errors import EXIT_DONE, EXIT_RESUMABLE, DoNotRequeueError
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import checkpoint, optimizer_state, preflight, run_folder
from camembert_bio.pretrain.engine import Engine, init_distributed
from camembert_bio.pretrain.metrics import Metrics
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.saving import Saver
from camembert_bio.pretrain.schedule import learning_rate, num_steps, tokens_per_step
from camembert_bio.pretrain.stopping import StopRequests
from camembert_bio.shards.manifest import open_corpus, verify

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """Everything a run works with, on one rank. `step` counts the optimizer steps done."""

    recipe: Pretrain
    folder: Path
    step: int
    loader: Loader
    heldout: EvaluationLoader | None
    """None when the corpus holds nothing out."""
    engine: Engine
    saver: Saver
    requests: StopRequests
    provenance: dict[str, Any]
    """Hashes of recipe and corpus, and the world size: in each checkpoint, and in the events of a start."""
    lock: Any
    """Open handle of the lock file on rank 0."""


def pretrain(recipe: Pretrain) -> int:
    """Start the run of a recipe, or resume it, and train to its end or to a request to stop.

    Collective: every rank of the job calls it. Returns the exit code: 0 done, 85 stopped early with
    a checkpoint. Raises `UserError`, `RunError` or `DoNotRequeueError` on every rank.
    """
    requests = StopRequests(recipe.output)  # first: a stop asked for while the run is set up is one too
    encoders.quiet_transformers()
    init_distributed()
    run = _set_up(recipe, requests)
    if run.step >= num_steps(recipe):
        _say("%s is complete: %d steps; give another output for a new run", run.folder, run.step)
        return EXIT_DONE
    metrics = Metrics(run.folder, run.step, num_steps(recipe)) if ranks.is_main() else None
    try:
        code = train(run, metrics)
        run.saver.wait()
    finally:
        if metrics is not None:
            metrics.close()
    if ranks.is_main():
        run.requests.done()
        run_folder.event(run.folder, "done" if code == EXIT_DONE else "stopped", step=run.step)
    if code == EXIT_DONE:
        _say("done: %d steps in %s; export with: camembert-bio export %s OUT", run.step, run.folder, run.folder)
    else:
        _say("stopped at step %d with a checkpoint; the same command resumes (exit code %d)", run.step, code)
    ranks.barrier()
    return code


def train(run: Run, metrics: Metrics | None) -> int:
    """Steps from `run.step` to the end: agree, step, log, evaluate, save. Collective."""
    recipe, total = run.recipe, num_steps(run.recipe)
    loss_sum, targets, busy_s, wait_s, logged_step = 0.0, 0.0, 0.0, 0.0, run.step
    began = time.monotonic()  # of a step: when its batch is asked for
    for _, micro_batches in zip(range(run.step, total), run.loader.iterate(run.step), strict=False):
        wait_s += time.monotonic() - began
        num_targets, stop, save = _agree(run, sum(batch.num_targets for batch in micro_batches))
        if stop or save:
            run.saver.save(run.engine.deepspeed, run.step, _state(run))
            run.requests.done()
            if stop:
                return EXIT_RESUMABLE
        rate = learning_rate(recipe, run.step)
        loss, norm = run.engine.train_step(run.step, micro_batches, num_targets, rate)
        (loss,) = run.engine.sum_over_ranks([loss])
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise DoNotRequeueError(_divergence(run, loss, norm))
        run.step += 1
        loss_sum, targets, busy_s = loss_sum + loss, targets + num_targets, busy_s + time.monotonic() - began
        last = run.step == total
        if metrics is not None:
            metrics.advance()
        if run.step % recipe.log_every_steps == 0 or last:
            num_logged = run.step - logged_step
            scalars = {
                "train/loss": loss_sum / max(1.0, targets),
                "train/learning_rate": rate,
                "train/gradient_norm": norm,
                "speed/tokens_per_s": num_logged * tokens_per_step(recipe) / busy_s,
                "speed/data_wait_s": wait_s / num_logged,
            }
            if metrics is not None:
                metrics.write(run.step, run.step * tokens_per_step(recipe), scalars)
                metrics.say(run.step, scalars)
            loss_sum, targets, busy_s, wait_s, logged_step = 0.0, 0.0, 0.0, 0.0, run.step
        if run.step % recipe.evaluation.every_steps == 0 or last:
            _evaluate(run, metrics)
        if run.step % recipe.checkpoint.every_steps == 0 or last:
            run.saver.save(run.engine.deepspeed, run.step, _state(run))
        began = time.monotonic()
    return EXIT_DONE


def _set_up(recipe: Pretrain, requests: StopRequests) -> Run:
    """Refuse what must be refused, take the folder, build the engine, restore. Collective."""
    begun = ranks.broadcast(run_folder.has_begun(recipe.output))
    ready = _examine(recipe, begun)
    with ranks.shared_errors():
        # After every check: a refusal leaves nothing behind.
        handle = run_folder.take(recipe.output, begun) if ranks.is_main() else None
        loader, heldout = _loaders(recipe, ready)
    found = checkpoint.choose(recipe.output) if begun else None
    with ranks.shared_errors():
        if found is not None:
            checkpoint.load_into(ready.encoder, checkpoint.read_model(found))
    parameters = encoders.num_parameters(ready.encoder)  # before ZeRO 3 cuts them into pieces
    engine = Engine(recipe, ready.encoder)
    provenance = {
        "corpus_hash": ready.corpus.manifest.hash,
        "recipe_hash": files.sha256_json(config.to_dict(recipe)),
        "world_size": ranks.world_size(),
    }
    saver = Saver(recipe.output, recipe.checkpoint.keep)
    requests.watch()
    run = Run(recipe, recipe.output, 0, loader, heldout, engine, saver, requests, provenance, handle)
    if found is None:
        if ranks.is_main():
            run_folder.save_model_files(run.folder, ready.encoder.config.to_dict(), ready.corpus)
        run.saver.save(engine.deepspeed, 0, _state(run))
        run.saver.wait()
        if ranks.is_main():
            run_folder.mark_begun(run.folder, recipe, ready.corpus)
    else:
        run.step = int(checkpoint.read_state(found)["step"])
        masters, moments = checkpoint.read_model(found), checkpoint.read_optimizer(found)
        optimizer_state.restore(engine.deepspeed, masters, moments, run.step)
    _announce(run, parameters, resumed=found is not None)
    return run


def _examine(recipe: Pretrain, begun: bool) -> preflight.Ready:
    """Every check on every rank, rank 0 first: it makes the tables of windows that the others read. Collective.

    One rank of each node hashes the corpus, all of them at once.
    """
    with ranks.shared_errors():
        if ranks.is_main():
            ready = preflight.examine(recipe, ranks.world_size(), begun)
        elif ranks.local_rank() == 0:
            verify(open_corpus(recipe.corpus))
    with ranks.shared_errors():
        if not ranks.is_main():
            ready = preflight.examine(recipe, ranks.world_size(), begun, verified=True)
    return ready


def _loaders(recipe: Pretrain, ready: preflight.Ready) -> tuple[Loader, EvaluationLoader | None]:
    """This rank's share of the training windows, and of the held-out ones if there are any."""
    loader = Loader(
        ready.corpus,
        seq_length=recipe.seq_length,
        seed=recipe.seed,
        global_batch_size=recipe.global_batch_size,
        micro_batch_size=recipe.micro_batch_size,
        rank=ranks.rank(),
        world_size=ranks.world_size(),
        mlm_probability=recipe.objective.mlm_probability,
        whole_word=recipe.objective.whole_word,
        repeats=recipe.source_repeats,
    )
    if ready.num_heldout == 0:
        _say("%s holds no text out (validation_fraction 0): no held-out loss in this run", ready.corpus.folder)
        return loader, None
    heldout = EvaluationLoader(
        ready.corpus,
        seq_length=recipe.seq_length,
        micro_batch_size=recipe.micro_batch_size,
        rank=ranks.rank(),
        world_size=ranks.world_size(),
        whole_word=recipe.objective.whole_word,
        max_windows=recipe.evaluation.max_windows,
    )
    return loader, heldout


def _agree(run: Run, num_targets: int) -> tuple[float, bool, bool]:
    """The step's targets over all ranks, and whether any rank wants to stop or save. Collective."""
    stop, save = run.requests.poll()
    totals = run.engine.sum_over_ranks([num_targets, stop, save, run.saver.failed()])
    if totals[3]:
        run.saver.wait()
    return totals[0], totals[1] > 0, totals[2] > 0


def _evaluate(run: Run, metrics: Metrics | None) -> None:
    """Held-out loss, if there is held-out text: the mean over its targets, equal for every layout. Collective."""
    if run.heldout is None:
        return
    loss_sum, targets = 0.0, 0
    for batch in run.heldout:
        loss_sum += run.engine.evaluate(batch)
        targets += batch.num_targets
    loss_sum, total = run.engine.sum_over_ranks([loss_sum, targets])
    loss = loss_sum / max(1.0, total)
    if metrics is not None:
        scalars = {"heldout/loss": loss, "heldout/perplexity": math.exp(min(loss, 50.0))}
        metrics.write(run.step, run.step * tokens_per_step(run.recipe), scalars)
        logger.info("step %d  held-out loss %.4f  perplexity %.2f", run.step, loss, scalars["heldout/perplexity"])


def _state(run: Run) -> dict[str, Any]:
    tokens = run.step * tokens_per_step(run.recipe)
    return {"step": run.step, "tokens": tokens, "recipe": config.to_dict(run.recipe), **run.provenance}


def _divergence(run: Run, loss: float, norm: float) -> str:
    return (
        f"step {run.step + 1}: loss {loss}, gradient norm {norm}: the run diverged; nothing was saved after step "
        f"{run.step}. Lower optimizer.learning_rate or lengthen the warm-up, in a new output"
    )


def _announce(run: Run, parameters: int, resumed: bool) -> None:
    recipe = run.recipe
    if ranks.is_main() and resumed:
        changed = run_folder.changed_options(run.folder, recipe)
        run_folder.event(run.folder, "resumed", step=run.step, changed=changed, **run.provenance)
    elif ranks.is_main():
        run_folder.event(run.folder, "started", step=run.step, **run.provenance)
    _say(
        "%s: %s at step %d of %d, %.1f M parameters, %d rank(s) x %d accumulation x %d windows of %d, %s, %s on %s",
        run.folder,
        "resumed" if resumed else "started",
        run.step,
        num_steps(recipe),
        parameters / 1e6,
        ranks.world_size(),
        run.engine.accumulation,
        recipe.micro_batch_size,
        recipe.seq_length,
        recipe.ds_config,
        recipe.precision,
        run.engine.device,
    )


def _say(message: str, *values: Any) -> None:
    """Log on rank 0 (the others' level is above it)."""
    logger.info(message, *values)
