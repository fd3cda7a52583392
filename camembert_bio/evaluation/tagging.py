"""The task head of entities: a linear layer that tags sub-words, trained and read through windows.

Shape letters: B windows of a batch, L sub-words of its longest window, M layers of tags, K tags of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from camembert_bio.evaluation.batches import pad
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.class_weights import class_weights
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import Encoded, document_tags, window_labels
from camembert_bio.evaluation.forward import batch_logits, read_rows
from camembert_bio.evaluation.layers import IGNORED, Layers, decode, tag_names
from camembert_bio.evaluation.metrics import IntArray, Mention, strict_scores
from camembert_bio.evaluation.models import ModelFolder, load_tagger
from camembert_bio.evaluation.recipe import Finetune


@dataclass(frozen=True)
class Parts:
    """The three parts of a task, tokenised for one model, and the layers of its tags."""

    train: Encoded
    validation: Encoded
    test: Encoded
    layers: Layers


class TaggingHead:
    """Entities as `finetune.TaskHead`: an example is a window, its targets the tokens that it owns.

    `gold` are the mentions that validation is scored against.
    """

    metric = "f1"

    def __init__(self, model: ModelFolder, parts: Parts, recipe: Finetune):
        self._model = model
        self.parts = parts
        self._inputs = [window.input_ids for window in parts.train.windows]
        self._labels = window_labels(parts.train, recipe.policy, parts.layers)
        self.lengths = [len(row) for row in self._inputs]
        self._weights = _tag_weights(self._labels, parts.layers, recipe.class_balance)
        documents = parts.validation.documents
        gold: Sequence[Sequence[Span]] = [document.spans for document in documents]
        if recipe.protocol == "paper":
            gold, _ = perfect_spans(parts.validation, recipe.policy, parts.layers)
        self.gold = mentions(documents, gold)

    def load(self, seed: int) -> Any:
        """The folder's encoder under a new head."""
        return load_tagger(self._model, tag_names(self.parts.layers), seed)

    def weight(self, batch: IntArray) -> float:
        """Learnt tokens; in each of them every layer has a tag."""
        return float(sum((self._labels[index][:, 0] != IGNORED).sum() for index in batch))

    def loss(self, model: Any, batch: IntArray) -> torch.Tensor:
        """Cross-entropy, weighted by class, summed over tokens and layers."""
        labels_BLM = torch.from_numpy(pad([self._labels[index] for index in batch], IGNORED)).to(model.device)
        logits_BLMK = _by_layer(batch_logits(model, [self._inputs[index] for index in batch]), labels_BLM.shape[-1])
        losses_BLM = F.cross_entropy(
            logits_BLMK.flatten(0, 2), labels_BLM.flatten(), ignore_index=IGNORED, reduction="none"
        ).view_as(labels_BLM)
        weights_MK = self._weights.to(model.device)
        layers_M = torch.arange(len(weights_MK), device=model.device)
        return (losses_BLM * weights_MK[layers_M, labels_BLM.clamp(min=0)]).sum()

    def validate(self, model: Any) -> float:
        """Strict micro F1 on characters: against all gold, in protocol `paper` against what the tags can hold."""
        part = self.parts.validation
        return strict_scores(self.gold, mentions(part.documents, predict(model, part, self.parts.layers))).micro.f1

    def predict(self, model: Any) -> list[list[Span]]:
        """The spans of each test document."""
        return predict(model, self.parts.test, self.parts.layers)


def predict(tagger: Any, encoded: Encoded, layers: Layers) -> list[list[Span]]:
    """The spans that a tagger finds in each document; each token is read where it is most central."""
    inputs = [window.input_ids for window in encoded.windows]
    rows = read_rows(tagger, inputs, reduce=lambda logits_BLN: _by_layer(logits_BLN, len(layers)).argmax(-1))
    tags = document_tags(encoded, rows, len(layers))
    return [decode(tokens, row, layers) for tokens, row in zip(encoded.tokens, tags, strict=True)]


def mentions(documents: Sequence[Document], spans: Sequence[Sequence[Span]]) -> list[Mention]:
    """The spans of each document as mentions of the corpus."""
    return [
        (document.id, span.fragments, span.label)
        for document, found in zip(documents, spans, strict=True)
        for span in found
    ]


def _tag_weights(labels: Sequence[IntArray], layers: Layers, balance: float) -> torch.Tensor:
    """[M, K] weights of the tags of the training windows."""
    counts_MK = np.zeros((len(layers), 1 + 2 * len(layers[0])), np.int64)
    for row_LM in labels:
        learnt = row_LM[row_LM[:, 0] != IGNORED]
        for layer, column in enumerate(learnt.T):
            counts_MK[layer] += np.bincount(column, minlength=counts_MK.shape[1])
    return torch.from_numpy(class_weights(counts_MK, balance))


def _by_layer(logits_BLN: torch.Tensor, num_layers: int) -> torch.Tensor:
    """[B, L, M, K] of the head's N = M x K outputs."""
    return logits_BLN.view(*logits_BLN.shape[:2], num_layers, -1)
