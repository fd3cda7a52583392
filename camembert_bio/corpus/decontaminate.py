"""Decontamination: which evaluation documents stand in the corpus, by containment of word n-grams.

    evaluation texts → Index;  corpus texts → n-grams → hits → what is found, and which corpus documents to drop

Contained is the share of an evaluation document's distinct n-grams that are found: in one corpus document
where it decides what to drop, in the whole corpus where it is reported. A document of fewer than n words
has one n-gram, its whole text, which only an equal text holds (case and punctuation apart).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.documents import Document, read
from camembert_bio.corpus.ngrams import Grams, Hashes, ngrams, words
from camembert_bio.corpus.recipe import EvaluationSet, Source

REPORTED = 0.5
"""Evaluation documents contained to more than this are reported by id."""
_FILTER_BITS = (16, 27)  # at least 32 places an n-gram, as long as they fit 128 MB


@dataclass(frozen=True)
class Overlap:
    """How much of one evaluation set stands in the corpus."""

    num_documents: int
    num_without_words: int
    """Documents that cannot be looked for."""
    mean_contained: float
    """Mean share of the other documents' n-grams that are found."""
    contained: dict[str, float]
    """That share by id, for those above `REPORTED`, in the set's order."""


def load(tasks: Mapping[str, EvaluationSet]) -> list[Document]:
    """The documents of the evaluation sets, by name of the set.

    Raises `UserError` as `documents.read` does.
    """
    return [document for source in task_sources(tasks) for document in read(source)]


def task_sources(tasks: Mapping[str, EvaluationSet]) -> list[Source]:
    """The evaluation sets as sources."""
    return [Source(name=name, licence="evaluation", **vars(task)) for name, task in tasks.items()]


class Index:
    """The n-grams of evaluation documents. Memory: about 70 bytes an n-gram, and the documents' ids."""

    def __init__(self, documents: Sequence[Document], n: int) -> None:
        self.n = n
        self.names = [(document.source, document.id) for document in documents]
        grams = ngrams(words([clean(document.text) for document in documents]), n)
        owners = np.repeat(np.arange(len(documents)), np.diff(grams.offsets))
        self.hashes, numbers = np.unique(grams.hashes, return_inverse=True)
        """The distinct n-grams, ascending, uint64 [G]."""
        # One row for each n-gram that a document holds, by n-gram and by document.
        rows = np.unique(np.stack((numbers, owners), axis=1), axis=0)
        self._numbers, self._owners = rows[:, 0], rows[:, 1]
        self._starts = np.searchsorted(self._numbers, np.arange(len(self.hashes) + 1))
        self._sizes = np.bincount(self._owners, minlength=len(documents))
        low, high = _FILTER_BITS
        self._shift = np.uint64(64 - min(max(low, (32 * len(self.hashes)).bit_length()), high))
        self._filter = np.zeros(1 << (64 - int(self._shift)), bool)
        self._filter[self.hashes >> self._shift] = True

    def hits(self, grams: Grams) -> Grams:
        """The n-grams of each corpus document that the index holds, in order and with repetitions.

        `grams` are `ngrams.ngrams(..., n)` with the n of the index.
        """
        places = np.flatnonzero(self._filter[grams.hashes >> self._shift])
        hashes = grams.hashes[places]
        nearest = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        places = places[self.hashes[nearest] == hashes]
        return Grams(grams.hashes[places], np.searchsorted(places, grams.offsets))

    def contained(self, hits: Grams) -> npt.NDArray[np.float64]:
        """The largest share of one evaluation document's n-grams that each corpus document holds, [D]."""
        shares = np.zeros(len(hits.offsets) - 1)
        for document in np.flatnonzero(np.diff(hits.offsets)):
            begin, end = hits.offsets[document : document + 2]
            shares[document] = self._shares(np.unique(hits.hashes[begin:end])).max()
        return shares

    def report(self, found: Hashes) -> dict[str, Overlap]:
        """The overlap of each evaluation set with a corpus in which these n-grams were `found`."""
        shares = self._shares(found)
        numbers: dict[str, list[int]] = {}
        for number, (name, _) in enumerate(self.names):
            numbers.setdefault(name, []).append(number)
        return {name: self._overlap(members, shares) for name, members in numbers.items()}

    def _overlap(self, members: list[int], shares: npt.NDArray[np.float64]) -> Overlap:
        countable = [number for number in members if self._sizes[number]]
        return Overlap(
            num_documents=len(members),
            num_without_words=len(members) - len(countable),
            mean_contained=float(shares[countable].mean()) if countable else 0.0,
            contained={self.names[number][1]: float(shares[number]) for number in members if shares[number] > REPORTED},
        )

    def _shares(self, found: Hashes) -> npt.NDArray[np.float64]:
        """The share of each evaluation document's n-grams among distinct n-grams of the index, [E]."""
        numbers = np.searchsorted(self.hashes, found)
        counts = self._starts[numbers + 1] - self._starts[numbers]
        first = np.cumsum(counts) - counts
        rows = np.repeat(self._starts[numbers] - first, counts) + np.arange(counts.sum())
        held = np.bincount(self._owners[rows], minlength=len(self.names))
        return held / np.maximum(self._sizes, 1)


def union(found: Iterable[Hashes]) -> Hashes:
    """The distinct n-grams of the hits of several blocks or workers, ascending: what `Index.report` takes."""
    total: Hashes = np.empty(0, np.uint64)
    for some in found:
        total = np.union1d(total, some)  # at most the index: block by block, so that memory is too
    return total
