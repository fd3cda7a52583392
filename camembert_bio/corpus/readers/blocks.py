"""Blocks: runs of consecutive records whose raw size reaches 4 MB, the unit in which workers share a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from camembert_bio.corpus.readers.record import Block, Item

BLOCK_BYTES = 4 << 20
"""Long enough that its overhead is nothing, short enough that hundreds of workers share a source evenly."""

Wanted = Callable[[int], bool]


class Blocks:
    """Numbers the blocks of a source from 0 and collects what the wanted ones hold.

    The cut is a function of the records' raw sizes alone: every worker finds the same blocks.
    """

    def __init__(self, wanted: Wanted | None) -> None:
        self._wanted = wanted
        self._number = 0
        self._size = 0
        self._begin()

    @property
    def room(self) -> int:
        """Bytes until the current block is full, at least 1."""
        return BLOCK_BYTES - self._size

    def add(self, num_bytes: int) -> Iterator[Block]:
        """Count what was read, or skipped; yields the block when that filled it and it is wanted."""
        self._size += num_bytes
        if self._size >= BLOCK_BYTES:
            yield from self.finish()

    def finish(self) -> Iterator[Block]:
        """Yield the current block if it is wanted and was begun, and begin the next."""
        if not self._size:
            return
        done = (self._number, self.items) if self.is_wanted else None
        self._number += 1
        self._size = 0
        self._begin()
        if done:
            yield done

    def _begin(self) -> None:
        self.items: list[Item] = []
        self.is_wanted = self._wanted is None or self._wanted(self._number)
