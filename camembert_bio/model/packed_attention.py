"""Attention that stays inside each segment of a packed row, without a fork of the model's code.

Registered with transformers under the name `packed`; the keyword argument `segments`, given to the
encoder, reaches it through the layers. How it is computed is chosen in `method`, nowhere else.

Shape letters: B rows, L positions of a row, T = B * L, S segments of the micro-batch, with each row's
padding counted as one, N heads, H size of a head, Q and M positions of one segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "packed"

Method = Literal["varlen", "by segment", "mask"]


@dataclass(frozen=True)
class Segments:
    """Where attention may look in one micro-batch. Made once, read by every layer."""

    cu_seqlens: torch.Tensor
    """int32 [S + 1]: where each segment begins in the flattened batch; the last is T."""
    causal: bool = False
    """Whether a position sees only itself and those before it."""

    def lengths(self) -> list[int]:
        """Of each segment, in order. Waits for the device."""
        return self.cu_seqlens.diff().tolist()

    def mask(self, num_rows: int, row_length: int, sliding_window: int | None) -> torch.Tensor:
        """Which position may see which: booleans [B, 1, L, L]. Each sees itself, so no row of a softmax is empty."""
        places_T = torch.arange(num_rows * row_length, dtype=torch.int32, device=self.cu_seqlens.device)
        ids_BL = torch.bucketize(places_T, self.cu_seqlens, right=True).view(num_rows, row_length)
        mask_BLL = ids_BL[:, :, None] == ids_BL[:, None, :]
        allowed_LL = _allowed(row_length, self.causal, sliding_window, self.cu_seqlens.device)
        return (mask_BLL if allowed_LL is None else mask_BLL & allowed_LL)[:, None]


def method(query_BNLH: torch.Tensor, dropout: float) -> Method:
    """How attention is computed for queries of this device and dtype, and this dropout of attention weights.

    `varlen`: torch's variable-length flash attention. It needs CUDA of compute capability 8.0, bf16 or
    fp16, heads of a multiple of 8 up to 256 (torch/nn/attention/varlen.py and the kernel's own checks),
    and has no dropout.
    `by segment`: on CPU one call a segment. A step of camembert-base on rows of two segments takes a
    fifth less CPU time than under a mask; a compiled graph would be compiled anew for each batch's lengths.
    `mask`: a block mask for torch's scaled dot-product attention, everywhere else.
    """
    if query_BNLH.is_cuda:
        flash = torch.version.cuda is not None and torch.cuda.get_device_capability(query_BNLH.device) >= (8, 0)
        return "varlen" if flash and fits_varlen(query_BNLH.dtype, query_BNLH.shape[-1], dropout) else "mask"
    return "by segment" if query_BNLH.device.type == "cpu" and not torch.compiler.is_compiling() else "mask"


def fits_varlen(dtype: torch.dtype, head_size: int, dropout: float) -> bool:
    """Whether the variable-length kernel takes such attention, on a device that has it."""
    half = dtype in (torch.bfloat16, torch.float16)
    return half and dropout == 0 and head_size % 8 == 0 and head_size <= 256


def packed_attention(
    module: torch.nn.Module,
    query_BNLH: torch.Tensor,
    key_BNLH: torch.Tensor,
    value_BNLH: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    segments: Segments | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention inside each segment; [B, L, N, H] comes back.

    With the option `sliding_window`, which layers with local attention give, positions at that distance or more do
    not see each other: distances in the row are distances in the segment.

    Raises `ValueError` without `segments`: attention across documents is never a default.
    """
    if segments is None:
        raise ValueError("packed attention needs segments; call the encoder through model.objective")
    scale = query_BNLH.shape[-1] ** -0.5 if scaling is None else scaling
    window = options.get("sliding_window")
    num_rows, _, row_length, _ = query_BNLH.shape
    chosen = method(query_BNLH, dropout)
    if chosen == "mask":
        mask = segments.mask(num_rows, row_length, window)
        context_BNLH = F.scaled_dot_product_attention(
            query_BNLH, key_BNLH, value_BNLH, attn_mask=mask, dropout_p=dropout, scale=scale
        )
        return context_BNLH.transpose(1, 2).contiguous(), None
    query_TNH, key_TNH, value_TNH = (x.transpose(1, 2).flatten(0, 1) for x in (query_BNLH, key_BNLH, value_BNLH))
    if chosen == "varlen":
        context_TNH = _varlen(query_TNH, key_TNH, value_TNH, segments, row_length, window, scale)
    else:
        context_TNH = _by_segment(query_TNH, key_TNH, value_TNH, segments, window, dropout, scale)
    return context_TNH.view(num_rows, row_length, *context_TNH.shape[1:]), None


def _varlen(
    query_TNH: torch.Tensor,
    key_TNH: torch.Tensor,
    value_TNH: torch.Tensor,
    segments: Segments,
    row_length: int,
    sliding_window: int | None,
    scale: float,
) -> torch.Tensor:
    """All segments in one kernel. The longest is given as the row's length, so that a compiled graph stays."""
    reach = -1 if sliding_window is None else sliding_window - 1  # the kernel counts distances inclusively
    bounds, window = segments.cu_seqlens, (reach, 0 if segments.causal else reach)
    context_TNH = varlen_attn(
        query_TNH, key_TNH, value_TNH, bounds, bounds, row_length, row_length, scale=scale, window_size=window
    )
    assert isinstance(context_TNH, torch.Tensor)
    return context_TNH


def _by_segment(
    query_TNH: torch.Tensor,
    key_TNH: torch.Tensor,
    value_TNH: torch.Tensor,
    segments: Segments,
    sliding_window: int | None,
    dropout: float,
    scale: float,
) -> torch.Tensor:
    """One segment after the other."""
    lengths = segments.lengths()
    # Split, whose gradient is one concatenation; slices would each fill a gradient of the whole batch.
    parts = [torch.split(x_TNH.transpose(0, 1), lengths, dim=1) for x_TNH in (query_TNH, key_TNH, value_TNH)]
    contexts = []
    for query_NQH, key_NMH, value_NMH in zip(*parts, strict=True):
        allowed_QM = _allowed(query_NQH.shape[1], segments.causal, sliding_window, query_TNH.device)
        if dropout == 0:
            context_NQH = F.scaled_dot_product_attention(
                query_NQH[None], key_NMH[None], value_NMH[None], attn_mask=allowed_QM, scale=scale
            )[0]
        else:
            scores_NQM = torch.bmm(query_NQH * scale, key_NMH.transpose(1, 2))
            if allowed_QM is not None:
                scores_NQM = scores_NQM.masked_fill(~allowed_QM, -torch.inf)
            context_NQH = torch.bmm(_dropped(scores_NQM.softmax(-1), dropout), value_NMH)
        contexts.append(context_NQH.transpose(0, 1))
    return torch.cat(contexts)


def _dropped(weights: torch.Tensor, dropout: float) -> torch.Tensor:
    """Dropout with 16 random bits a weight, so that its rate is rounded to 1/65,536.

    On CPU torch's own takes 18 ms to draw for 1.6 M weights, as many as a segment of 360 has in 12 heads;
    this takes 3 (one core). The bits are of torch's generator.
    """
    num_dropped = min(65_535, round(dropout * 65_536))
    words = torch.empty((weights.numel() + 3) // 4, dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    kept = words.view(torch.int16)[: weights.numel()] >= num_dropped - 32_768
    return weights * kept.view_as(weights).to(weights.dtype).mul_(65_536 / (65_536 - num_dropped))


def _allowed(length: int, causal: bool, sliding_window: int | None, device: torch.device) -> torch.Tensor | None:
    """Which place of a segment may see which: booleans [length, length], or None where each sees all."""
    if not causal and (sliding_window is None or sliding_window >= length):
        return None
    places = torch.arange(length, device=device)
    back = places[:, None] - places
    allowed = back >= 0 if causal else torch.ones_like(back, dtype=torch.bool)
    return allowed if sliding_window is None else allowed & (back.abs() < sliding_window)


def register() -> None:
    """Make `attn_implementation="packed"` known to transformers. Calling it again does nothing new."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
