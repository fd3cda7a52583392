"""Floating-point operations of a step, counted from the model's configuration and the lengths of its segments.

Matrix products alone are counted, a multiplication and an addition as two operations, as torch's
`FlopCounterMode` counts them; the rest of a step is under 1 % of it. Padding is no work that the model
needs, so it is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Lengths = Sequence[int] | npt.NDArray[np.integer[Any]]

_BACKWARD = 2
"""A product has two in the backward pass: the gradients of either factor."""
_GATED = ("modernbert",)
"""Model types whose feed-forward part makes a value and a gate, both of `intermediate_size`."""


@dataclass(frozen=True)
class ModelFlops:
    """What a forward pass costs, by what it grows with."""

    per_token: int
    """Of all layers' projections and feed-forward parts, for one position."""
    per_target: int
    """Of the head, for one position whose loss is taken."""
    per_pair: int
    """Of one layer's scores and weighted sum, for one position that sees one position."""
    num_global_layers: int
    """Layers whose attention spans the segment."""
    num_local_layers: int
    """Layers whose attention spans `reach` positions on either side."""
    reach: int

    def layers(self, lengths: Lengths, causal: bool = False) -> int:
        """One forward pass through the layers for segments of these lengths, `<s>` and `</s>` counted."""
        sizes = np.asarray(lengths, dtype=np.int64)
        pairs = self.num_global_layers * _pairs(sizes, sizes, causal)
        pairs += self.num_local_layers * _pairs(sizes, np.full_like(sizes, self.reach), causal)
        return self.per_token * int(sizes.sum()) + self.per_pair * pairs

    def training(self, lengths: Lengths, num_targets: int, causal: bool = False) -> int:
        """Forward and backward of segments of which `num_targets` positions are predicted.

        What activation checkpointing computes again is not in it: it is no progress (MFU, not HFU).
        """
        return (1 + _BACKWARD) * (self.layers(lengths, causal) + self.per_target * num_targets)

    def executed(self, lengths: Lengths, num_targets: int, causal: bool = False) -> int:
        """`training`, and the second forward pass through the layers that activation checkpointing makes."""
        return self.training(lengths, num_targets, causal) + self.layers(lengths, causal)


def model_flops(config: Any) -> ModelFlops:
    """The costs of a transformers configuration of a type that `encoder` loads.

    Layers: four D x D projections and a feed-forward part of two D x I matrices (three where it is gated).
    Head: a D x D transformation, then the D x V matrix of the embeddings.
    """
    width, inner = config.hidden_size, config.intermediate_size
    matrices = 3 if config.model_type in _GATED else 2
    local = sum(kind == "sliding_attention" for kind in getattr(config, "layer_types", None) or ())
    return ModelFlops(
        per_token=2 * config.num_hidden_layers * (4 * width * width + matrices * width * inner),
        per_target=2 * (width * width + width * config.vocab_size),
        per_pair=4 * width,
        num_global_layers=config.num_hidden_layers - local,
        num_local_layers=local,
        reach=config.sliding_window if local else 0,
    )


def _pairs(lengths: npt.NDArray[np.int64], reach: npt.NDArray[np.int64], causal: bool) -> int:
    """(position, position that it sees) of segments in which each sees itself and `reach` on either side."""
    far = np.minimum(reach, np.maximum(lengths - 1, 0))
    one_side = int((far * lengths - far * (far + 1) // 2).sum())
    return int(lengths.sum()) + (one_side if causal else 2 * one_side)
