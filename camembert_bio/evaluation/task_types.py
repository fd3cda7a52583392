"""What each type of task does with a model: the head that is trained, what is saved of a run, and its scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio.errors import RunError
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.examples import encode_parts
from camembert_bio.evaluation.finetune import Outcome, TaskHead, finetune
from camembert_bio.evaluation.layers import tag_layers
from camembert_bio.evaluation.measures import MEASURES, scores_of
from camembert_bio.evaluation.models import ModelFolder
from camembert_bio.evaluation.perplexity import likelihoods
from camembert_bio.evaluation.pos_head import PosHead
from camembert_bio.evaluation.predictions import Row, scores, write_answers, write_predictions
from camembert_bio.evaluation.recipe import UNTRAINED, Finetune
from camembert_bio.evaluation.tagging import Parts, TaggingHead
from camembert_bio.evaluation.tasks import TaskData
from camembert_bio.evaluation.text_head import TextHead


@dataclass(frozen=True)
class Finished:
    """A run that is done."""

    outcome: Outcome[Any]
    found: dict[str, Any]
    """`scores`, and of entities `ledger`: its part of `result.json`."""
    save: Callable[[Path, str], None]
    """Writes the predictions into a folder, with the run's id."""


def head_of(recipe: Finetune, data: TaskData, model: ModelFolder) -> TaskHead[Any]:
    """The head of a task that is fine-tuned, its documents tokenised once for all seeds."""
    if data.task.type == "pos":
        return PosHead(model, data, recipe)
    if data.task.type != "ner":
        return TextHead(model, data, recipe)
    train, validation, test = encode_parts(data, model, recipe)
    layers = tag_layers(recipe.policy, data.labels, [*data.train, *data.validation, *data.test])
    return TaggingHead(model, Parts(train, validation, test, layers), recipe)


class TaskRuns:
    """The runs of one model on one task."""

    def __init__(self, recipe: Finetune, data: TaskData, model: ModelFolder):
        self._recipe = recipe
        self._data = data
        self._model = model
        self._head = None if data.task.type in UNTRAINED else head_of(recipe, data, model)

    def run(self, seed: int, name: str) -> Finished:
        """One run; `name` labels the progress bar.

        Raises as `finetune.fit` and `perplexity.likelihoods` do, and `RunError` for a score that is not finite.
        """
        if self._head is None:
            outcome: Outcome[Any] = likelihoods(self._model, self._data, self._recipe, name)
        else:
            outcome = finetune(self._head, self._recipe, seed, name)
        if isinstance(self._head, TaggingHead):
            return _of_entities(outcome, self._head.parts, self._recipe)
        task, rows = self._data.task, outcome.predictions
        found = {"scores": scores_of(task.type, rows, task.scale)}
        measure = MEASURES[task.type].name
        if not math.isfinite(found["scores"][measure]):
            raise RunError(
                f"{name}: {measure} is {found['scores'][measure]}: the weights of {self._model.path} are finite, what "
                "the model computes with them is not; look whether its training diverged"
            )
        return Finished(
            outcome, found, lambda folder, run_id: write_answers(folder, run_id, task.type, task.scale, rows)
        )


def _of_entities(outcome: Outcome[Any], parts: Parts, recipe: Finetune) -> Finished:
    perfect, ledger = perfect_spans(parts.test, recipe.policy, parts.layers)
    found = zip(parts.test.documents, outcome.predictions, perfect, strict=True)
    rows = [Row(document.id, document.spans, pred, best) for document, pred, best in found]
    return Finished(
        outcome,
        {"scores": scores(rows), "ledger": dict(ledger)},
        lambda folder, run_id: write_predictions(folder, run_id, rows),
    )


def summary(data: TaskData, found: dict[str, Any]) -> str:
    """The measure of a finished run, and what bounds it, for the log."""
    measure = MEASURES[data.task.type]
    score = found["scores"][measure.name]
    shown = f"{measure.title} {100 * score:.2f}" if measure.is_share else f"{score:.4f} {measure.title}"
    return shown + (f" (ceiling {100 * found['scores']['ceiling']:.2f})" if data.task.type == "ner" else "")
