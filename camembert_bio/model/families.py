"""The model types that are trained: where each keeps its masked-LM head and where its positions begin.

A type stands here once a test has shown that a segment of a packed row has the hidden states that it has alone in
transformers' own implementation, and that the loss is transformers'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Family:
    """What transformers' implementations of one design have in common."""

    head: tuple[str, ...]
    """The modules beside the encoder that give logits, applied one after the other."""
    counts_from_padding: bool
    """Whether the first position is `pad_token_id + 1`, and not 0."""
    attention_dropout: str = "attention_probs_dropout_prob"
    """The configuration's name for the dropout of attention weights."""


_ROBERTA = Family(head=("lm_head",), counts_from_padding=True)

FAMILIES = {
    "camembert": _ROBERTA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "bert": Family(head=("cls",), counts_from_padding=False),
    "modernbert": Family(head=("head", "decoder"), counts_from_padding=False, attention_dropout="attention_dropout"),
}
"""By transformers' `model_type`."""


def first_position(config: Any) -> int:
    """The position of a segment's first token in a model of this transformers configuration."""
    return int(config.pad_token_id) + 1 if FAMILIES[config.model_type].counts_from_padding else 0


def head_logits(model: Any, hidden_KD: torch.Tensor) -> torch.Tensor:
    """The logits [K, V] that a masked LM's head gives for hidden states [K, D] of its encoder, `model.base_model`."""
    for name in FAMILIES[model.config.model_type].head:
        hidden_KD = getattr(model, name)(hidden_KD)
    return hidden_KD
