"""One micro-batch: windows read from the shards, their targets chosen, as tensors.

Shape letters: B rows, L positions (`seq_length`), P segments with each row's padding, K target positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from camembert_bio.data.masking import Masking
from camembert_bio.data.order import Draws
from camembert_bio.data.rows import Rows
from camembert_bio.data.tokens import Tokens
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


_POSITIONS_AT_ONCE = 16_384
"""Positions masked at once: numpy's calls cost 0.2 ms whatever their size, and larger arrays leave the caches.
Of 256 rows of 512 in batches of 8, 16,384 take half the time of 4,096."""


@dataclass(frozen=True)
class Collator:
    """What turns windows into batches: the table, the tokens, the objective."""

    table: WindowTable
    shards: Tokens
    """`input_ids` of each shard of the table."""
    vocabulary: Vocabulary
    masking: Masking | None
    """None for the causal objective."""

    def batches(self, draws: Draws, rows: Rows, size: int, mlm_probability: float) -> list[Batch]:
        """The batches of `size` of some samples and their rows; the causal objective has no use for the probability."""
        ids = rows.read(self.shards, self.vocabulary)
        at_once = size * max(1, _POSITIONS_AT_ONCE // (size * rows.seq_length))
        parts = [(first, min(at_once, len(rows) - first)) for first in range(0, len(rows), at_once)]
        return [
            batch
            for first, count in parts
            for batch in self._batches(
                draws.part(first, count), rows.part(first, count), ids[first : first + count], size, mlm_probability
            )
        ]

    def _batches(self, draws: Draws, rows: Rows, ids_BL: Ids, size: int, mlm_probability: float) -> list[Batch]:
        """What is made at once of some batches is views of the same arrays."""
        if self.masking is None:
            inputs_BL, targets_K = ids_BL, rows.followed()
            labels_K = ids_BL.reshape(-1)[targets_K + 1]
        else:
            inputs_BL, targets_K = self.masking.apply(ids_BL, draws.epoch, draws.draw, mlm_probability)
            labels_K = ids_BL.reshape(-1)[targets_K]
        inputs_BL, labels_K = inputs_BL.astype(np.int64), labels_K.astype(np.int64)
        segments_BL, positions_BL, bounds_P = rows.segment_ids(), rows.position_ids(), rows.cu_seqlens()
        sources_B, tokens_B = self.table.source_of(draws.window), rows.tokens()
        edges = np.arange(0, ids_BL.size + 1, size * rows.seq_length)
        of_targets, of_bounds = np.searchsorted(targets_K, edges).tolist(), np.searchsorted(bounds_P, edges).tolist()
        batches = []
        for number, edge in enumerate(edges[:-1].tolist()):
            own = slice(number * size, (number + 1) * size)
            targets = slice(of_targets[number], of_targets[number + 1])
            bounds = bounds_P[of_bounds[number] : of_bounds[number + 1] + 1]
            batches.append(
                Batch(
                    input_ids=torch.from_numpy(inputs_BL[own]),
                    segment_ids=torch.from_numpy(segments_BL[own]),
                    cu_seqlens=torch.from_numpy(bounds - bounds[0]),
                    position_ids=torch.from_numpy(positions_BL[own]),
                    target_positions=torch.from_numpy(targets_K[targets] - edge),
                    target_labels=torch.from_numpy(labels_K[targets]),
                    sources=torch.from_numpy(sources_B[own]),
                    causal=self.masking is None,
                    num_tokens=int(tokens_B[own].sum()),
                )
            )
        return batches
