"""One shard's documents cut into segments and packed into windows.

The policy:

- A document is cut only when it is longer than a window, or when a window would otherwise stay
  more than a sixteenth empty. A cut falls at the last sentence end within the last 1/28 of the
  room, else between words, inside a word only when the word exceeds the window. No cut leaves
  less than a sixteenth of a window on either side, save where words are that long.
- Full segments take a window at once. Shorter ones wait in a pool of at most `_LOOK_AHEAD`: the
  one that waited longest opens a window, the longest that fit fill it (best fit).

A segment is (start, length) in the shard's `input_ids`; in a window it stands as `<s> ids </s>`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator

from camembert_bio.shards import words
from camembert_bio.shards.format import Shard

POLICY = 1
"""Version of the policy: a change of the policy changes this number, and with it the cached tables."""

REFERENCE_LENGTH = 512
"""CamemBERT's window: the length for which a corpus' report tells the fill."""

NUM_ADDED = 2
"""Positions that `<s>` and `</s>` add to each segment."""

_LOOK_AHEAD = 1024
_SLICE = 1 << 20  # tokens: `take` makes eight bytes of each
# On 47.8 M tokens of drug leaflets at 512: 1/32 fills 99.3 % and cuts 42 % at a sentence end, 1/28
# 99.1 % and 48 %, 1/24 98.9 % and 53 %, 1/16 98.3 % and 66 %.
_NEAR = 28
_SMALLEST = 16

Segment = tuple[int, int]


def pack(shard: Shard, kinds: words.Kinds, seq_length: int) -> Iterator[list[Segment]]:
    """The windows of a shard, each a list of segments whose lengths with `<s>` and `</s>` fit `seq_length`.

    Every token of every document stands in exactly one segment.
    """
    room = seq_length - NUM_ADDED
    packer = _Packer(shard, kinds, room)
    offsets = shard.offsets.tolist()
    for start, end in itertools.pairwise(offsets):
        while end - start > room:
            length = packer.cut(start, end - start, room)
            yield packer.fill((start, length))
            start += length  # noqa: PLW2901 (the document's rest)
        if end > start:
            packer.pool.push(start, end - start)
        while len(packer.pool) > _LOOK_AHEAD:
            yield packer.fill(packer.pool.pop_oldest())
    while len(packer.pool):
        yield packer.fill(packer.pool.pop_oldest())


class _Packer:
    """Finds cuts in one shard, and fills windows from the pool."""

    def __init__(self, shard: Shard, kinds: words.Kinds, room: int) -> None:
        # Bytes of 0 and 1: rfind scans them at the speed of memory.
        self._words, self._sentences = bytearray(), bytearray()
        for begin in range(0, len(shard.input_ids), _SLICE):
            before = min(begin, 1)  # whether a word begins depends on the piece before
            some = kinds.take(shard.input_ids[begin - before : begin + _SLICE])
            self._words += words.word_starts(some)[before:].tobytes()
            self._sentences += words.sentence_starts(some)[before:].tobytes()
        self._near = room // _NEAR
        self._smallest = max(1, room // _SMALLEST)
        self._room = room
        self.pool = _Pool(room)

    def fill(self, first: Segment) -> list[Segment]:
        """A window that opens with a segment, filled from the pool as far as it goes."""
        window = [first]
        free = self._room - first[1] - NUM_ADDED
        while free > 0:
            segment = self.pool.pop_fitting(free) or self._cut_to_fit(free)
            if segment is None:
                break
            window.append(segment)
            free -= segment[1] + NUM_ADDED
        return window

    def cut(self, start: int, length: int, room: int) -> int:
        """Tokens of the first segment of a document's rest that is longer than the room."""
        kept = self._cut_between_words(start, min(room, length - self._smallest))
        if not kept:
            kept = self._cut_between_words(start, room)
        return kept or room

    def _cut_to_fit(self, free: int) -> Segment | None:
        """The beginning of the longest segment in the pool, cut to fit; its rest goes back."""
        start, length = self.pool.longest()
        limit = min(free, length - self._smallest)
        if limit < self._smallest:
            return None
        kept = self._cut_between_words(start, limit)
        if kept < self._smallest:
            return None
        self.pool.pop_fitting(length)
        self.pool.push(start + kept, length - kept)
        return start, kept

    def _cut_between_words(self, start: int, limit: int) -> int:
        """The most tokens from `start`, at most `limit`, that end a sentence near it, else a word; 0 if none do."""
        stop = self._sentences.rfind(b"\1", start + max(1, limit - self._near), start + limit + 1)
        if stop < 0:
            stop = self._words.rfind(b"\1", start + 1, start + limit + 1)
        return max(0, stop - start)


class _Pool:
    """Segments that wait for a window, found by age and by length, each in constant time."""

    def __init__(self, room: int) -> None:
        self._by_length: list[deque[int]] = [deque() for _ in range(room + 1)]
        self._lengths = 0  # bit n is set when a segment of length n waits
        self._by_age: deque[Segment] = deque()
        self._gone: set[int] = set()  # starts that left by length and still stand in the queue by age

    def __len__(self) -> int:
        return len(self._by_age) - len(self._gone)

    def longest(self) -> Segment:
        """The longest segment, the one that `pop_fitting` of its length returns; (0, 0) when none waits."""
        length = self._lengths.bit_length() - 1
        return (self._by_length[length][0], length) if length > 0 else (0, 0)

    def push(self, start: int, length: int) -> None:
        self._by_length[length].append(start)
        self._lengths |= 1 << length
        self._by_age.append((start, length))

    def pop_oldest(self) -> Segment:
        while (oldest := self._by_age.popleft())[0] in self._gone:
            self._gone.remove(oldest[0])
        self._take(oldest[1])  # the oldest of all is the oldest of its length
        return oldest

    def pop_fitting(self, limit: int) -> Segment | None:
        """The longest segment of at most `limit` tokens."""
        length = (self._lengths & ((2 << limit) - 1)).bit_length() - 1
        if length <= 0:
            return None
        start = self._take(length)
        self._gone.add(start)
        return start, length

    def _take(self, length: int) -> int:
        start = self._by_length[length].popleft()
        if not self._by_length[length]:
            self._lengths ^= 1 << length
        return start
