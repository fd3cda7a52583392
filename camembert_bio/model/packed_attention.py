"""Attention that stays inside each segment of a packed row, without a fork of the model's code.

Registered with transformers under the name `packed`; the keyword argument `segment_mask`, given to
the encoder, reaches it through the layers.

Shape letters: B rows, L positions of a row, N heads, H size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "packed"


def segment_mask(segment_ids_BL: torch.Tensor) -> torch.Tensor:
    """Which position may see which: those of its own segment. [B, L] integers to [B, 1, L, L] booleans.

    Padding (segment 0) sees padding only, so no row of the softmax is empty.
    """
    return (segment_ids_BL[:, :, None] == segment_ids_BL[:, None, :])[:, None]


def packed_attention(
    module: torch.nn.Module,
    query_BNLH: torch.Tensor,
    key_BNLH: torch.Tensor,
    value_BNLH: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    segment_mask: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention under the block mask of `segment_mask`; [B, L, N, H] comes back.

    With the option `sliding_window`, which layers with local attention give, positions at that distance or more do
    not see each other: distances in the row are distances in the segment.

    Raises `ValueError` without a `segment_mask`: attention across documents is never a default.
    """
    if segment_mask is None:
        raise ValueError("packed attention needs segment_mask; call the encoder through model.objective")
    sliding_window = options.get("sliding_window")
    if sliding_window is not None:
        places_L = torch.arange(query_BNLH.shape[2], device=query_BNLH.device)
        segment_mask = segment_mask & ((places_L[:, None] - places_L).abs() < sliding_window)
    context_BNLH = F.scaled_dot_product_attention(
        query_BNLH, key_BNLH, value_BNLH, attn_mask=segment_mask, dropout_p=dropout, scale=scaling
    )
    return context_BNLH.transpose(1, 2).contiguous(), None


def register() -> None:
    """Make `attn_implementation="packed"` known to transformers. Calling it again does nothing new."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
