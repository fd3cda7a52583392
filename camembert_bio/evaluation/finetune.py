"""Fine-tuning of one model on one task with one seed: a plain loop that knows nothing of the task.

What is particular to a task is a `TaskHead`: it loads the model, and says the loss of a batch of training examples,
the score on validation and the predictions on test. The loop owns everything else: batches of like length, the
optimizer and its schedule, evaluation on a schedule, the best weights (in memory), the history. `tagging.TaggingHead`
is the head of entities; a new type of task is a class with these five methods, in a module of its own, and
`forward.batch_logits` and `forward.read_rows` run its model.

What is random: the new head, the order of the batches, dropout. Each has a generator of its own, seeded by the run's
seed or by the recipe's `fixed_seeds`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from tqdm import tqdm

from camembert_bio import log
from camembert_bio.errors import RunError, UserError
from camembert_bio.evaluation.batches import shuffled_batches, sorted_batches
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.optimizer import make_optimizer
from camembert_bio.evaluation.recipe import Finetune

Predictions_co = TypeVar("Predictions_co", covariant=True)
"""What a task predicts for its test part, in its own form."""


class TaskHead(Protocol[Predictions_co]):
    """One task for one model, tokenised: all that the loop asks of it. Examples are known by their index."""

    @property
    def metric(self) -> str:
        """Name of the score on validation in the history, which calls it `validation_METRIC`."""

    @property
    def lengths(self) -> Sequence[int]:
        """Sub-words of each training example, so that examples of like length share a batch."""

    def load(self, seed: int) -> Any:
        """The model with its new head drawn from `seed`, in fp32 on the CPU; the loop moves it."""

    def weight(self, batch: IntArray) -> float:
        """What the summed loss of a batch is divided by, as a rule the number of its targets; 0 of none."""

    def loss(self, model: Any, batch: IntArray) -> torch.Tensor:
        """The loss of a batch of training examples, a scalar summed over its targets."""

    def validate(self, model: Any) -> float:
        """The score on validation; more is better."""

    def predict(self, model: Any) -> Predictions_co:
        """The predictions on the test part."""


@dataclass(frozen=True)
class Fitted:
    """A model with the weights of its best evaluation."""

    model: Any
    best_step: int
    best_score: float
    """On validation."""
    history: list[dict[str, float]]
    """For each evaluation: `step`, `train_loss` (mean since the one before), `validation_METRIC`."""
    train_s: float
    """Seconds of loading and training, evaluations on validation included."""
    device: str
    """`cpu`, or the name of the GPU."""


@dataclass(frozen=True)
class Outcome(Generic[Predictions_co]):
    """What a run found."""

    predictions: Predictions_co
    """On the test part, with the best weights."""
    best_step: int
    history: list[dict[str, float]]
    train_s: float
    device: str


class Best:
    """The weights of the best evaluation so far, in memory; of equal ones, the latest."""

    def __init__(self) -> None:
        self.score = -math.inf
        self.step = 0
        self.num_without_gain = 0
        self._weights: dict[str, torch.Tensor] = {}

    def offer(self, model: torch.nn.Module, score: float, step: int) -> None:
        """Keep the weights if none before scored more."""
        self.num_without_gain = 0 if score > self.score else self.num_without_gain + 1
        if score < self.score:
            return
        self.score, self.step = score, step
        for name, value in model.state_dict().items():
            if name not in self._weights:
                self._weights[name] = torch.empty_like(value, device="cpu")
            self._weights[name].copy_(value)

    def restore(self, model: torch.nn.Module) -> None:
        """Give the model these weights."""
        model.load_state_dict(self._weights)


def finetune(head: TaskHead[Predictions_co], recipe: Finetune, seed: int, name: str) -> Outcome[Predictions_co]:
    """Fine-tune one model on one task with one seed, and predict the test part. As `fit`, which trains."""
    fitted = fit(head, recipe, seed, name)
    with _precision(fitted.model, recipe):
        predictions = head.predict(fitted.model)
    return Outcome(predictions, fitted.best_step, fitted.history, fitted.train_s, fitted.device)


def fit(head: TaskHead[Any], recipe: Finetune, seed: int, name: str) -> Fitted:
    """Train, choosing the weights on validation; test documents are not asked for.

    `name` labels the progress bar. The generators' states outside are left as they were. Raises `RunError` when the
    loss or the score is no longer finite, `UserError` for a precision that the GPU does not have, or without a training
    example.
    """
    if not len(head.lengths):
        raise UserError(f"{name}: 0 training examples; give documents with text")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and recipe.precision == "bf16" and not torch.cuda.is_bf16_supported(False):
        raise UserError(f"precision bf16: {torch.cuda.get_device_name(device)} does not compute in it; use fp32")
    seeds = recipe.fixed_seeds
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        model = head.load(_chosen(seeds.initialisation, seed)).to(device)
        torch.manual_seed(_chosen(seeds.dropout, seed))  # after loading, which draws as many numbers as it likes
        best, history = _train(model, head, recipe, _chosen(seeds.order, seed), name)
    best.restore(model)
    train_s = time.perf_counter() - started
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Fitted(model, best.step, best.score, history, train_s, device_name)


def _train(
    model: Any, head: TaskHead[Any], recipe: Finetune, seed: int, name: str
) -> tuple[Best, list[dict[str, float]]]:
    """Train in batches ordered by `seed`; returns the best weights and what each evaluation found."""
    batches = shuffled_batches(head.lengths, recipe.batch_size, recipe.batch_unit, seed)
    optimizer, schedule = make_optimizer(model, recipe)
    best = Best()
    history: list[dict[str, float]] = []
    losses: list[torch.Tensor] = []
    bar = tqdm(total=recipe.max_steps, desc=name, unit="step", leave=False, disable=not log.terminal())
    for step, batch in zip(range(1, recipe.max_steps + 1), batches, strict=False):
        losses.append(_step(model, head, batch.indices, optimizer, recipe))
        schedule.step()
        bar.update()
        is_due = batch.ends_epoch if recipe.evaluate_every == "epoch" else step % recipe.evaluate_every == 0
        if not is_due and step != recipe.max_steps:
            continue
        train_loss = torch.stack(losses).mean().item()
        losses.clear()
        if not math.isfinite(train_loss):
            raise RunError(f"{name}: the loss is {train_loss} at step {step}; try a lower learning_rate")
        with _precision(model, recipe):
            score = head.validate(model)
        if not math.isfinite(score):
            raise RunError(f"{name}: {head.metric} is {score} at step {step}; try a lower learning_rate")
        history.append({"step": step, "train_loss": train_loss, f"validation_{head.metric}": score})
        best.offer(model, score, step)
        if best.num_without_gain == recipe.patience:
            break
    bar.close()
    return best, history


def _step(
    model: Any, head: TaskHead[Any], batch: IntArray, optimizer: torch.optim.Optimizer, recipe: Finetune
) -> torch.Tensor:
    """One update; returns the mean loss over the batch's targets."""
    model.train()
    optimizer.zero_grad()
    # A batch without a target has nothing to learn: its loss is 0, not 0 / 0.
    weight = head.weight(batch) or 1.0
    losses = []
    for part in _micro_batches(batch, head.lengths, recipe.micro_batch_tokens):
        with _precision(model, recipe):
            loss = head.loss(model, part) / weight
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
    optimizer.step()
    return torch.stack(losses).sum()


def _micro_batches(batch: IntArray, lengths: Sequence[int], max_tokens: int | None) -> list[IntArray]:
    if max_tokens is None:
        return [batch]
    return [batch[part] for part in sorted_batches([lengths[index] for index in batch], max_tokens)]


def _precision(model: Any, recipe: Finetune) -> torch.autocast:
    return torch.autocast(model.device.type, torch.bfloat16, enabled=recipe.precision == "bf16")


def _chosen(fixed: int | None, seed: int) -> int:
    return seed if fixed is None else fixed
