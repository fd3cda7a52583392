"""Fine-tuning of one model on one task with one seed: a plain loop that knows nothing of the task.

What is particular to a task is a `TaskHead`: it loads the model, and says the loss of a batch of training examples,
the score on validation and the predictions on test. The loop owns everything else: batches of like length, the
optimizer and its schedule, evaluation on a schedule, the best weights (in memory), the history. `tagging.TaggingHead`
is the head of entities; a new type of task is a class with these five methods, in a module of its own, and
`forward.batch_logits` and `forward.read_rows` run its model.

Everything random comes from the run's seed: the new head, the order of the batches, dropout.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from camembert_bio import log
from camembert_bio.errors import RunError
from camembert_bio.evaluation.batches import shuffled_batches
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.model.parameters import decay_groups

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
class Outcome(Generic[Predictions_co]):
    """What a run found."""

    predictions: Predictions_co
    """On the test part, with the best weights."""
    best_step: int
    history: list[dict[str, float]]
    """For each evaluation: `step`, `train_loss` (mean since the one before), `validation_METRIC`."""
    train_s: float
    """Seconds of loading and training, evaluations on validation included."""
    device: str
    """`cpu`, or the name of the GPU."""


def finetune(head: TaskHead[Predictions_co], recipe: Finetune, seed: int, name: str) -> Outcome[Predictions_co]:
    """Fine-tune one model on one task with one seed, and predict the test part.

    `name` labels the progress bar. The generators' states outside are left as they were.
    Raises `RunError` when the loss is no longer finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = head.load(seed).to(device)
        best_step, history = _train(model, head, recipe, seed, name)
    train_s = time.perf_counter() - started
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Outcome(head.predict(model), best_step, history, train_s, device_name)


def rate_factor(step: int, recipe: Finetune) -> float:
    """The learning rate after `step` updates over its peak: linear from 0 to 1, then to 0."""
    warmup_steps = round(recipe.warmup_ratio * recipe.max_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (recipe.max_steps - step) / max(1, recipe.max_steps - warmup_steps))


def _train(
    model: Any, head: TaskHead[Any], recipe: Finetune, seed: int, name: str
) -> tuple[int, list[dict[str, float]]]:
    """Train, and leave the weights of the best evaluation in `model`; of equal ones, the latest."""
    batches = shuffled_batches(head.lengths, recipe.batch_size, seed)
    groups = decay_groups(model, recipe.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, recipe))
    best_score, best_step, best_weights = -np.inf, 0, {}
    history: list[dict[str, float]] = []
    losses: list[torch.Tensor] = []
    bar = tqdm(total=recipe.max_steps, desc=name, unit="step", leave=False, disable=not log.terminal())
    for step in range(1, recipe.max_steps + 1):
        losses.append(_step(model, head, next(batches), optimizer, recipe))
        schedule.step()
        bar.update()
        if step % recipe.evaluate_every and step != recipe.max_steps:
            continue
        train_loss = torch.stack(losses).mean().item()
        losses.clear()
        if not np.isfinite(train_loss):
            raise RunError(f"{name}: the loss is {train_loss} at step {step}; try a lower learning_rate")
        score = head.validate(model)
        history.append({"step": step, "train_loss": train_loss, f"validation_{head.metric}": score})
        if score >= best_score:
            best_score, best_step, best_weights = score, step, _copy_weights(model)
    bar.close()
    model.load_state_dict(best_weights)
    return best_step, history


def _step(
    model: Any, head: TaskHead[Any], batch: IntArray, optimizer: torch.optim.Optimizer, recipe: Finetune
) -> torch.Tensor:
    """One update; returns the mean loss over the batch's targets."""
    model.train()
    # A batch without a target has nothing to learn: its loss is 0, not 0 / 0.
    loss = head.loss(model, batch) / (head.weight(batch) or 1.0)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
    optimizer.step()
    return loss.detach()


def _copy_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
