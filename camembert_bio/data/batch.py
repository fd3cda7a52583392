"""One micro-batch: windows read from the shards, masked, as tensors.

Shape letters: B rows, L positions (`seq_length`), K chosen positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

FILLER = -1
"""The window of a row that only keeps a batch's shape: `<s> </s>` and padding, nothing chosen."""


@dataclass(frozen=True)
class Batch:
    """The tensors of a micro-batch."""

    input_ids: torch.Tensor
    """int64 [B, L], corrupted."""
    segment_ids: torch.Tensor
    """int32 [B, L]: 1, 2, ... by segment in each row, 0 on padding."""
    position_ids: torch.Tensor
    """int64 [B, L]: from `pad_id + 1` in each segment, `pad_id` on padding, as RoBERTa counts."""
    masked_positions: torch.Tensor
    """int64 [K], indices into the flattened [B * L], ascending. K may be 0."""
    masked_labels: torch.Tensor
    """int64 [K]: the ids that stood there."""
    num_tokens: int
    """Positions that are not padding, `<s>` and `</s>` counted, fillers not."""

    @property
    def num_masked(self) -> int:
        """K: what this micro-batch adds to the step's number of masked tokens."""
        return len(self.masked_labels)

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device."""
        names = ("input_ids", "segment_ids", "position_ids", "masked_positions", "masked_labels")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


@dataclass(frozen=True)
class Collator:
    """What turns windows into batches: the table, the tokens, the masking."""

    table: WindowTable
    shards: Sequence[Ids]
    """`input_ids` of each shard of the table."""
    vocabulary: Vocabulary
    masking: Masking

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
        """The masked batch of some samples, in their order."""
        ids_BL = self.read(draws.window)
        segments_BL, positions_BL = segments_of(ids_BL, self.vocabulary)
        corrupted_BL, chosen_BL = self.masking.apply(ids_BL, draws.epoch, draws.draw, mlm_probability)
        chosen_K = np.flatnonzero(chosen_BL)
        return Batch(
            input_ids=torch.from_numpy(corrupted_BL),
            segment_ids=torch.from_numpy(segments_BL),
            position_ids=torch.from_numpy(positions_BL),
            masked_positions=torch.from_numpy(chosen_K),
            masked_labels=torch.from_numpy(ids_BL.reshape(-1)[chosen_K]),
            num_tokens=int(np.count_nonzero(segments_BL[draws.window != FILLER])),
        )


def segments_of(input_ids_BL: I64, vocabulary: Vocabulary) -> tuple[npt.NDArray[np.int32], I64]:
    """Segment ids int32 and position ids int64, both [B, L], from the ids alone (see `Batch`).

    `<s>` opens each segment and stands nowhere else, for special ids do not occur in shards.
    """
    begins_BL = input_ids_BL == vocabulary.bos_id
    padding_BL = input_ids_BL == vocabulary.pad_id
    segments_BL = np.cumsum(begins_BL, axis=1, dtype=np.int32)
    segments_BL[padding_BL] = 0
    places = np.arange(input_ids_BL.shape[1], dtype=np.int64)
    positions_BL = places + (vocabulary.pad_id + 1) - np.maximum.accumulate(begins_BL * places, axis=1)
    positions_BL[padding_BL] = vocabulary.pad_id
    return segments_BL, positions_BL
