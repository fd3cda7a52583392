"""Everything about a run that can be refused, or told, before a device or a folder is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camembert_bio import config
from camembert_bio.data.order import Order, accumulation_steps
from camembert_bio.data.room import check_group, check_room
from camembert_bio.data.windows import load_windows
from camembert_bio.errors import Mistakes
from camembert_bio.model import encoder as encoders
from camembert_bio.model.tokenizer import check_new_weights, check_tokenizer
from camembert_bio.pretrain import run_folder
from camembert_bio.pretrain.engine import engine_settings
from camembert_bio.pretrain.recipe import Pretrain, Shape
from camembert_bio.pretrain.schedule import num_steps, tokens_per_step
from camembert_bio.shards.manifest import TRAIN, VALIDATION, Corpus, open_corpus, verify
from camembert_bio.shards.words import check_marks_words


@dataclass(frozen=True)
class Ready:
    """What a run starts from, once nothing stands against it."""

    corpus: Corpus
    encoder: Any
    """With the weights that a new run starts from; of a run that has begun, its shape alone."""
    order: Order
    num_heldout: int
    """Windows of the held-out split; 0 without one, and then nothing is evaluated."""


def examine(recipe: Pretrain, world_size: int, begun: bool, verified: bool = False) -> Ready:
    """Make every check of a run on `world_size` ranks. Not collective; leaves only tables of windows in the corpus.

    `begun` says whether the run is resumed, `verified` that the corpus was hashed already. Raises
    `UserError` with all mistakes at once, `RunError` when the corpus' files are not what its manifest says.
    """
    mistakes = Mistakes()
    accumulation = 1
    with mistakes.noted():
        accumulation = accumulation_steps(recipe.global_batch_size, recipe.micro_batch_size, world_size)
    with mistakes.noted():
        engine_settings(recipe, accumulation)
    with mistakes.noted():
        run_folder.check_free(recipe.output)
    with mistakes.noted():
        corpus = open_corpus(recipe.corpus, recipe.storage)
        check_room(corpus, recipe.shuffle_shards)
        if not verified:
            verify(corpus)  # before windows are made of its shards: their table stays
        ready = _examine_corpus(recipe, corpus, begun)
    mistakes.raise_any("the run cannot start:")
    return ready


def check(recipe: Pretrain, world_size: int) -> dict[str, Any]:
    """What `pretrain` would work with on `world_size` ranks, after every check that it makes.

    Hashes the whole corpus. Raises what `examine` raises.
    """
    encoders.quiet_transformers()
    begun = run_folder.has_begun(recipe.output)
    ready = examine(recipe, world_size, begun)
    steps, windows = num_steps(recipe), ready.order.epoch_length
    return {
        "parameters": encoders.num_parameters(ready.encoder),
        "ranks": world_size,
        "gradient_accumulation_steps": accumulation_steps(
            recipe.global_batch_size, recipe.micro_batch_size, world_size
        ),
        "steps": steps,
        "tokens": steps * tokens_per_step(recipe),
        "windows_per_epoch": windows,
        "epochs": round(steps * recipe.global_batch_size / windows, 3),
        "window_fill": round(ready.order.table.fill, 4),
        "heldout_windows": min(ready.num_heldout, recipe.evaluation.max_windows),
        "resumes": begun,
    }


def _examine_corpus(recipe: Pretrain, corpus: Corpus, begun: bool) -> Ready:
    """The checks that need the corpus: of the model, the windows, the run that has begun."""
    mistakes = Mistakes()
    num_heldout = 0
    with mistakes.noted():
        encoder = _encoder(recipe, corpus, begun)
    with mistakes.noted():
        if recipe.objective.whole_word:
            check_marks_words(corpus.vocabulary)
    with mistakes.noted():
        order = Order(
            load_windows(corpus, TRAIN, recipe.seq_length),
            recipe.seed,
            corpus.manifest.repeats(recipe.source_repeats),
            recipe.global_batch_size,
            shuffle_shards=recipe.shuffle_shards,
        )
        check_group(corpus, order)
    with mistakes.noted():
        if any(shard.tokens for _, shard in corpus.manifest.shards(VALIDATION)):
            num_heldout = len(load_windows(corpus, VALIDATION, recipe.seq_length))
    with mistakes.noted():
        if begun:
            run_folder.check_same(recipe.output, recipe, corpus)
    mistakes.raise_any(f"model and corpus {corpus.place}:")
    return Ready(corpus, encoder, order, num_heldout)


def _encoder(recipe: Pretrain, corpus: Corpus, begun: bool) -> Any:
    """The encoder that the run starts from, checked against the corpus; of one that has begun, its shape."""
    if begun:
        return encoders.rebuild_encoder(recipe.output / run_folder.MODEL_CONFIG)
    if recipe.model.path is None:
        check_new_weights(corpus)
    vocab_size = len(corpus.vocabulary)
    shape = config.to_dict(recipe.model.config or Shape())
    encoder = encoders.new_encoder(recipe.model.path, shape, vocab_size, recipe.seed)
    mistakes = Mistakes()
    with mistakes.noted():
        encoders.check_encoder(encoder, recipe.seq_length, vocab_size)
    if recipe.model.path is not None:
        with mistakes.noted():
            check_tokenizer(recipe.model.path, corpus)
    mistakes.raise_any(f"model.path {recipe.model.path} does not fit:")
    return encoder
