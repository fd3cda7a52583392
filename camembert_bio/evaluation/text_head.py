"""The task head of texts, pairs and choices: transformers' own head on each row, logits averaged over windows.

Logits are pooled, and not hidden states, since that needs nothing but what transformers' classes give: the head is
theirs, whatever the family, so that a fine-tuned model is saved and read elsewhere as it is, and gives for a text of
one window the same answer there. The mean weighs every window alike, so that no part of a long text decides alone.

Shape letters: R rows of a batch, U units, K outputs of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from camembert_bio.evaluation.answering import form_of
from camembert_bio.evaluation.forward import batch_logits, read_rows
from camembert_bio.evaluation.inputs import Row, template_of, text_rows
from camembert_bio.evaluation.items import Gold, Item
from camembert_bio.evaluation.measures import MEASURES, AnyRow, Labelled, Rated, scores_of
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.models import ModelFolder, load_headed
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tasks import TaskData

Units = list[list[Row]]
"""The rows of each unit of an item."""


class TextHead:
    """Classification, labels, similarity and choices as `finetune.TaskHead`: an example is an item."""

    def __init__(self, model: ModelFolder, data: TaskData, recipe: Finetune):
        self._model = model
        self._data = data
        self._form = form_of(data.task, data.labels, data.train, recipe.class_balance)
        self._template = template_of(model.tokenizer)
        self._window = (recipe.seq_length, recipe.window_overlap)
        self._train, self._validation, self._test = map(self._encode, (data.train, data.validation, data.test))
        self.metric = MEASURES[data.task.type].name
        self.lengths = [sum(len(row.input_ids) for rows in units for row in rows) for units in self._train]

    def load(self, seed: int) -> Any:
        """The folder's encoder under a new head of transformers."""
        return load_headed(self._model, self._form.kind, seed, **self._form.options)

    def weight(self, batch: IntArray) -> float:
        """Targets: items, their labels, or their choices."""
        return self._form.weight([self._data.train[index] for index in batch])

    def loss(self, model: Any, batch: IntArray) -> torch.Tensor:
        """Summed over the targets."""
        units = [rows for index in batch for rows in self._train[index]]
        rows = [row for each in units for row in each]
        logits_RK = batch_logits(model, *self._arrays(model, rows))
        logits_UK = _pooled(logits_RK, [len(each) for each in units])
        return self._form.loss(logits_UK, [self._data.train[index] for index in batch])

    def validate(self, model: Any) -> float:
        """The type's measure on validation."""
        task = self._data.task
        rows = self._answers(model, self._data.validation, self._validation)
        return float(scores_of(task.type, rows, task.scale)[self.metric])

    def predict(self, model: Any) -> list[AnyRow]:
        """The test items with their answers."""
        return self._answers(model, self._data.test, self._test)

    def _answers(self, model: Any, items: Sequence[Item], encoded: list[Units]) -> list[AnyRow]:
        rows = [row for units in encoded for each in units for row in each]
        found = iter(read_rows(model, *self._arrays(model, rows), reduce=lambda logits: logits))
        answers = []
        for units, item in zip(encoded, items, strict=True):
            pooled = [np.mean([next(found) for _ in each], axis=0, dtype=np.float64) for each in units]
            answers.append(_row_of(item, self._form.answer(np.stack(pooled), item)))
        return answers

    def _encode(self, items: Sequence[Item]) -> list[Units]:
        return [
            [text_rows(texts, self._model.tokenizer, self._template, *self._window) for texts in self._form.units(item)]
            for item in items
        ]

    def _arrays(self, model: Any, rows: Sequence[Row]) -> tuple[list[IntArray], list[IntArray] | None, bool]:
        """Ids; types, where tokenizer and model tell a second text apart; whether a row is a choice."""
        num_types = getattr(model.config, "type_vocab_size", 0)
        types = [row.token_types for row in rows] if 0 < self._template.second_type < num_types else None
        return [row.input_ids for row in rows], types, self._form.kind == "choices"


def _row_of(item: Item, answer: Gold) -> AnyRow:
    """An item with its answer, as it is saved."""
    if isinstance(answer, tuple):
        return Labelled(item.id, item.labels, answer)
    assert isinstance(item.gold, float)
    return Rated(item.id, item.gold, answer)


def _pooled(logits_RK: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """[U, K]: the mean over the rows of each unit."""
    owners = torch.repeat_interleave(torch.tensor(sizes)).to(logits_RK.device)
    sums_UK = logits_RK.new_zeros(len(sizes), logits_RK.shape[1]).index_add(0, owners, logits_RK)
    return sums_UK / torch.tensor(sizes, device=logits_RK.device)[:, None]
