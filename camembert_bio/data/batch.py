"""One micro-batch: windows read from the shards, their targets chosen, as tensors.

Shape letters: B rows, L positions (`seq_length`), P segments with each row's padding, K target positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from camembert_bio.data.masking import Masking
from camembert_bio.data.order import Draws
from camembert_bio.data.rows import Rows
from camembert_bio.data.windows import WindowTable
from camembert_bio.shards.format import Ids
from camembert_bio.shards.vocabulary import Vocabulary

Objective = Literal["masked", "causal"]
"""What is predicted: the tokens that masking chose, or at each position the one that follows."""


@dataclass(frozen=True)
class Batch:
    """The tensors of a micro-batch."""

    input_ids: torch.Tensor
    """int64 [B, L], corrupted by masking, or as they stand in the shards for the causal objective."""
    segment_ids: torch.Tensor
    """int32 [B, L]: 1, 2, ... by segment in each row, 0 on padding."""
    cu_seqlens: torch.Tensor
    """int32 [P + 1]: where each segment, and each row's padding, begins in the flattened [B * L], then B * L."""
    position_ids: torch.Tensor
    """int64 [B, L]: from 0 in each segment, 0 on padding. A model that counts from elsewhere adds its first."""
    target_positions: torch.Tensor
    """int64 [K], where a token is predicted: indices into the flattened [B * L], ascending. K may be 0."""
    target_labels: torch.Tensor
    """int64 [K]: the ids that stood there, or those that follow for the causal objective."""
    sources: torch.Tensor
    """int64 [B]: each row's source, an index into the `sources` of its loader, -1 of a filler."""
    causal: bool
    """Whether a position may see only itself and those before it, for its label stands after it."""
    num_tokens: int
    """Positions that are not padding, `<s>` and `</s>` counted, fillers not."""

    @property
    def num_targets(self) -> int:
        """K: what this micro-batch adds to the step's number of predicted tokens."""
        return len(self.target_labels)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory of the host, from which `to` copies without being waited for.

        Torch keeps that memory from being used again until the copy is done, also when the batch is gone.
        """
        return replace(self, **{name: getattr(self, name).pin_memory() for name in TENSORS})

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in TENSORS})


TENSORS = ("input_ids", "segment_ids", "cu_seqlens", "position_ids", "target_positions", "target_labels", "sources")
"""The tensors of a `Batch`."""


@dataclass(frozen=True)
class Collator:
    """What turns windows into batches: the table, the tokens, the objective."""

    table: WindowTable
    shards: Sequence[Ids]
    """`input_ids` of each shard of the table."""
    vocabulary: Vocabulary
    masking: Masking | None
    """None for the causal objective."""

    def batches(self, draws: Draws, rows: Rows, size: int, mlm_probability: float) -> list[Batch]:
        """The batches of `size` of some samples and their rows; the causal objective has no use for the probability."""
        ids = rows.read(self.shards, self.vocabulary)
        return [
            self._batch(draws.part(first, size), rows.part(first, size), ids[first : first + size], mlm_probability)
            for first in range(0, len(rows), size)
        ]

    def _batch(self, draws: Draws, rows: Rows, ids_BL: Ids, mlm_probability: float) -> Batch:
        if self.masking is None:
            inputs_BL, targets_K = ids_BL, rows.followed()
            labels_K = ids_BL.reshape(-1)[targets_K + 1]
        else:
            inputs_BL, targets_K = self.masking.apply(ids_BL, draws.epoch, draws.draw, mlm_probability)
            labels_K = ids_BL.reshape(-1)[targets_K]
        return Batch(
            input_ids=torch.from_numpy(inputs_BL.astype(np.int64)),
            segment_ids=torch.from_numpy(rows.segment_ids()),
            cu_seqlens=torch.from_numpy(rows.cu_seqlens()),
            position_ids=torch.from_numpy(rows.position_ids()),
            target_positions=torch.from_numpy(targets_K),
            target_labels=torch.from_numpy(labels_K.astype(np.int64)),
            sources=torch.from_numpy(self.table.source_of(draws.window)),
            causal=self.masking is None,
            num_tokens=rows.num_tokens,
        )
