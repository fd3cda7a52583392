"""Everything about a run that can be refused, or told, before a device is touched."""

from __future__ import annotations

from typing import Any

from camembert_bio.data.loader import Loader
from camembert_bio.data.order import accumulation_steps
from camembert_bio.data.windows import load_windows
from camembert_bio.errors import UserError, raise_all
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import run_folder
from camembert_bio.pretrain.engine import engine_settings
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import num_steps, tokens_per_step
from camembert_bio.shards.manifest import VALIDATION, Corpus, open_corpus, verify


def check(recipe: Pretrain, world_size: int) -> dict[str, Any]:
    """What `pretrain` would work with on `world_size` ranks, after every check that it makes.

    Hashes the whole corpus. Raises `UserError` with all mistakes at once.
    """
    encoders.quiet_transformers()
    corpus = open_corpus(recipe.corpus)
    verify(corpus)
    mistakes: list[str] = []
    accumulation = _try(mistakes, accumulation_steps, recipe.global_batch_size, recipe.micro_batch_size, world_size)
    _try(mistakes, engine_settings, recipe, accumulation or 1)
    encoder = _try(mistakes, _encoder, recipe, corpus)
    if run_folder.has_begun(recipe.output):
        _try(mistakes, run_folder.check_same, recipe.output, recipe, corpus)
    heldout = _try(mistakes, load_windows, corpus, VALIDATION, recipe.seq_length)
    order = _try(mistakes, _loader, recipe, corpus)
    raise_all(f"{len(mistakes)} mistakes:", mistakes)
    steps = num_steps(recipe)
    return {
        "parameters": encoders.num_parameters(encoder),
        "ranks": world_size,
        "gradient_accumulation_steps": accumulation,
        "steps": steps,
        "tokens": steps * tokens_per_step(recipe),
        "windows_per_epoch": order.epoch_length,
        "epochs": round(steps * recipe.global_batch_size / order.epoch_length, 3),
        "window_fill": round(order.table.fill, 4),
        "heldout_windows": min(len(heldout), recipe.evaluation.max_windows),
        "resumes": run_folder.has_begun(recipe.output),
    }


def _try(mistakes: list[str], function: Any, *arguments: Any) -> Any:
    """The function's value, or None with its mistake added to the list."""
    try:
        return function(*arguments)
    except UserError as error:
        mistakes.append(str(error))
        return None


def _encoder(recipe: Pretrain, corpus: Corpus) -> Any:
    encoder = encoders.new_encoder(recipe.model.path, recipe.model.config, len(corpus.vocabulary), recipe.seed)
    encoders.check_encoder(encoder, recipe.seq_length, len(corpus.vocabulary))
    return encoder


def _loader(recipe: Pretrain, corpus: Corpus) -> Any:
    """The order of a single rank: it raises what the sources and lengths give reason to."""
    return Loader(
        corpus,
        seq_length=recipe.seq_length,
        seed=recipe.seed,
        global_batch_size=recipe.global_batch_size,
        micro_batch_size=recipe.global_batch_size,
        rank=0,
        world_size=1,
        mlm_probability=recipe.objective.mlm_probability,
        whole_word=recipe.objective.whole_word,
        repeats=recipe.source_repeats,
    ).order
