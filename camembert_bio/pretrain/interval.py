"""What the steps between two points of the curves add up to, and how long their parts took."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DATA_WAIT = "data_wait"
"""Waiting for the step's batch."""
AGREE = "agree"
"""The small all-reduce before the step, which waits for the slowest rank."""
STEP = "step"
"""Forward, backward and update, with the step's collectives."""


@dataclass(frozen=True)
class Step:
    """What one step did, over all ranks."""

    loss_sum: float
    """Nats, summed over the targets: the predicted tokens."""
    num_targets: float
    num_tokens: int
    """Positions, padding included."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float


class Interval:
    """Begins empty after each point; `timed` and `add` fill it, `scalars` is the point."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time of a block as that of a part of the step, on this rank."""
        began = time.monotonic()
        yield
        self._seconds[part] += time.monotonic() - began

    def add(self, step: Step) -> None:
        """Count a step that is done."""
        self._steps.append(step)

    def scalars(self) -> dict[str, float]:
        """The point: sums and means over the interval; rate and gradient norm are its last step's."""
        num_targets = sum(step.num_targets for step in self._steps)
        num_tokens = sum(step.num_tokens for step in self._steps)
        last = self._steps[-1]
        return {
            "train/loss": sum(step.loss_sum for step in self._steps) / max(1.0, num_targets),
            "train/learning_rate": last.learning_rate,
            "train/gradient_norm": last.gradient_norm,
            "speed/tokens_per_s": num_tokens / sum(self._seconds.values()),
            "speed/data_wait_s": self._seconds[DATA_WAIT] / len(self._steps),
        }
