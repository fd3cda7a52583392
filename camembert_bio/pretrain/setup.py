"""A run before its first step: refuse what must be refused, take the folder, build the engine, restore."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camembert_bio import config, devices, files, ranks
from camembert_bio.data.loader import EvaluationLoader, Loader
from camembert_bio.data.windows import load_windows
from camembert_bio.model import encoder as encoders
from camembert_bio.model.flops import ModelFlops, model_flops
from camembert_bio.pretrain import branch, checkpoint, optimizer_state, preflight, run_folder
from camembert_bio.pretrain.branch import Before
from camembert_bio.pretrain.engine import Engine, check_device, on_accelerator
from camembert_bio.pretrain.loaders import training_loader
from camembert_bio.pretrain.prompts import Prompts
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.saving import Saver
from camembert_bio.pretrain.schedule import num_steps, phases, tokens_before
from camembert_bio.pretrain.stopping import StopRequests
from camembert_bio.shards.manifest import VALIDATION, open_corpus, verify

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """Everything a run works with, on one rank. `step` counts the optimizer steps done."""

    recipe: Pretrain
    folder: Path
    before: Before
    step: int
    loaders: list[Loader]
    """Of each phase."""
    heldout: dict[str, EvaluationLoader]
    """By source; empty when the corpus holds nothing out."""
    prompts: Prompts | None
    """None when the recipe has none."""
    costs: ModelFlops
    peak_flops: float | None
    """FLOP/s of one device in the run's precision; None where it is not known."""
    engine: Engine
    saver: Saver
    requests: StopRequests
    provenance: dict[str, Any]
    """Hashes of recipe and corpus, and the world size: in each checkpoint, and in the events of a start."""
    lock: Any
    """Open handle of the lock file on rank 0."""

    def save(self) -> float:
        """Start to save what is true after `step` steps; the seconds that it took. Collective."""
        began = time.monotonic()
        tokens = tokens_before(self.recipe, self.step)
        scale = self.engine.loss_scale
        state = {
            "step": self.step,
            "tokens": tokens,
            "before": config.to_dict(self.before),
            "loss_scale": scale.state() if scale is not None else None,
            "recipe": config.to_dict(self.recipe),
            **self.provenance,
        }
        self.saver.save(self.engine.deepspeed, self.step, state)
        return time.monotonic() - began


def set_up(recipe: Pretrain, requests: StopRequests) -> Run:
    """The run of a recipe, new at step 0 or restored from its newest checkpoint. Collective.

    Raises `UserError`, `RunError` or `DoNotRequeueError` on every rank; a refusal leaves nothing behind.
    """
    begun = ranks.broadcast(run_folder.has_begun(recipe.output))
    ready = _examine(recipe, begun)
    with ranks.shared_errors():
        handle = run_folder.take(recipe.output, begun) if ranks.is_main() else None
        requests.watch()
    found = checkpoint.choose(recipe.output) if begun else ranks.broadcast(ready.branch)
    with ranks.shared_errors():
        before = _before(recipe, ready, found, begun)
        loaders, heldout = _loaders(recipe, ready, before), _heldout(recipe, ready)
        if found is not None:
            checkpoint.load_into(ready.encoder, checkpoint.read_model(found))
    parameters = encoders.num_parameters(ready.encoder)  # before ZeRO 3 cuts them into pieces
    engine = Engine(recipe, ready.encoder)
    run = Run(
        recipe=recipe,
        folder=recipe.output,
        before=before,
        step=0,
        loaders=loaders,
        heldout=heldout,
        prompts=ready.prompts,
        costs=model_flops(ready.encoder.config),
        peak_flops=_peak_flops(recipe, engine.device),
        engine=engine,
        saver=Saver(recipe.output, recipe.checkpoint.keep),
        requests=requests,
        provenance=_provenance(recipe, ready),
        lock=handle,
    )
    if found is not None:
        _restore(run, found, begun)
    if not begun:
        _begin(run, ready)
    _announce(run, parameters, begun, found)
    return run


def _before(recipe: Pretrain, ready: preflight.Ready, found: Path | None, begun: bool) -> Before:
    """What lies before the run's first step, which a run that has begun knows by its checkpoints."""
    if found is None:
        return Before()
    if begun:
        return config.build(Before, checkpoint.read_state(found)["before"])
    return branch.before(found, recipe, ready.corpus.manifest.hash)


def _provenance(recipe: Pretrain, ready: preflight.Ready) -> dict[str, Any]:
    return {
        "corpus_hash": ready.corpus.manifest.hash,
        "recipe_hash": files.sha256_json(config.to_dict(recipe)),
        "world_size": ranks.world_size(),
    }


def _restore(run: Run, found: Path, begun: bool) -> None:
    """Give the engine what a checkpoint holds, of this run if it has `begun`; the encoder has its weights."""
    state = checkpoint.read_state(found)
    if begun:
        run.step = state["step"]
    masters, moments = checkpoint.read_model(found), checkpoint.read_optimizer(found)
    optimizer_state.restore(run.engine.deepspeed, masters, moments, run.before.optimizer_steps + run.step)
    if run.engine.loss_scale is not None and state["loss_scale"] is not None:
        run.engine.loss_scale.restore(state["loss_scale"])


def _begin(run: Run, ready: preflight.Ready) -> None:
    """Keep what an export needs, save step 0, and only then call the run begun. Collective."""
    if ranks.is_main():
        run_folder.save_model_files(run.folder, ready.encoder.config.to_dict(), ready.corpus)
    run.save()
    run.saver.wait()
    if ranks.is_main():
        run_folder.mark_begun(run.folder, run.recipe, ready.corpus)


def _examine(recipe: Pretrain, begun: bool) -> preflight.Ready:
    """Every check on every rank, rank 0 first: it makes the tables of windows that the others read. Collective.

    One rank of each node hashes the corpus, all of them at once.
    """
    with ranks.shared_errors():
        check_device(recipe.precision)
        if ranks.is_main():
            ready = preflight.examine(recipe, ranks.world_size(), begun)
        elif ranks.local_rank() == 0:
            verify(open_corpus(recipe.corpus, recipe.storage))
    with ranks.shared_errors():
        if not ranks.is_main():
            ready = preflight.examine(recipe, ranks.world_size(), begun, verified=True)
    return ready


def _loaders(recipe: Pretrain, ready: preflight.Ready, before: Before) -> list[Loader]:
    """This rank's share of the training windows, by phase."""
    place = (ranks.rank(), ranks.world_size())
    return [
        training_loader(recipe, ready.corpus, phase, before, *place, pin_memory=on_accelerator())
        for phase in phases(recipe)
    ]


def _heldout(recipe: Pretrain, ready: preflight.Ready) -> dict[str, EvaluationLoader]:
    """This rank's share of the held-out windows of each source, if there are any."""
    if ready.num_heldout == 0:
        logger.info("%s holds no text out (validation_fraction 0): no held-out loss in this run", ready.corpus.place)
        return {}
    table = load_windows(ready.corpus, VALIDATION, recipe.seq_length)
    counts = np.diff(table.source_offsets)
    share = min(1.0, recipe.evaluation.max_windows / len(table))
    return {
        source: EvaluationLoader(
            ready.corpus,
            seq_length=recipe.seq_length,
            micro_batch_size=recipe.micro_batch_size,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
            whole_word=recipe.objective.whole_word,
            max_windows=max(1, round(share * int(count))),
            source=source,
        )
        for source, count in zip(table.sources, counts, strict=True)
    }


def _peak_flops(recipe: Pretrain, device: torch.device) -> float | None:
    """What MFU divides by; says once when it is not known."""
    if recipe.device_peak_tflops is not None:
        return 1e12 * recipe.device_peak_tflops
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = devices.recognise(name)
    peak = known.peak_flops(recipe.precision) if known is not None else None
    if peak is None:
        logger.info("the peak of %s in %s is not known: no MFU; give device_peak_tflops", name, recipe.precision)
    return peak


def _announce(run: Run, parameters: int, begun: bool, found: Path | None) -> None:
    recipe = run.recipe
    if ranks.is_main() and begun:
        changed = run_folder.changed_options(run.folder, recipe)
        run_folder.event(run.folder, "resumed", step=run.step, changed=changed, **run.provenance)
    elif ranks.is_main():
        origin = {"init_from": str(found)} if found is not None else {}
        run_folder.event(run.folder, "started", step=run.step, **origin, **run.provenance)
    logger.info(
        "%s: %s at step %d of %d, %.1f M parameters, %s, %s on %s",
        run.folder,
        "resumed" if begun else "started",
        run.step,
        num_steps(recipe),
        parameters / 1e6,
        recipe.ds_config,
        recipe.precision,
        run.engine.device,
    )
