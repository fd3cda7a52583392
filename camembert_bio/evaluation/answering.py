"""What is asked of a text: one class, any number of labels, a number, or which of its choices are right.

Each form says its loss on the logits of its items, and reads an answer off them. A unit is what has logits of its own:
an item, or one choice of it.

Shape letters: U units of a batch, K outputs of the head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from camembert_bio.evaluation.class_weights import class_weights
from camembert_bio.evaluation.items import Gold, Item
from camembert_bio.evaluation.models import HeadKind
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.spread import FloatArray


class Form(Protocol):
    """A form of answer."""

    @property
    def kind(self) -> HeadKind:
        """Which of transformers' heads gives its logits."""

    @property
    def options(self) -> dict[str, Any]:
        """What the model's configuration says of it, so that the fine-tuned model is read rightly elsewhere."""

    def units(self, item: Item) -> list[tuple[str, ...]]:
        """The text, or pair of texts, of each unit of an item."""

    def weight(self, items: Sequence[Item]) -> float:
        """Targets of the items."""

    def loss(self, logits_UK: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Summed over the targets of the items."""

    def answer(self, logits_UK: FloatArray, item: Item) -> Gold:
        """The prediction for one item, of the logits of its units."""


@dataclass(frozen=True)
class OneClass:
    """The class with the largest logit; cross-entropy, in which a class may weigh more than another."""

    labels: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    """Of the classes in the loss (default: 1 each)."""
    kind: HeadKind = "texts"

    @property
    def options(self) -> dict[str, Any]:
        """Names of the classes."""
        return {"labels": self.labels, "problem_type": "single_label_classification"}

    def units(self, item: Item) -> list[tuple[str, ...]]:
        """The item itself."""
        return [item.texts]

    def weight(self, items: Sequence[Item]) -> float:
        """One an item."""
        return float(len(items))

    def loss(self, logits_UK: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Cross-entropy."""
        targets = torch.tensor([self.labels.index(item.labels[0]) for item in items], device=logits_UK.device)
        weights = None if self.weights is None else torch.tensor(self.weights, device=logits_UK.device)
        return F.cross_entropy(logits_UK, targets, weights, reduction="sum")

    def answer(self, logits_UK: FloatArray, item: Item) -> Gold:
        """The class."""
        return (self.labels[int(logits_UK[0].argmax())],)


@dataclass(frozen=True)
class LabelSet:
    """The labels whose probability is above a half; binary cross-entropy of each label.

    Where every training item has a label, the likeliest is predicted if none is above a half.
    """

    labels: tuple[str, ...]
    needs_one: bool
    kind: HeadKind = "texts"

    @property
    def options(self) -> dict[str, Any]:
        """Names of the labels."""
        return {"labels": self.labels, "problem_type": "multi_label_classification"}

    def units(self, item: Item) -> list[tuple[str, ...]]:
        """The item itself."""
        return [item.texts]

    def weight(self, items: Sequence[Item]) -> float:
        """Each label of each item."""
        return float(len(items) * len(self.labels))

    def loss(self, logits_UK: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Binary cross-entropy."""
        targets = [[float(label in item.labels) for label in self.labels] for item in items]
        return F.binary_cross_entropy_with_logits(
            logits_UK, torch.tensor(targets, device=logits_UK.device), reduction="sum"
        )

    def answer(self, logits_UK: FloatArray, item: Item) -> Gold:
        """The set, sorted."""
        return tuple(self.labels[index] for index in _above(logits_UK[0], self.needs_one))


@dataclass(frozen=True)
class Number:
    """The one logit, kept in the scale; squared error. The head begins at the mean of the training items."""

    scale: tuple[float, float]
    mean: float
    kind: HeadKind = "texts"

    @property
    def options(self) -> dict[str, Any]:
        """One output, a number, and where it begins."""
        return {"labels": ("similarity",), "problem_type": "regression", "bias": self.mean}

    def units(self, item: Item) -> list[tuple[str, ...]]:
        """The item itself."""
        return [item.texts]

    def weight(self, items: Sequence[Item]) -> float:
        """One an item."""
        return float(len(items))

    def loss(self, logits_UK: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Squared error."""
        targets = torch.tensor([item.gold for item in items], dtype=logits_UK.dtype, device=logits_UK.device)
        return F.mse_loss(logits_UK[:, 0], targets, reduction="sum")

    def answer(self, logits_UK: FloatArray, item: Item) -> Gold:
        """The number."""
        return float(np.clip(float(logits_UK[0, 0]), *self.scale))


@dataclass(frozen=True)
class Choices:
    """Each choice beside its question; the best one, or, where training items have several right ones, all whose
    probability is above a half and at least one.

    Cross-entropy over the choices of a question, or binary cross-entropy of each choice.
    """

    is_single: bool
    kind: HeadKind = "choices"

    @property
    def options(self) -> dict[str, Any]:
        """Nothing: the head scores one choice."""
        return {"labels": ("choice",)}

    def units(self, item: Item) -> list[tuple[str, ...]]:
        """The question with each choice."""
        return [(item.texts[0], text) for _, text in item.choices]

    def weight(self, items: Sequence[Item]) -> float:
        """One a question, or one a choice."""
        return float(len(items) if self.is_single else sum(len(item.choices) for item in items))

    def loss(self, logits_UK: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Cross-entropy of the questions, or of the choices."""
        right = [[float(name in item.labels) for name, _ in item.choices] for item in items]
        if not self.is_single:
            targets = torch.tensor([one for found in right for one in found], device=logits_UK.device)
            return F.binary_cross_entropy_with_logits(logits_UK[:, 0], targets, reduction="sum")
        logits = torch.split(logits_UK[:, 0], [len(found) for found in right])
        losses = [
            F.cross_entropy(each, torch.tensor(found.index(1.0), device=each.device))
            for each, found in zip(logits, right, strict=True)
        ]
        return torch.stack(losses).sum()

    def answer(self, logits_UK: FloatArray, item: Item) -> Gold:
        """Names of the choices, in their order."""
        logits_U = logits_UK[:, 0]
        found = [int(logits_U.argmax())] if self.is_single else _above(logits_U, needs_one=True)
        return tuple(item.choices[index][0] for index in found)


def form_of(task: Task, labels: tuple[str, ...], train: Sequence[Item], class_balance: float = 0.0) -> Form:
    """The form of answer of a task whose training items are these; `class_balance` as in the recipe, of classes."""
    if task.type == "classification":
        if not class_balance:
            return OneClass(labels)
        counts = Counter(item.labels[0] for item in train)
        weights = class_weights(np.array([counts[label] for label in labels]), class_balance)
        return OneClass(labels, tuple(weights.tolist()))
    if task.type == "multi-label":
        return LabelSet(labels, needs_one=all(item.labels for item in train))
    if task.type == "similarity":
        return Number(task.scale, float(np.mean([item.gold for item in train])))
    return Choices(is_single=all(len(item.labels) == 1 for item in train))


def _above(logits: FloatArray, needs_one: bool) -> list[int]:
    """Places of the logits above 0; of the largest, if one is needed and none is."""
    found: list[int] = np.flatnonzero(logits > 0).tolist()
    return found or ([int(logits.argmax())] if needs_one else [])
