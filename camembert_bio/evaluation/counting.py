"""What the runs of a model found in each document: the counts that its scores, intervals and tests are made of.

Shape letters: S seeds, D documents, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.predictions import Row
from camembert_bio.evaluation.spread import Ratios

_CELLS = ("found", "predicted", "gold", "tags_found", "tags_gold")


@dataclass(frozen=True)
class DocumentCounts:
    """Strict counts of every seed on every document and label."""

    documents: tuple[str, ...]
    """Ids, sorted."""
    labels: tuple[str, ...]
    """Sorted; those of gold and of predictions."""
    found: IntArray
    """[S, D, L]: gold entities that were predicted."""
    predicted: IntArray
    """[S, D, L]"""
    gold: IntArray
    """[S, D, L]: the same for each seed."""
    tags_found: IntArray
    """[S, D, L]: of the entities that the policy's tags can hold, those predicted."""
    tags_gold: IntArray
    """[S, D, L]: the entities that the policy's tags can hold."""

    def ratios(self, measure: str, label: str | None = None) -> Ratios:
        """What `f1`, `precision`, `recall` or `iob2_f1` is made of, of one label or of all."""
        column = slice(None) if label is None else slice(*_place(self.labels.index(label)))
        found, predicted, gold, tags_found, tags_gold = (
            getattr(self, name)[:, :, column].sum(-1).astype(np.float64) for name in _CELLS
        )
        parts = {
            "f1": (2 * found, predicted + gold),
            "precision": (found, predicted),
            "recall": (found, gold),
            "iob2_f1": (2 * tags_found, predicted + tags_gold),
        }
        return Ratios(*parts[measure])


def count_documents(runs: Sequence[Sequence[Row]]) -> DocumentCounts:
    """The counts of runs, one a seed, on the same test documents; raises `ValueError` when they differ."""
    tables = [{row.document: row for row in rows} for rows in runs]
    documents = tuple(sorted(tables[0]))
    if any(table.keys() != tables[0].keys() for table in tables):
        raise ValueError("the runs have other test documents")
    labels = tuple(sorted({span.label for rows in runs for row in rows for span in (*row.gold, *row.pred)}))
    places = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(_CELLS), len(runs), len(documents), len(labels)), dtype=np.int64)
    for seed, table in enumerate(tables):
        for number, document in enumerate(documents):
            for cell, found in enumerate(_label_counts(table[document])):
                for label, count in found.items():
                    counts[cell, seed, number, places[label]] = count
    return DocumentCounts(documents, labels, *counts)


def _label_counts(row: Row) -> list[Counter[str]]:
    """A document's counts by label, in the order of `_CELLS`."""
    gold, pred, perfect = set(row.gold), set(row.pred), set(row.perfect)
    return [Counter(span.label for span in spans) for spans in (gold & pred, pred, gold, perfect & pred, perfect)]


def _place(index: int) -> tuple[int, int]:
    return index, index + 1
