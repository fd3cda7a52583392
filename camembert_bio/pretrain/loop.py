"""The training loop: what happens at each step of a run, from its start or resumption to its end."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio import ranks
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.data.order import accumulation_steps
from camembert_bio.data.windows import load_windows
from camembert_bio.errors import EXIT_DONE, EXIT_RESUMABLE, DoNotRequeueError
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import checkpoint, optimizer_state, run_folder
from camembert_bio.pretrain.engine import Engine, engine_settings, init_distributed
from camembert_bio.pretrain.metrics import Metrics
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.saving import Saver
from camembert_bio.pretrain.schedule import learning_rate, num_steps, tokens_per_step
from camembert_bio.pretrain.stopping import StopRequests
from camembert_bio.shards.manifest import TRAIN, VALIDATION, Corpus, open_corpus

logger = logging.getLogger(__name__)

EVALUATION_MLM_PROBABILITY = 0.15
"""Of held-out evaluation, whatever the training rate, so that runs can be compared."""


@dataclass
class Run:
    """Everything a run works with, on one rank. `step` counts the optimizer steps done."""

    recipe: Pretrain
    folder: Path
    step: int
    loader: Loader
    heldout: EvaluationLoader
    engine: Engine
    saver: Saver
    requests: StopRequests
    identity: dict[str, Any]
    """Hashes that each checkpoint's state repeats."""
    lock: Any
    """Open handle of the lock file on rank 0."""


def pretrain(recipe: Pretrain) -> int:
    """Start the run of a recipe, or resume it, and train to its end or to a request to stop.

    Collective: every rank of the job calls it. Returns the exit code: 0 done, 85 stopped early with
    a checkpoint. Raises `UserError`, `RunError` or `DoNotRequeueError` on every rank.
    """
    encoders.quiet_transformers()
    init_distributed()
    run = _set_up(recipe)
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
    loss_sum, masked, busy_s, logged_step = 0.0, 0.0, 0.0, run.step
    for _, micro_batches in zip(range(run.step, total), run.loader.iterate(run.step), strict=False):
        started = time.monotonic()
        num_masked, stop, save = _agree(run, sum(batch.num_masked for batch in micro_batches))
        if stop or save:
            run.saver.save(run.engine.deepspeed, run.step, _state(run))
            run.requests.done()
            if stop:
                return EXIT_RESUMABLE
        rate = learning_rate(recipe, run.step)
        loss, norm = run.engine.train_step(run.step, micro_batches, num_masked, rate)
        (loss,) = run.engine.sum_over_ranks([loss])
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise DoNotRequeueError(_divergence(run, loss, norm))
        run.step += 1
        loss_sum, masked, busy_s = loss_sum + loss, masked + num_masked, busy_s + time.monotonic() - started
        last = run.step == total
        if metrics is not None:
            metrics.advance()
        if run.step % recipe.log_every_steps == 0 or last:
            tokens = (run.step - logged_step) * tokens_per_step(recipe)
            scalars = {
                "train/loss": loss_sum / max(1.0, masked),
                "train/learning_rate": rate,
                "train/gradient_norm": norm,
                "speed/tokens_per_s": tokens / busy_s,
            }
            if metrics is not None:
                metrics.write(run.step, run.step * tokens_per_step(recipe), scalars)
                metrics.say(run.step, scalars)
            loss_sum, masked, busy_s, logged_step = 0.0, 0.0, 0.0, run.step
        if run.step % recipe.evaluation.every_steps == 0 or last:
            _evaluate(run, metrics)
        if run.step % recipe.checkpoint.every_steps == 0 or last:
            run.saver.save(run.engine.deepspeed, run.step, _state(run))
    return EXIT_DONE


def _set_up(recipe: Pretrain) -> Run:
    """Refuse what must be refused, take the folder, build the engine, restore. Collective."""
    with ranks.shared_errors():
        # Before the folder is taken: a refusal leaves nothing behind.
        micro_batches = accumulation_steps(recipe.global_batch_size, recipe.micro_batch_size, ranks.world_size())
        engine_settings(recipe, micro_batches)
        corpus = open_corpus(recipe.corpus)
        handle = run_folder.take(recipe.output) if ranks.is_main() else None
        if run_folder.has_begun(recipe.output):
            run_folder.check_same(recipe.output, recipe, corpus)
        if ranks.is_main():
            for split in (TRAIN, VALIDATION):
                load_windows(corpus, split, recipe.seq_length)  # built once; the other ranks read it
    with ranks.shared_errors():
        loader, heldout = _loaders(recipe, corpus)
    begun = ranks.broadcast(run_folder.has_begun(recipe.output))
    found = checkpoint.choose(recipe.output) if begun else None
    with ranks.shared_errors():
        encoder = _encoder(recipe, corpus, found)
    parameters = encoders.num_parameters(encoder)  # before ZeRO 3 cuts them into pieces
    engine = Engine(recipe, encoder)
    identity = {"corpus_hash": corpus.manifest.hash, "world_size": ranks.world_size()}
    saver = Saver(recipe.output, recipe.checkpoint.keep)
    run = Run(recipe, recipe.output, 0, loader, heldout, engine, saver, StopRequests(recipe.output), identity, handle)
    if found is None:
        if ranks.is_main():
            run_folder.save_model_files(run.folder, encoder.config.to_dict(), corpus)
        run.saver.save(engine.deepspeed, 0, _state(run))
        run.saver.wait()
        if ranks.is_main():
            run_folder.mark_begun(run.folder, recipe, corpus)
    else:
        run.step = int(checkpoint.read_state(found)["step"])
        masters, moments = checkpoint.read_model(found), checkpoint.read_optimizer(found)
        optimizer_state.restore(engine.deepspeed, masters, moments, run.step)
    _announce(run, parameters, resumed=found is not None)
    return run


def _loaders(recipe: Pretrain, corpus: Corpus) -> tuple[Loader, EvaluationLoader]:
    """This rank's share of the training windows and of the held-out ones."""
    loader = Loader(
        corpus,
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
    heldout = EvaluationLoader(
        corpus,
        seq_length=recipe.seq_length,
        micro_batch_size=recipe.micro_batch_size,
        rank=ranks.rank(),
        world_size=ranks.world_size(),
        mlm_probability=EVALUATION_MLM_PROBABILITY,
        whole_word=recipe.objective.whole_word,
        max_windows=recipe.evaluation.max_windows,
    )
    return loader, heldout


def _encoder(recipe: Pretrain, corpus: Corpus, found: Path | None) -> Any:
    """The encoder with the weights it starts from: the checkpoint's, a folder's, or new ones."""
    vocab_size = len(corpus.vocabulary)
    if found is not None:
        encoder = encoders.rebuild_encoder(recipe.output / run_folder.MODEL_CONFIG)
        checkpoint.load_into(encoder, checkpoint.read_model(found))
    else:
        encoder = encoders.new_encoder(recipe.model.path, recipe.model.config, vocab_size, recipe.seed)
    encoders.check_encoder(encoder, recipe.seq_length, vocab_size)
    return encoder


def _agree(run: Run, num_masked: int) -> tuple[float, bool, bool]:
    """The step's masked tokens over all ranks, and whether any rank wants to stop or save. Collective."""
    stop, save = run.requests.poll()
    totals = run.engine.sum_over_ranks([num_masked, stop, save, run.saver.failed()])
    if totals[3]:
        run.saver.wait()
    return totals[0], totals[1] > 0, totals[2] > 0


def _evaluate(run: Run, metrics: Metrics | None) -> None:
    """Held-out loss: the mean over all its masked tokens, equal for every layout. Collective."""
    loss_sum, masked = 0.0, 0
    for batch in run.heldout:
        loss_sum += run.engine.evaluate(batch)
        masked += batch.num_masked
    loss_sum, total = run.engine.sum_over_ranks([loss_sum, masked])
    loss = loss_sum / max(1.0, total)
    if metrics is not None:
        scalars = {"heldout/loss": loss, "heldout/perplexity": math.exp(min(loss, 50.0))}
        metrics.write(run.step, run.step * tokens_per_step(run.recipe), scalars)
        logger.info("step %d  held-out loss %.4f  perplexity %.2f", run.step, loss, scalars["heldout/perplexity"])


def _state(run: Run) -> dict[str, Any]:
    return {"step": run.step, "tokens": run.step * tokens_per_step(run.recipe), **run.identity}


def _divergence(run: Run, loss: float, norm: float) -> str:
    return (
        f"step {run.step + 1}: loss {loss}, gradient norm {norm}: the run diverged; nothing was saved after step "
        f"{run.step}. Lower optimizer.learning_rate or lengthen the warm-up, in a new output"
    )


def _announce(run: Run, parameters: int, resumed: bool) -> None:
    recipe = run.recipe
    if ranks.is_main():
        run_folder.event(run.folder, "resumed" if resumed else "started", step=run.step, **run.identity)
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
