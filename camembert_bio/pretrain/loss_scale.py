"""fp16's loss scale: what a checkpoint keeps of it, and when it tells that the run diverged."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from camembert_bio.errors import DoNotRequeueError

MINIMUM = 1.0
"""The smallest scale. Gradients that overflow without a scale are no matter of scaling."""
UPDATES_TO_DOUBLE = 1000
"""In a row without an overflow, after which the scale doubles: DeepSpeed's default."""
MAX_STEPS_AT_MINIMUM = 100
"""A healthy run passes through it, if ever: its scale lies between 2^10 and 2^20."""

_SCALER = ("cur_scale", "cur_iter", "last_overflow_iter")


class LossScale:
    """DeepSpeed's dynamic scale, with the number of steps that it has spent at its minimum.

    The loss is multiplied by it before the backward pass and the gradients are divided by it after,
    so that small ones do not vanish in fp16. It is halved when they overflow, and doubled after
    `UPDATES_TO_DOUBLE` in which they do not.
    """

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler
        self._scaler.raise_error_at_min_scale = False  # `count` tells it by its name, as an error that is not retried
        # DeepSpeed 0.19.8 doubles before it divides the gradients by the scale, so that update has half of them.
        self._scaler.scale_window = sys.maxsize
        self._steps_at_minimum = 0

    @property
    def value(self) -> float:
        """The scale of the next backward pass."""
        return float(self._scaler.cur_scale)

    def count(self, scale: float, applied: bool) -> None:
        """Take note of an attempt at `scale`, and whether its gradients were finite and so applied; double it when due.

        Raises `DoNotRequeueError` when the scale can fall no further, or has stayed at its minimum.
        """
        updates = self._scaler.cur_iter - self._scaler.last_overflow_iter - 1
        if updates > 0 and updates % UPDATES_TO_DOUBLE == 0:
            self._scaler.cur_scale *= 2
        if scale > MINIMUM:
            self._steps_at_minimum = 0
            return
        self._steps_at_minimum += 1
        if not applied or self._steps_at_minimum >= MAX_STEPS_AT_MINIMUM:
            what = f"for {self._steps_at_minimum} steps" if applied else "and gradients overflow all the same"
            raise DoNotRequeueError(
                f"the run diverged in fp16: its loss scale is at its minimum {MINIMUM:g} {what}. "
                "Lower optimizer.learning_rate, lengthen the warm-up, or take precision bf16 or fp32, in a new output"
            )

    def state(self) -> dict[str, float]:
        """Numbers from which `restore` goes on."""
        return {name: getattr(self._scaler, name) for name in _SCALER} | {"steps_at_minimum": self._steps_at_minimum}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on where `state` was taken."""
        for name in _SCALER:
            setattr(self._scaler, name, state[name])
        self._steps_at_minimum = int(state["steps_at_minimum"])
