"""The task head of words: the first sub-word of a word learns its tag, and is read where it is most central.

Shape letters: B windows of a batch, L sub-words of its longest window, T tokens of a document, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from camembert_bio.evaluation.batches import pad
from camembert_bio.evaluation.class_weights import class_weights
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.examples import Encoded, document_tags, encode_parts
from camembert_bio.evaluation.forward import batch_logits, read_rows
from camembert_bio.evaluation.layers import IGNORED
from camembert_bio.evaluation.measures import MEASURES, AnyRow, Labelled, scores_of
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.models import ModelFolder, load_tagger
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tasks import TaskData

NO_TAG = ""
"""The prediction for a word of which the tokenizer leaves nothing."""


class PosHead:
    """Tags of words as `finetune.TaskHead`: an example is a window, its targets the words that begin where it owns."""

    metric = MEASURES["pos"].name

    def __init__(self, model: ModelFolder, data: TaskData, recipe: Finetune):
        self._model = model
        self._data = data
        self._train, self._validation, self._test = encode_parts(data, model, recipe)
        self._labels = _window_labels(self._train, data.labels)
        self.lengths = [len(row) for row in self._labels]
        learnt = np.concatenate([row[row != IGNORED] for row in self._labels])
        counts = np.bincount(learnt, minlength=len(data.labels))
        self._weights_K = torch.from_numpy(class_weights(counts, recipe.class_balance))

    def load(self, seed: int) -> Any:
        """The folder's encoder under a new head."""
        return load_tagger(self._model, list(self._data.labels), seed)

    def weight(self, batch: IntArray) -> float:
        """Learnt words."""
        return float(sum((self._labels[index] != IGNORED).sum() for index in batch))

    def loss(self, model: Any, batch: IntArray) -> torch.Tensor:
        """Cross-entropy, weighted by class, summed over words."""
        labels_BL = torch.from_numpy(pad([self._labels[index] for index in batch], IGNORED)).to(model.device)
        logits_BLK = batch_logits(model, [self._train.windows[index].input_ids for index in batch])
        weights_K = self._weights_K.to(model.device)
        return F.cross_entropy(
            logits_BLK.flatten(0, 1), labels_BL.flatten(), weights_K, ignore_index=IGNORED, reduction="sum"
        )

    def validate(self, model: Any) -> float:
        """Share of the words with the right tag."""
        rows = self._predict(model, self._validation)
        return float(scores_of("pos", rows, self._data.task.scale)[self.metric])

    def predict(self, model: Any) -> list[AnyRow]:
        """The tags of each test document's words."""
        return self._predict(model, self._test)

    def _predict(self, model: Any, encoded: Encoded) -> list[AnyRow]:
        inputs = [window.input_ids for window in encoded.windows]
        read = read_rows(model, inputs, reduce=lambda logits_BLK: logits_BLK.argmax(-1, keepdim=True))
        rows: list[AnyRow] = []
        found = zip(encoded.documents, encoded.tokens, document_tags(encoded, read, 1), strict=True)
        for document, tokens, tags in found:
            firsts = first_tokens(document, tokens.starts, tokens.ends)
            pred = tuple(NO_TAG if first < 0 else self._data.labels[int(tags[first, 0])] for first in firsts)
            rows.append(Labelled(document.id, tuple(span.label for span in document.spans), pred))
        return rows


def first_tokens(document: Document, starts: IntArray, ends: IntArray) -> list[int]:
    """The first token of each word; -1 of a word that no token covers."""
    found = []
    for span in document.spans:
        first = int(np.searchsorted(ends, span.start, side="right"))
        found.append(first if first < len(starts) and starts[first] < span.end else -1)
    return found


def _window_labels(encoded: Encoded, labels: Sequence[str]) -> list[IntArray]:
    """[L] of each window: the class to learn of a word's first token; of two words in one token, of the first."""
    classes = []
    for document, tokens in zip(encoded.documents, encoded.tokens, strict=True):
        tags = np.full(len(tokens), IGNORED, dtype=np.int64)
        firsts = first_tokens(document, tokens.starts, tokens.ends)
        for first, span in reversed(list(zip(firsts, document.spans, strict=True))):
            if first >= 0:
                tags[first] = labels.index(span.label)
        classes.append(tags)
    rows = []
    for window in encoded.windows:
        row = np.full(len(window.input_ids), IGNORED, dtype=np.int64)
        row[1:-1] = classes[window.document][window.start : window.start + len(row) - 2]
        rows.append(np.where(window.is_owned == 1, row, IGNORED))
    return rows
