"""Encoders: built from a configuration or loaded from a transformers folder, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForMaskedLM, CamembertConfig

from camembert_bio import config as configs
from camembert_bio.errors import Mistakes, UserError
from camembert_bio.model import packed_attention
from camembert_bio.model.families import FAMILIES, first_position

CAMEMBERT_IDS = (5, 6, 1)
"""Of `<s>`, `</s>` and `<pad>` in CamemBERT's layout, whatever the size."""

# CamembertConfig()'s own defaults are BERT's.
_LAYOUT: Mapping[str, Any] = {
    "type_vocab_size": 1,
    **dict(zip(("bos_token_id", "eos_token_id", "pad_token_id"), CAMEMBERT_IDS, strict=True)),
}

# What transformers and torch raise for a shape that is no encoder (num_attention_heads 0, hidden_act "gleu", ...).
_REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, AssertionError, StrictDataclassError)


def new_encoder(
    path: Path | None, attention_dropout: float | None, shape: Mapping[str, Any], vocab_size: int, seed: int
) -> Any:
    """The encoder that a run starts from: a folder's, or new weights of a shape."""
    return load_encoder(path, attention_dropout) if path is not None else build_encoder(shape, vocab_size, seed)


def build_encoder(shape: Mapping[str, Any], vocab_size: int, seed: int) -> Any:
    """A CamemBERT with new weights; `shape` holds options of CamembertConfig.

    The weights are drawn by torch's generator seeded with `seed`, so that every rank draws the same.
    Raises `UserError` on what transformers refuses.
    """
    try:
        config = CamembertConfig(**{**_LAYOUT, **shape, "vocab_size": vocab_size})
        packed_attention.register()
        torch.manual_seed(seed)
        model = AutoModelForMaskedLM.from_config(config, attn_implementation=packed_attention.NAME)
    except _REFUSALS as error:
        raise UserError(f"model.config is refused by transformers ({_reason(error)})") from error
    return model


def load_encoder(folder: Path, attention_dropout: float | None = None) -> Any:
    """A masked-LM encoder from a transformers folder, in fp32, without the network or code of the folder's own.

    `attention_dropout` replaces the folder's dropout of attention weights.
    Raises `UserError` when the folder holds no such model, or one whose attention is not known to
    stay inside a segment, or whose masked-LM head is missing.
    """
    model_type = _check_type(folder)
    changes = {} if attention_dropout is None else {FAMILIES[model_type].attention_dropout: attention_dropout}
    packed_attention.register()
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation=packed_attention.NAME,
            dtype=torch.float32,
            output_loading_info=True,
            **changes,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model.path {folder} cannot be loaded ({_reason(error)})") from error
    missing = sorted(set(report["missing_keys"]) - set(model.all_tied_weights_keys))
    if missing:
        raise UserError(f"model.path {folder} lacks weights: {', '.join(missing[:5])}; give a masked-LM model folder")
    return model


def _check_type(folder: Path) -> str:
    """The type; refuses, before anything is loaded, a folder of no model, of a type without proof, or of a decoder."""
    if not (folder / "config.json").is_file():
        raise UserError(f"model.path {folder} has no config.json; give a transformers model folder")
    # Read here, for transformers asks on the console whether to run the code of a type that it does not know.
    model_type = configs.read_json(folder / "config.json").get("model_type")
    if isinstance(model_type, str) and model_type not in FAMILIES:
        raise UserError(
            f"model.path {folder} is a {model_type!r}; packed attention is proven for {', '.join(FAMILIES)} only"
        )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, *_REFUSALS) as error:
        raise UserError(f"model.path {folder}: config.json is refused ({_reason(error)})") from error
    if getattr(config, "is_decoder", False):
        raise UserError(
            f"model.path {folder}: config.json sets is_decoder, so that transformers lets a token see those before it "
            "alone; give an encoder"
        )
    return str(config.model_type)


def rebuild_encoder(config_file: Path) -> Any:
    """An encoder of a saved configuration; its weights are to be loaded by the caller."""
    packed_attention.register()
    config = AutoConfig.from_pretrained(config_file, local_files_only=True, trust_remote_code=False)
    return AutoModelForMaskedLM.from_config(config, attn_implementation=packed_attention.NAME)


def check_encoder(model: Any, seq_length: int, vocab_size: int) -> None:
    """Refuse what would fail, or train the wrong thing, at the first step.

    Checks: every id of the corpus (`vocab_size` of them) has an embedding, positions suffice for `seq_length`,
    the head is tied to the embeddings. A model may have more embeddings than ids: many are padded to a round number.
    Raises `UserError` with every mistake.
    """
    config = model.config
    mistakes = Mistakes()
    if config.vocab_size < vocab_size:
        mistakes.messages.append(
            f"the model has {config.vocab_size} embeddings, the corpus' tokenizer {vocab_size} ids; "
            "build the corpus with the model's own tokenizer"
        )
    positions = num_positions(config)
    if seq_length > positions:
        mistakes.messages.append(
            f"seq_length {seq_length} is over the model's {positions} positions; use at most {positions}"
        )
    with mistakes.noted():
        assert_tied(model)
    mistakes.raise_any("the model does not fit:")


def num_positions(config: Any) -> int:
    """The longest segment, special tokens included, that a model of this transformers configuration reads."""
    return int(config.max_position_embeddings) - first_position(config)


def assert_tied(model: Any) -> None:
    """Raise `UserError` unless the masked-LM head shares its matrix with the embeddings."""
    embeddings = model.get_input_embeddings().weight
    if model.get_output_embeddings().weight is not embeddings and not torch.equal(
        model.get_output_embeddings().weight, embeddings
    ):
        raise UserError("the masked-LM head is not tied to the embeddings; load with tie_word_embeddings=true")


def _reason(error: Exception) -> str:
    """The error on one line, with its type: a KeyError or an AssertionError says little without it."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def num_parameters(model: torch.nn.Module) -> int:
    """Parameters of the model, each counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def quiet_transformers() -> None:
    """Keep transformers' own loading reports off the console; ours say what matters."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
