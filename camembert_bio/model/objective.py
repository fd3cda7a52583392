"""What is learnt: an encoder's loss at the target positions of a packed batch, its head run on those alone.

Shape letters: B rows, L positions of a row, S segments of the batch, K target positions of the batch,
D hidden size, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from camembert_bio.model.families import first_position, head_logits
from camembert_bio.model.packed_attention import Segments

MAX_LOGITS = 1 << 28
"""Logits that exist at once in a causal phase, 1 GiB of them in fp32. Above it the head runs in chunks, which the
backward pass computes again: 7 % more operations for camembert-base. Masked positions are too few to need it."""


class PackedLM(torch.nn.Module):
    """An encoder whose forward pass returns the summed loss of a packed batch, masked or causal.

    A sum, not a mean: the caller divides by the number of targets of the whole step, over all ranks
    and micro-batches, so that loss and gradient do not depend on the layout.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self._first_position = first_position(encoder.config)

    def forward(
        self,
        input_ids_BL: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_ids_BL: torch.Tensor,
        target_positions_K: torch.Tensor,
        target_labels_K: torch.Tensor,
        causal: bool = False,
    ) -> torch.Tensor:
        """The sum of the cross-entropies (nats, fp32 scalar) at the target positions.

        `cu_seqlens` is int32 [S + 1]: where each segment, and each row's padding, begins in the
        flattened batch, then B * L. `target_positions_K` are flat indices too. `causal`: a position
        sees itself and those before it in its segment, and no other. With K = 0 the sum is 0 and has
        a gradient of zeros, so that ranks stay in step.
        """
        hidden_KD = self._hidden(input_ids_BL, cu_seqlens, position_ids_BL, target_positions_K, causal)
        # By the batch's shape and not by K: under ZeRO 3 every rank must call the head equally often.
        num_chunks = math.ceil(input_ids_BL.numel() * self.encoder.config.vocab_size / MAX_LOGITS) if causal else 1
        if num_chunks == 1:
            return self._loss(hidden_KD, target_labels_K)
        chunks = zip(hidden_KD.tensor_split(num_chunks), target_labels_K.tensor_split(num_chunks), strict=True)
        losses = [checkpoint(self._loss, hidden, labels, use_reentrant=False) for hidden, labels in chunks]
        return torch.stack(losses).sum()

    def logits(
        self,
        input_ids_BL: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_ids_BL: torch.Tensor,
        positions_K: torch.Tensor,
        causal: bool = False,
    ) -> torch.Tensor:
        """Logits [K, V] at flat positions of a packed batch; the arguments are those of `forward`."""
        return head_logits(self.encoder, self._hidden(input_ids_BL, cu_seqlens, position_ids_BL, positions_K, causal))

    def _hidden(
        self,
        input_ids_BL: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_ids_BL: torch.Tensor,
        positions_K: torch.Tensor,
        causal: bool,
    ) -> torch.Tensor:
        """The encoder's hidden states [K, D] at flat positions."""
        hidden_BLD = self.encoder.base_model(
            input_ids=input_ids_BL,
            position_ids=position_ids_BL + self._first_position,
            segments=Segments(cu_seqlens, causal),
        ).last_hidden_state
        hidden_KD: torch.Tensor = hidden_BLD.flatten(0, 1).index_select(0, positions_K)
        return hidden_KD

    def _loss(self, hidden_KD: torch.Tensor, labels_K: torch.Tensor) -> torch.Tensor:
        """The summed cross-entropy of the head, in fp32 whatever the precision, without a copy of the logits."""
        logits_KV = head_logits(self.encoder, hidden_KD)
        return F.nll_loss(logits_KV.log_softmax(-1, dtype=torch.float32), labels_K, reduction="sum")
