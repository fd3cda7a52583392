"""Windows laid out as rows of positions, and their ids read into place.

Shape letters: B rows, L positions of a row (`seq_length`), S segments of all rows, P pieces: each row's segments,
then its padding, which may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camembert_bio.data.hashing import I64
from camembert_bio.data.tokens import Tokens
from camembert_bio.data.windows import I32, WindowTable
from camembert_bio.shards.format import Ids
from camembert_bio.shards.packing import NUM_ADDED
from camembert_bio.shards.vocabulary import Vocabulary

FILLER = -1
"""The window of a row that only keeps a batch's shape: `<s> </s>` and padding."""


@dataclass(frozen=True)
class Rows:
    """Which segments stand where in the rows of some windows."""

    seq_length: int
    shard: I32
    """[S]: index of the shard that a segment is read from."""
    start: I32
    """[S]: where it begins in its shard."""
    length: I32
    """[S]: its tokens, without `<s>` and `</s>`."""
    place: I64
    """[S]: where its `<s>` stands in the flattened [B * L]."""
    number: I32
    """[P]: 1, 2, ... of a segment in its row, 0 of padding."""
    bounds: I64
    """[P + 1]: piece p stands at `bounds[p]` to `bounds[p + 1]` of the flattened [B * L]."""
    pieces: I64
    """[B + 1]: the pieces of row b are `pieces[b]` to `pieces[b + 1]`."""

    def __len__(self) -> int:
        return len(self.pieces) - 1

    def part(self, first: int, count: int) -> Rows:
        """Some rows, one after the other, as if they alone had been laid out."""
        pieces = self.pieces[first : first + count + 1]
        start, stop = int(pieces[0]), int(pieces[-1])
        segments = slice(start - first, stop - first - count)  # each row has one piece more than segments
        before = first * self.seq_length
        return Rows(
            seq_length=self.seq_length,
            shard=self.shard[segments],
            start=self.start[segments],
            length=self.length[segments],
            place=self.place[segments] - before,
            number=self.number[start:stop],
            bounds=self.bounds[start : stop + 1] - before,
            pieces=pieces - start,
        )

    def segment_ids(self) -> I32:
        """Each position's segment, numbered from 1 in its row, 0 on padding: [B, L]."""
        return np.repeat(self.number, np.diff(self.bounds)).reshape(len(self), self.seq_length)

    def position_ids(self) -> I64:
        """Each position's place in its segment, from 0, and 0 on padding: [B, L]."""
        bounds = self.bounds.astype(np.int32)  # half the memory to write
        sizes = np.diff(bounds)
        places = np.arange(bounds[-1], dtype=np.int32)
        places -= np.repeat(bounds[:-1], sizes)
        places *= np.repeat(self.number > 0, sizes)
        return places.astype(np.int64).reshape(len(self), self.seq_length)

    def tokens(self) -> I64:
        """Each row's positions that are in segments, `<s>` and `</s>` counted, 0 of a filler: [B]."""
        in_row = self.pieces[:-1] - np.arange(len(self))  # each row has one piece more than segments
        tokens: I64 = np.add.reduceat(np.where(self.length > 0, self.length + NUM_ADDED, 0), in_row, dtype=np.int64)
        return tokens

    def followed(self) -> I64:
        """Positions of the flattened [B * L] whose next one is in the same segment, those of fillers left out."""
        counts = np.where(self.length > 0, self.length + 1, 0).astype(np.int64)
        places: I64 = np.arange(counts.sum()) + np.repeat(self.place - (np.cumsum(counts) - counts), counts)
        return places

    def cu_seqlens(self) -> I32:
        """Where the pieces that are not empty begin, and where the last one ends."""
        begins: I64 = self.bounds[np.append(True, self.bounds[1:] > self.bounds[:-1])]
        return begins.astype(np.int32)

    def read(self, shards: Tokens, vocabulary: Vocabulary) -> Ids:
        """The ids, in the shards' type: [B, L]."""
        numbers = self.shard.tolist()
        views = {number: shards[number].data for number in set(numbers)}
        flat = np.full(len(self) * self.seq_length, vocabulary.pad_id, shards[numbers[0]].dtype)
        flat[self.place] = vocabulary.bos_id
        flat[self.place + self.length + 1] = vocabulary.eos_id
        into = flat.data  # a copy from view to view costs half of one from array to array
        bounds = (self.place + 1, self.place + 1 + self.length, self.start, self.start + self.length)
        for number, begin, end, start, stop in zip(numbers, *(bound.tolist() for bound in bounds), strict=True):
            into[begin:end] = views[number][start:stop]
        return flat.reshape(len(self), self.seq_length)


def lay_out(table: WindowTable, windows: I64) -> Rows:
    """The rows of some windows; a filler is a segment without tokens."""
    filler = windows == FILLER
    first = table.offsets[windows]
    counts = np.where(filler, 1, table.offsets[windows + 1] - first)
    ends = np.cumsum(counts)
    row = np.repeat(np.arange(len(windows)), counts)
    in_row = np.arange(len(row)) - (ends - counts)[row]
    segments = np.where(filler[row], 0, first[row] + in_row)
    length = np.where(filler[row], 0, table.length[segments]).astype(np.int32)
    piece = np.arange(len(row)) + row
    pieces = np.concatenate([[0], ends + np.arange(1, len(windows) + 1)])
    number = np.zeros(pieces[-1], np.int32)
    number[piece] = in_row + 1
    sizes = np.zeros(pieces[-1], np.int32)
    sizes[piece] = length + NUM_ADDED
    sizes[pieces[1:] - 1] = table.seq_length - np.add.reduceat(sizes, pieces[:-1])
    bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return Rows(
        seq_length=table.seq_length,
        shard=table.shard[windows][row],
        start=table.start[segments],
        length=length,
        place=bounds[piece],
        number=number,
        bounds=bounds,
        pieces=pieces,
    )
