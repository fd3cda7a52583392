"""Near-duplicate documents by MinHash and locality-sensitive hashing (Broder 1997; Indyk & Motwani 1998).

    5-gram hashes → signatures → bands → per bucket: candidates → similar pairs → documents to drop

The bands of all documents are partitioned into buckets (`partitions`), so that only one bucket and the
pairs found need memory. The signatures (512 bytes a document) may be a memory-mapped array.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import rensa

from camembert_bio.corpus.ngrams import Grams, Hashes, mix

# Read when rensa first computes. Workers are processes: threads of its own would compete with them, and a process
# forked after its pool of threads has started waits for them for ever (rensa 0.5.0, tried).
os.environ.setdefault("RAYON_NUM_THREADS", "1")

Values = npt.NDArray[np.uint32]
Documents = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]


class Signatures(Protocol):
    """The signatures of all documents: an array, or what reads them from the disk."""

    def __getitem__(self, documents: Documents) -> Values:
        """Those of some documents, uint32 [N, NUM_VALUES]."""


SHINGLE_WORDS = 5
NUM_VALUES = 128
"""Values of a signature: the similarity of two is known to ±0.035 (one standard error at 0.8)."""
_SEED = 0
_RECALL = 0.99
_VERIFIED_PAIRS = 1 << 14


def signatures(grams: Grams) -> Values:
    """The MinHash signature of each document's n-grams, uint32 [D, NUM_VALUES]; about 11 nanoseconds an n-gram.

    Two values at one place are equal with a probability that is the Jaccard similarity of the documents' n-grams.
    """
    offsets = grams.offsets.astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(grams.hashes, offsets, NUM_VALUES, _SEED)
    return np.array(matrix.to_rows(), np.uint32).reshape(-1, NUM_VALUES)


def rows_per_band(threshold: float) -> int:
    """The most rows with which a pair of this similarity shares a band with a probability of 0.99 or more.

    With b bands of r rows it is 1 - (1 - threshold^r)^b: 6 rows and 21 bands at 0.8.
    """
    return max(
        rows for rows in range(1, NUM_VALUES + 1) if 1 - (1 - threshold**rows) ** (NUM_VALUES // rows) >= _RECALL
    )


def bands(signatures: Values, grams: Grams, rows: int) -> Hashes:
    """The hash of each band of each signature, uint64 [D, NUM_VALUES // rows].

    A document without n-grams has zeros, which `partitions.partition` leaves out.
    """
    num_bands = NUM_VALUES // rows
    values = signatures[:, : num_bands * rows].reshape(-1, num_bands, rows)
    hashed = np.broadcast_to(np.arange(1, num_bands + 1, dtype=np.uint64), values.shape[:2]).copy()
    for row in range(rows):
        hashed = mix(hashed + values[:, :, row])
    hashed[np.diff(grams.offsets) == 0] = 0
    return hashed


def candidates(hashes: Hashes, documents: Documents) -> Pairs:
    """The pairs (earlier, later) of documents worth comparing in one bucket of band hashes, int64 [P, 2], each once.

    `documents` are the rows' numbers in the corpus, in any order. Each document is paired with the first and the last
    before it that share the band's hash, so that pairs grow with documents and not with their square.
    Memory: 50 bytes a row of the bucket and 80 a pair.
    """
    order = np.lexsort((documents, hashes))
    ordered, numbers = hashes[order], documents[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(order) else order
    first = np.repeat(starts, np.diff(starts, append=len(order)))
    place = np.arange(len(order))
    second, third = np.flatnonzero(place > first), np.flatnonzero(place > first + 1)
    earlier = np.concatenate((numbers[first[second]], numbers[third - 1]))
    later = np.concatenate((numbers[second], numbers[third]))
    return merged([np.stack((earlier, later), axis=1)[earlier != later]])


def merged(pairs: Iterable[Pairs]) -> Pairs:
    """The pairs of several buckets, each once, sorted."""
    together = np.concatenate((np.empty((0, 2), np.int64), *pairs))
    together = together[np.lexsort((together[:, 1], together[:, 0]))]
    is_new = np.ones(len(together), bool)
    is_new[1:] = np.any(together[1:] != together[:-1], axis=1)
    return together[is_new]


def similar(pairs: Pairs, signatures: Signatures, threshold: float) -> Pairs:
    """The pairs whose signatures agree in at least this share of places; `signatures[d]` are those of documents d."""
    kept = [np.empty((0, 2), np.int64)]
    for begin in range(0, len(pairs), _VERIFIED_PAIRS):
        some = pairs[begin : begin + _VERIFIED_PAIRS]
        agreement = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        kept.append(some[agreement >= threshold])
    return np.concatenate(kept)


def drop(pairs: Pairs) -> tuple[Documents, Documents]:
    """The documents to drop, ascending, and the one that stays of each: the earliest of those linked by similar pairs,
    directly or not.

    Of 4,304 dropped from biomed-raw-fr 14 % are similar to the one that stays only by way of others (0.64 or more).
    Memory: about 240 bytes a document that has a similar one.
    """
    parents: dict[int, int] = {}

    def root(document: int) -> int:
        while (parent := parents.setdefault(document, document)) != document:
            parents[document] = parents[parent]
            document = parent
        return document

    for one, other in pairs.tolist():
        first, second = sorted((root(one), root(other)))
        parents[second] = first
    dropped = sorted(document for document in parents if root(document) != document)
    return np.array(dropped, np.int64), np.array([root(document) for document in dropped], np.int64)
