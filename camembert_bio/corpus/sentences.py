"""Sentence deduplication: of sentences that are equal up to case and white space the first k stay.

    split → hash → partition into buckets → per bucket: all but the first k occurrences → rebuild the texts

A hash is 8 bytes (XXH3). Among n distinct sentences n² / 2^65 pairs collide by chance: none expected below
a billion distinct sentences, about one at seven billion (100 billion words).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from camembert_bio.corpus.partitions import NEVER

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

# One class of characters first: `re` then skips to its members, three times faster than alternatives.
_END = re.compile(
    r"""[.!?…\n·•▪●](?:
        (?<=[.!?…])(?:\ ?[»”"\)\]])*\s+(?=[^\sa-zà-öø-ÿœ])  # a sentence ends, and no lower case follows
      | (?<=\s[·•▪●])(?=\s)                                 # an item of a list begins
      | (?<=\n)\s*                                          # a line ends
    )""",
    re.VERBOSE,
)
_BULLETS = "·•▪●"
_NUMBER = re.compile(r"\d{1,2}(?:\.\d{1,2})*")


def split(text: str) -> list[str]:
    """The sentences of a text, each with the white space behind it: joined they are the text.

    Cuts stand behind sentence ends and newlines, before ` · ` bullets and before numbered titles
    (`2. QUELLES SONT`); a number that opens a sentence stays with it. About 40 MB per CPU-second.
    """
    sentences = []
    begin = 0
    for mark in _END.finditer(text):
        start, end = mark.span()
        if text[start] in _BULLETS:
            end = start
        elif text[start] == "." and text[start - 1 : start].isdigit():
            end = _around_number(text, begin, start, end)
        if end > begin:
            sentences.append(text[begin:end])
            begin = end
    if begin < len(text):
        sentences.append(text[begin:])
    return sentences


def _around_number(text: str, begin: int, stop: int, end: int) -> int:
    """Where to cut at the full stop that follows a digit: `end`, before the number of a title, or `begin` (nowhere)."""
    first = max(text.rfind(" ", begin, stop) + 1, begin)
    if not _NUMBER.fullmatch(text, first, stop):
        return end
    if first == begin:
        return begin
    return first if text[end : end + 2].isupper() and text[end : end + 2].isalpha() else end


def hashes(texts: Sequence[str], min_words: int) -> tuple[Hashes, Offsets]:
    """The hashes of the sentences of some clean texts, uint64 [S], and where each text's begin, int64 [D + 1].

    Case and the white space around a sentence do not count; digits and punctuation do. A sentence of fewer
    than `min_words` words has the hash `partitions.NEVER`. About 20 MB of text per CPU-second, the splitting included.
    """
    flat: list[int] = []
    offsets = [0]
    for text in texts:
        flat += [_hash(sentence.strip(), min_words) for sentence in split(text)]
        offsets.append(len(flat))
    return np.array(flat, np.uint64), np.array(offsets, np.int64)


def all_hashes(texts: Sequence[str], min_words: int) -> tuple[Hashes, Hashes, Offsets]:
    """The hashes of all sentences however short, uint64 [S], and what `hashes` gives."""
    flat: list[int] = []
    lengths: list[int] = []
    offsets = [0]
    for text in texts:
        sentences = [sentence.strip() for sentence in split(text)]
        flat += [_hash(sentence, 1) for sentence in sentences]
        lengths += [sentence.count(" ") + 1 for sentence in sentences]
        offsets.append(len(flat))
    every = np.array(flat, np.uint64)
    long = np.where(np.array(lengths, np.int64) >= min_words, every, np.uint64(NEVER))
    return every, long, np.array(offsets, np.int64)


def _hash(sentence: str, min_words: int) -> int:
    if sentence.count(" ") + 1 < min_words:
        return NEVER
    return xxhash.xxh3_64_intdigest(sentence.lower().encode())


class Occurrences:
    """Finds, bucket by bucket, every occurrence beyond the first `keep` in the corpus' order.

    Neither the buckets' number nor their order nor the order of rows in a bucket changes the result.
    Memory: 40 bytes a row of the bucket besides its 16.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.frequencies: Counter[int] = Counter()
        """How many distinct sentences occur once, twice, ...; those of several workers add up."""

    def beyond(self, hashes: Hashes, positions: Hashes) -> Hashes:
        """The positions to drop, ascending, of a bucket's rows: hashes and positions in the corpus, uint64 [N] each."""
        if not len(hashes):
            return positions
        order = np.lexsort((positions, hashes))
        ordered = hashes[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        lengths = np.diff(starts, append=len(ordered))
        values, counts = np.unique(lengths, return_counts=True)
        self.frequencies.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        rank = np.arange(len(ordered)) - np.repeat(starts, lengths)
        return np.sort(positions[order[rank >= self.keep]])


def without(sentences: Sequence[str], dropped: Collection[int]) -> str:
    """A text, as `split` gives it, without the sentences of these numbers; a clean text stays clean, and may be empty.

    Where sentences go the widest gap between their neighbours stays: a new line remains a new line.
    """
    kept: list[str] = []
    for number, sentence in enumerate(sentences):
        if number not in dropped:
            kept.append(sentence)
        elif kept:
            kept[-1] = _with_gap(kept[-1], sentence)
    return "".join(kept).strip()


def _with_gap(kept: str, dropped: str) -> str:
    words = dropped.rstrip()
    gap = dropped[len(words) :]
    bare = kept.rstrip()
    return bare + gap if gap.count("\n") > kept.count("\n", len(bare)) else kept
