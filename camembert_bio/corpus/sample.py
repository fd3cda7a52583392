"""Bounded samples of texts, the same whatever the order in which documents come."""

from __future__ import annotations

import hashlib
import heapq

_SENTENCE_ENDS = (". ", "! ", "? ", "… ", "; ")
_MAX_CHARACTERS = 4000


LANGUAGE_SAMPLE = 20
"""Of so many documents the language of one is looked at, where the recipe does not ask for all: in a corpus of short
texts in another language than French all would cost as much as the whole build, one in 20 a twentieth of that."""


def is_drawn(key: bytes) -> bool:
    """Whether a document under this digest is of the sample, the same whoever reads it."""
    return int.from_bytes(key[-4:], "big") % LANGUAGE_SAMPLE == 0


class SentenceSample:
    """The distinct sentences with the smallest hashes, `limit_bytes` of UTF-8 in all.

    Distinct, because templated text (drug leaflets) repeats itself: 10 MB of it drawn with repetition do not
    yield 32,000 pieces. Memory: about 2.5 times `limit_bytes`.
    """

    def __init__(self, limit_bytes: int, seed: int) -> None:
        self._limit_bytes = limit_bytes
        self._salt = seed.to_bytes(16, "big", signed=True)
        self._heap: list[tuple[int, bytes]] = []
        self._hashes: set[bytes] = set()
        self._bytes = 0
        self._bound = b"\xff" * 9

    def add(self, text: str) -> None:
        """Offer the sentences of one clean text."""
        for end in _SENTENCE_ENDS:
            text = text.replace(end, f"{end[0]}\n")
        for sentence in filter(None, text.split("\n")):
            pieces = [sentence] if len(sentence) <= _MAX_CHARACTERS else _cut(sentence)
            for piece in pieces:
                data = piece.encode()
                hashed = hashlib.blake2b(data, digest_size=8, salt=self._salt).digest()
                if hashed < self._bound and hashed not in self._hashes:
                    self._keep(hashed, data)

    def sentences(self) -> list[str]:
        """The sample, in the order of the hashes."""
        return [data.decode() for _, data in sorted(self._heap, reverse=True)]

    def _keep(self, hashed: bytes, data: bytes) -> None:
        """Take a sentence in, and let those with the largest hashes go until the limit holds."""
        self._hashes.add(hashed)
        heapq.heappush(self._heap, (-int.from_bytes(hashed, "big"), data))
        self._bytes += len(data)
        while self._bytes > self._limit_bytes and len(self._heap) > 1:
            largest, dropped = heapq.heappop(self._heap)
            self._bound = (-largest).to_bytes(8, "big")
            self._hashes.discard(self._bound)
            self._bytes -= len(dropped)


def _cut(sentence: str) -> list[str]:
    return [sentence[start : start + _MAX_CHARACTERS] for start in range(0, len(sentence), _MAX_CHARACTERS)]


class TextSample:
    """The beginnings of the `limit` texts with the smallest hashes: what tokenizers are compared on."""

    def __init__(self, limit: int = 256, num_characters: int = 2000) -> None:
        self._limit = limit
        self._num_characters = num_characters
        self._heap: list[tuple[int, str]] = []

    def takes(self, key: bytes) -> bool:
        """Whether a text under this hash would come in now."""
        return len(self._heap) < self._limit or -int.from_bytes(key, "big") > self._heap[0][0]

    def add(self, key: bytes, text: str) -> None:
        """Offer one text under its hash."""
        entry = (-int.from_bytes(key, "big"), text[: self._num_characters])
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def texts(self) -> list[str]:
        """The sample, in the order of the hashes."""
        return [text for _, text in sorted(self._heap, reverse=True)]
