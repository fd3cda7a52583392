"""The masked-LM objective: the encoder, then the head on masked positions only.

Shape letters: B rows, L positions of a row, K masked positions of the batch, D hidden size,
V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from camembert_bio.model.families import first_position, head_logits
from camembert_bio.model.packed_attention import segment_mask


class MaskedLM(torch.nn.Module):
    """An encoder whose forward pass returns the summed masked-LM loss of a packed batch.

    A sum, not a mean: the caller divides by the number of masked tokens of the whole step, over all
    ranks and micro-batches, so that loss and gradient do not depend on the layout.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self._first_position = first_position(encoder.config)

    def forward(
        self,
        input_ids_BL: torch.Tensor,
        segment_ids_BL: torch.Tensor,
        position_ids_BL: torch.Tensor,
        target_positions_K: torch.Tensor,
        target_labels_K: torch.Tensor,
    ) -> torch.Tensor:
        """The sum of the cross-entropies (nats, fp32 scalar) at the masked positions.

        `target_positions_K` are flat indices into B * L. With K = 0 the sum is 0 and has a gradient
        of zeros, so that ranks stay in step.
        """
        logits_KV = self.logits(input_ids_BL, segment_ids_BL, position_ids_BL, target_positions_K)
        return F.cross_entropy(logits_KV.float(), target_labels_K, reduction="sum")

    def logits(
        self,
        input_ids_BL: torch.Tensor,
        segment_ids_BL: torch.Tensor,
        position_ids_BL: torch.Tensor,
        positions_K: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [K, V] at flat positions of a packed batch."""
        hidden_BLD = self.encoder.base_model(
            input_ids=input_ids_BL,
            position_ids=position_ids_BL + self._first_position,
            segment_mask=segment_mask(segment_ids_BL),
        ).last_hidden_state
        return head_logits(self.encoder, hidden_BLD.flatten(0, 1).index_select(0, positions_K))
