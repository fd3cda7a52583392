"""A run before its first step: refuse what must be refused, take the folder, build the engine, restore."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio import config, files, ranks
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import checkpoint, optimizer_state, preflight, run_folder
from camembert_bio.pretrain.engine import Engine
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.saving import Saver
from camembert_bio.pretrain.schedule import num_steps, tokens_per_step
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

    def save(self) -> None:
        """Start to save what is true after `step` steps. Collective."""
        tokens = self.step * tokens_per_step(self.recipe)
        state = {"step": self.step, "tokens": tokens, "recipe": config.to_dict(self.recipe), **self.provenance}
        self.saver.save(self.engine.deepspeed, self.step, state)


def set_up(recipe: Pretrain, requests: StopRequests) -> Run:
    """The run of a recipe, new at step 0 or restored from its newest checkpoint. Collective.

    Raises `UserError`, `RunError` or `DoNotRequeueError` on every rank; a refusal leaves nothing behind.
    """
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
    saver = Saver(recipe.output, recipe.checkpoint.keep)
    requests.watch()
    provenance = _provenance(recipe, ready)
    run = Run(recipe, recipe.output, 0, loader, heldout, engine, saver, requests, provenance, handle)
    if found is None:
        _begin(run, ready)
    else:
        _restore(run, found)
    _announce(run, parameters, resumed=found is not None)
    return run


def _provenance(recipe: Pretrain, ready: preflight.Ready) -> dict[str, Any]:
    return {
        "corpus_hash": ready.corpus.manifest.hash,
        "recipe_hash": files.sha256_json(config.to_dict(recipe)),
        "world_size": ranks.world_size(),
    }


def _begin(run: Run, ready: preflight.Ready) -> None:
    """Keep what an export needs, save step 0, and only then call the run begun. Collective."""
    if ranks.is_main():
        run_folder.save_model_files(run.folder, ready.encoder.config.to_dict(), ready.corpus)
    run.save()
    run.saver.wait()
    if ranks.is_main():
        run_folder.mark_begun(run.folder, run.recipe, ready.corpus)


def _restore(run: Run, found: Path) -> None:
    """Go on from a checkpoint; the encoder holds its weights already. Collective."""
    run.step = int(checkpoint.read_state(found)["step"])
    masters, moments = checkpoint.read_model(found), checkpoint.read_optimizer(found)
    optimizer_state.restore(run.engine.deepspeed, masters, moments, run.step)


def _examine(recipe: Pretrain, begun: bool) -> preflight.Ready:
    """Every check on every rank, rank 0 first: it makes the tables of windows that the others read. Collective.

    One rank of each node hashes the corpus, all of them at once.
    """
    with ranks.shared_errors():
        if ranks.is_main():
            ready = preflight.examine(recipe, ranks.world_size(), begun)
        elif ranks.local_rank() == 0:
            verify(open_corpus(recipe.corpus, recipe.storage))
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
        repeats=ready.corpus.manifest.repeats(recipe.source_repeats),
        shuffle_shards=recipe.shuffle_shards,
    )
    if ready.num_heldout == 0:
        logger.info("%s holds no text out (validation_fraction 0): no held-out loss in this run", ready.corpus.place)
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


def _announce(run: Run, parameters: int, resumed: bool) -> None:
    recipe = run.recipe
    if ranks.is_main() and resumed:
        changed = run_folder.changed_options(run.folder, recipe)
        run_folder.event(run.folder, "resumed", step=run.step, changed=changed, **run.provenance)
    elif ranks.is_main():
        run_folder.event(run.folder, "started", step=run.step, **run.provenance)
    logger.info(
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
