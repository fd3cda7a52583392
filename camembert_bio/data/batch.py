"""One micro-batch: windows read from the shards, their targets chosen, as tensors.

Shape letters: B rows, L positions (`seq_length`), K target positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from camembert_bio.data.hashing import I64
from camembert_bio.data.masking import Masking
from camembert_bio.data.order import Draws
from camembert_bio.data.packing import NUM_ADDED
from camembert_bio.data.windows import WindowTable
from camembert_bio.shards.format import Ids
from camembert_bio.shards.vocabulary import Vocabulary

Objective = Literal["masked", "causal"]
"""What is predicted: the tokens that masking chose, or at each position the one that follows."""

FILLER = -1
"""The window of a row that only keeps a batch's shape: `<s> </s>` and padding, no target."""


@dataclass(frozen=True)
class Batch:
    """The tensors of a micro-batch."""

    input_ids: torch.Tensor
    """int64 [B, L], corrupted by masking, or as they stand in the shards for the causal objective."""
    segment_ids: torch.Tensor
    """int32 [B, L]: 1, 2, ... by segment in each row, 0 on padding."""
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

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in TENSORS})


TENSORS = ("input_ids", "segment_ids", "position_ids", "target_positions", "target_labels", "sources")
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

    def read(self, windows: I64) -> I64:
        """The ids of windows, before masking: [B, L]."""
        table, vocabulary = self.table, self.vocabulary
        rows = np.full((len(windows), table.seq_length), vocabulary.pad_id, dtype=np.int64)
        rows[windows == FILLER, :2] = vocabulary.bos_id, vocabulary.eos_id
        first = table.offsets[windows]
        counts = np.where(windows == FILLER, 0, table.offsets[windows + 1] - first)
        row = np.repeat(np.arange(len(windows)), counts)
        head = (np.cumsum(counts) - counts)[row]  # the first segment of the same row
        segments = first[row] + np.arange(len(row)) - head
        length = table.length[segments].astype(np.int64)
        place = np.cumsum(length + NUM_ADDED) - length - NUM_ADDED
        place += row * table.seq_length - place[head]
        flat = rows.reshape(-1)
        flat[place] = vocabulary.bos_id
        flat[place + length + 1] = vocabulary.eos_id
        copies = np.stack([table.shard[windows][row], table.start[segments], place + 1, length], axis=1)
        for shard, start, target, size in copies.tolist():
            flat[target : target + size] = self.shards[shard][start : start + size]
        return rows

    def batch(self, draws: Draws, mlm_probability: float) -> Batch:
        """The batch of some samples, in their order; `mlm_probability` says nothing to the causal objective."""
        ids_BL = self.read(draws.window)
        segments_BL, positions_BL = segments_of(ids_BL, self.vocabulary)
        real_B = draws.window != FILLER
        if self.masking is None:
            inputs_BL, targets_K = ids_BL, _followed(segments_BL, real_B)
            labels_K = ids_BL.reshape(-1)[targets_K + 1]
        else:
            inputs_BL, chosen_BL = self.masking.apply(ids_BL, draws.epoch, draws.draw, mlm_probability)
            targets_K = np.flatnonzero(chosen_BL)
            labels_K = ids_BL.reshape(-1)[targets_K]
        return Batch(
            input_ids=torch.from_numpy(inputs_BL),
            segment_ids=torch.from_numpy(segments_BL),
            position_ids=torch.from_numpy(positions_BL),
            target_positions=torch.from_numpy(targets_K),
            target_labels=torch.from_numpy(labels_K),
            sources=torch.from_numpy(self.table.source_of(draws.window)),
            causal=self.masking is None,
            num_tokens=int(np.count_nonzero(segments_BL[real_B])),
        )


def _followed(segments_BL: npt.NDArray[np.int32], real_B: npt.NDArray[np.bool_]) -> I64:
    """Flat positions [K] whose next position is in the same segment, those of fillers left out."""
    followed_BL = np.zeros(segments_BL.shape, dtype=bool)
    followed_BL[:, :-1] = (segments_BL[:, :-1] == segments_BL[:, 1:]) & (segments_BL[:, :-1] > 0) & real_B[:, None]
    return np.flatnonzero(followed_BL)


def segments_of(input_ids_BL: I64, vocabulary: Vocabulary) -> tuple[npt.NDArray[np.int32], I64]:
    """Segment ids int32 and position ids int64, both [B, L], from the ids alone (see `Batch`).

    `<s>` opens each segment and stands nowhere else, for special ids do not occur in shards.
    """
    begins_BL = input_ids_BL == vocabulary.bos_id
    padding_BL = input_ids_BL == vocabulary.pad_id
    segments_BL = np.cumsum(begins_BL, axis=1, dtype=np.int32)
    segments_BL[padding_BL] = 0
    places = np.arange(input_ids_BL.shape[1], dtype=np.int64)
    positions_BL = places - np.maximum.accumulate(begins_BL * places, axis=1)
    positions_BL[padding_BL] = 0
    return segments_BL, positions_BL
