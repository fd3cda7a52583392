"""The tokens of a split's shards by number: mapped in place, or fetched when they are read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from tqdm import tqdm

from camembert_bio import log
from camembert_bio.shards.ahead import Ahead
from camembert_bio.shards.format import Ids, Shard
from camembert_bio.shards.manifest import Corpus, ShardEntry

T = TypeVar("T")


class Tokens(Protocol):
    """The `input_ids` of shards by number: a list of arrays is one."""

    def __getitem__(self, number: int, /) -> Ids:
        """The tokens of one shard, no copy."""


class FetchedTokens:
    """Shards of a corpus at an address, opened when they are read. Any number of threads may read.

    What is open stays in the node's cache; `want` says what may be.
    """

    def __init__(self, corpus: Corpus, entries: Sequence[ShardEntry]) -> None:
        assert corpus.cache is not None, "shards in a folder are mapped in place"
        self._corpus = corpus
        self._entries = entries
        self._ahead = Ahead(corpus.cache)
        self._wanted: tuple[Sequence[int], Sequence[int]] = ((), ())
        self._now: frozenset[int] = frozenset()
        self._in_order: list[ShardEntry] = []
        self._lock = threading.Lock()
        self._open: dict[int, Shard] = {}

    def __getitem__(self, number: int, /) -> Ids:
        """The tokens of one shard; raises what `Corpus.open` raises."""
        with self._lock:
            if number not in self._open:
                self._open[number] = self._corpus.open(self._entries[number])
            return self._open[number].input_ids

    def want(self, now: Sequence[int], then: Sequence[int]) -> None:
        """Close all shards but those of `now`, and fetch these, then those of `then`, in a thread."""
        with self._lock:
            if self._wanted != (now, then):
                self._wanted, self._now = (now, then), frozenset(now)
                self._in_order = [self._entries[number] for number in dict.fromkeys((*now, *then))]
            for number in self._open.keys() - self._now:
                del self._open[number]
            in_order = self._in_order
        self._ahead.want(in_order)


def open_tokens(corpus: Corpus, entries: Sequence[ShardEntry]) -> Tokens:
    """The tokens of shards, which stay mapped where they are, or are fetched when they are read."""
    if corpus.cache:
        return FetchedTokens(corpus, entries)
    return [corpus.open(entry).input_ids for entry in entries]


def in_turn(corpus: Corpus, entries: Sequence[ShardEntry], read: Callable[[Shard], T]) -> Iterator[T]:
    """What `read` makes of each shard, one open at a time and the next ones fetched meanwhile, where there is room."""
    ahead = Ahead(corpus.cache) if corpus.cache else None
    bar = tqdm(entries, "shards", unit="shard", leave=False, disable=ahead is None or not log.terminal())
    for place, entry in enumerate(bar):
        shard = corpus.open(entry)
        if ahead:
            ahead.want(entries[place + 1 : place + 3])
        made = read(shard)
        del shard  # closed before the next one needs its room
        yield made
