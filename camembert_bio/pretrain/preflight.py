"""Everything about a run that can be refused, or told, before a device or a folder is touched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.data.order import Order, accumulation_steps
from camembert_bio.data.room import check_group, check_room
from camembert_bio.data.windows import WindowTable, load_windows
from camembert_bio.errors import Mistakes, UserError, raise_all
from camembert_bio.model import encoder as encoders
from camembert_bio.model.tokenizer import check_new_weights, check_tokenizer
from camembert_bio.pretrain import branch as branches
from camembert_bio.pretrain import run_folder
from camembert_bio.pretrain.prompts import Prompts, read_prompts
from camembert_bio.pretrain.recipe import Curve, Pretrain, Shape
from camembert_bio.pretrain.schedule import num_tokens, phases
from camembert_bio.pretrain.settings import engine_settings
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VALIDATION, Corpus, open_corpus, verify
from camembert_bio.shards.opening import UnreachableError
from camembert_bio.shards.words import check_marks_words

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What a run starts from, once nothing stands against it."""

    corpus: Corpus
    encoder: Any
    """With the weights that a new run starts from; of a run that has begun, or branches from one, its shape alone."""
    orders: tuple[Order, ...]
    """Of each phase."""
    num_heldout: int
    """Windows of the held-out split; 0 without one, and then nothing is evaluated."""
    branch: Path | None
    """The checkpoint that a new run goes on from, where it was to be verified."""
    prompts: Prompts | None
    """What the model is asked at each evaluation; None when the recipe asks nothing."""


def examine(recipe: Pretrain, world_size: int, begun: bool, verified: bool = False) -> Ready:
    """Make every check of a run on `world_size` ranks. Not collective; leaves only tables of windows in the corpus.

    `begun` says whether the run is resumed, `verified` that corpus and checkpoint were hashed already. Raises
    `UserError` with all mistakes at once, `RunError` when the corpus' files are not what its manifest says.
    """
    mistakes = Mistakes()
    for sizes in dict.fromkeys((phase.global_batch_size, phase.micro_batch_size) for phase in phases(recipe)):
        with mistakes.noted():
            accumulation_steps(*sizes, world_size)
    with mistakes.noted():
        _check_warmups(recipe)
    with mistakes.noted():
        engine_settings(recipe)
    with mistakes.noted():
        run_folder.check_free(recipe.output)
    with mistakes.noted():
        corpus = _open(recipe, begun)
        check_room(corpus, recipe.shuffle_shards)
        if not verified:
            verify(corpus)  # before windows are made of its shards: their table stays
        ready = _examine_corpus(recipe, corpus, begun, verified)
    mistakes.raise_any("the run cannot start:")
    if not verified:
        _warn_of_short_epochs(ready.orders)
    return ready


def check(recipe: Pretrain, world_size: int) -> Ready:
    """Every check that `pretrain` makes on `world_size` ranks; what the run would start from.

    Hashes the whole corpus. Raises what `examine` raises.
    """
    encoders.quiet_transformers()
    try:
        return examine(recipe, world_size, run_folder.has_begun(recipe.output))
    except UnreachableError as error:
        raise UserError(str(error)) from None


def _open(recipe: Pretrain, begun: bool) -> Corpus:
    """The recipe's corpus; a run that has begun knew its address, so that silence there is the network's failure."""
    try:
        return open_corpus(recipe.corpus, recipe.storage)
    except UnreachableError as error:
        if begun:
            raise
        raise UserError(str(error)) from None


def _warn_of_short_epochs(orders: Sequence[Order]) -> None:
    for number, order in enumerate(orders, 1):
        if order.epoch_length < order.global_batch_size:
            logger.warning(
                "phase %d: an epoch has %d window(s), a step %d: each step repeats them; see source_repeats",
                *(number, order.epoch_length, order.global_batch_size),
            )


def _check_warmups(recipe: Pretrain) -> None:
    """Refuse a warm-up in tokens that is longer than what it belongs to."""
    curves: list[tuple[str, Curve | None, int]] = [("run", recipe.schedule, num_tokens(recipe))]
    curves += [(f"phase {phase.number}", phase.curve, phase.num_tokens) for phase in phases(recipe)]
    mistakes = [
        f"warmup_tokens {curve.warmup_tokens:,} are more than the {tokens:,} tokens of the {name}, so that the rate "
        "never reaches its peak; use fewer"
        for name, curve, tokens in curves
        if curve is not None and curve.warmup_tokens is not None and curve.warmup_tokens > tokens
    ]
    raise_all("the learning rate:", mistakes)


def _examine_corpus(recipe: Pretrain, corpus: Corpus, begun: bool, verified: bool) -> Ready:
    """The checks that need the corpus: of the model, the windows, the run that has begun."""
    mistakes = Mistakes()
    num_heldout = 0
    with mistakes.noted():
        encoder = _encoder(recipe, corpus, begun)
    with mistakes.noted():
        masked = [phase.objective for phase in phases(recipe) if phase.objective.kind == "masked"]
        if any(objective.whole_word for objective in [recipe.objective, *masked]):  # held-out text is the first's
            check_marks_words(corpus.vocabulary)
    with mistakes.noted():
        orders = _orders(recipe, corpus)
    with mistakes.noted():
        if any(shard.tokens for _, shard in corpus.manifest.shards(VALIDATION)):
            num_heldout = len(load_windows(corpus, VALIDATION, recipe.seq_length))
    branch = prompts = None
    with mistakes.noted():
        if recipe.evaluation.prompts:
            prompts = read_prompts(recipe.evaluation.prompts, corpus, recipe.seq_length)
    with mistakes.noted():
        if begun:
            run_folder.check_same(recipe.output, recipe, corpus)
        elif recipe.init_from is not None and not verified:
            branch = branches.find(recipe)
    mistakes.raise_any(f"model and corpus {corpus.place}:")
    return Ready(corpus, encoder, orders, num_heldout, branch, prompts)


def _orders(recipe: Pretrain, corpus: Corpus) -> tuple[Order, ...]:
    """The order of windows in each phase; windows are made once a length."""
    mistakes = Mistakes()
    tables: dict[int, WindowTable] = {}
    for seq_length in {phase.seq_length for phase in phases(recipe)}:
        with mistakes.noted():
            tables[seq_length] = load_windows(corpus, TRAIN, seq_length)
    mistakes.raise_any("windows:")
    orders = tuple(
        Order(
            tables[phase.seq_length],
            recipe.seed,
            corpus.manifest.repeats(recipe.source_repeats),
            phase.global_batch_size,
            phase.first_step,
            phase.first_sample,
            recipe.shuffle_shards,
        )
        for phase in phases(recipe)
    )
    for order in orders:
        check_group(corpus, order)
    return orders


def _encoder(recipe: Pretrain, corpus: Corpus, begun: bool) -> Any:
    """The encoder that the run starts from, checked against the corpus; `Ready` says when it is a shape alone."""
    if begun:
        return encoders.rebuild_encoder(recipe.output / run_folder.MODEL_CONFIG)
    vocab_size = len(corpus.vocabulary)
    tokenizer = recipe.model.path
    if recipe.init_from is not None:
        run_folder.check_begun(recipe.init_from.run)
        encoder = encoders.rebuild_encoder(recipe.init_from.run / run_folder.MODEL_CONFIG)
        tokenizer = recipe.init_from.run / TOKENIZER
    else:
        if recipe.model.path is None:
            check_new_weights(corpus)
        shape = config.to_dict(recipe.model.config or Shape())
        encoder = encoders.new_encoder(
            recipe.model.path, recipe.model.attention_dropout, shape, vocab_size, recipe.seed
        )
    mistakes = Mistakes()
    longest = max(recipe.seq_length, *(phase.seq_length for phase in phases(recipe)))
    with mistakes.noted():
        encoders.check_encoder(encoder, longest, vocab_size)
    if tokenizer is not None:
        with mistakes.noted():
            check_tokenizer(tokenizer, corpus)
    mistakes.raise_any("the model does not fit:")
    return encoder
