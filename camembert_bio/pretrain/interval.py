"""What the steps between two points of the curves add up to, on every rank, and what the point says of it."""

from __future__ import annotations

import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from camembert_bio.data.batch import Batch
from camembert_bio.model.flops import ModelFlops
from camembert_bio.pretrain.stopwatch import FORWARD
from camembert_bio.shards.packing import NUM_ADDED

DATA_WAIT = "data_wait"
"""Waiting for the step's batch."""
AGREE = "agree"
"""The small all-reduce before the step, which waits for the rank whose batch came last."""
STEP = "step"
"""Forward, backward and update, with the step's collectives."""


@dataclass(frozen=True)
class Step:
    """What one step did, over all ranks."""

    loss_sum: float
    """Nats, summed over the targets: the predicted tokens."""
    num_targets: float
    masked: bool
    """Whether the targets were masked; else each position predicted the next."""
    num_tokens: int
    """Positions, padding included."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    clipped: bool
    """Whether the norm was over the recipe's limit."""
    loss_scale: float | None
    """Of fp16; None in other precisions."""


@dataclass(frozen=True)
class Share:
    """What one rank did in the interval, and how long it took there."""

    seconds: dict[str, float]
    """By part: those of this module and, inside `STEP`, those of `stopwatch`."""
    num_tokens: int
    """Without padding, `<s>` and `</s>` counted."""
    num_maskable: int
    """Positions of masked batches without `<s>` and `</s>`."""
    flops: int
    """Of the model, what activation checkpointing computes again left out."""
    memory_bytes: int
    """The most that tensors took on an accelerator during the interval; the process, since it began, on CPU."""

    @property
    def own_s(self) -> float:
        """Seconds that this rank spends without the others, and so makes them wait: data and forward passes."""
        return self.seconds[DATA_WAIT] + self.seconds.get(FORWARD, 0.0)


class Interval:
    """Begins empty after each point; `timed`, `count` and `add` fill it."""

    def __init__(self, costs: ModelFlops) -> None:
        self._costs = costs
        self._steps: list[Step] = []
        self._seconds: dict[str, float] = defaultdict(float)
        self._tokens = self._maskable = self._flops = 0

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time of a block as that of a part of the step, on this rank."""
        began = time.monotonic()
        yield
        self._seconds[part] += time.monotonic() - began

    def count(self, micro_batches: Sequence[Batch]) -> None:
        """Count what this rank is about to compute; the batches are on the CPU."""
        for batch in micro_batches:
            bounds = batch.cu_seqlens.numpy()
            is_text = batch.segment_ids.numpy().reshape(-1)[bounds[:-1]] > 0
            lengths = np.diff(bounds)[is_text]
            self._tokens += batch.num_tokens
            self._maskable += 0 if batch.causal else batch.num_tokens - NUM_ADDED * len(lengths)
            self._flops += self._costs.training(lengths, batch.num_targets, batch.causal)

    def add(self, step: Step) -> None:
        """Count a step that is done."""
        self._steps.append(step)

    def share(self, inside: Mapping[str, float], device: torch.device) -> Share:
        """What this rank did; `inside` are the seconds by part that a stopwatch took inside the steps."""
        return Share({**self._seconds, **inside}, self._tokens, self._maskable, self._flops, peak_memory(device))

    def scalars(self, shares: Sequence[Share], peak_flops: float | None) -> dict[str, float]:
        """The point: sums and means over the interval; rate, norm and loss scale are its last step's.

        `shares` are those of all ranks in their order, `peak_flops` is FLOP/s of one device, if it is known.
        """
        num_steps, last = len(self._steps), self._steps[-1]
        num_targets = sum(step.num_targets for step in self._steps)
        positions = sum(step.num_tokens for step in self._steps)
        seconds = sum(self._seconds.values())
        flops_per_s = sum(share.flops for share in shares) / len(shares) / seconds
        scalars = {
            "train/learning_rate": last.learning_rate,
            "train/gradient_norm": last.gradient_norm,
            "train/clipped": sum(step.clipped for step in self._steps) / num_steps,
            "data/window_fill": sum(share.num_tokens for share in shares) / positions,
            "speed/tokens_per_s": positions / seconds,
            "speed/tokens_per_s_device": positions / seconds / len(shares),
            "speed/tflops_device": flops_per_s / 1e12,
            "memory/peak_gb": max(share.memory_bytes for share in shares) / 1e9,
        }
        scalars |= _seconds_of_parts(shares, num_steps)
        if num_targets:  # a mean over none is no point of the curve
            scalars["train/loss"] = sum(step.loss_sum for step in self._steps) / num_targets
        if maskable := sum(share.num_maskable for share in shares):
            scalars["data/mask_rate"] = sum(step.num_targets for step in self._steps if step.masked) / maskable
        if last.loss_scale is not None:
            scalars["train/loss_scale"] = last.loss_scale
        if peak_flops is not None:
            scalars["speed/mfu"] = flops_per_s / peak_flops
        if len(shares) > 1:
            scalars |= _slowest(shares, seconds)
        return scalars


def _seconds_of_parts(shares: Sequence[Share], num_steps: int) -> dict[str, float]:
    """Seconds of each part of a step, mean over ranks; the step as a whole is the sum of its own parts."""
    parts = [part for part in shares[0].seconds if part != STEP]
    return {f"time/{part}_s": statistics.fmean(share.seconds[part] for share in shares) / num_steps for part in parts}


def _slowest(shares: Sequence[Share], seconds: float) -> dict[str, float]:
    """The rank that the others wait for, and by which share of the time it is behind the middle one."""
    own = [share.own_s for share in shares]
    slowest = max(range(len(own)), key=own.__getitem__)
    return {
        "speed/slowest_rank": float(slowest),
        "speed/slowest_rank_behind": (own[slowest] - statistics.median(own)) / seconds,
    }


def peak_memory(device: torch.device) -> int:
    """Bytes that tensors took at most since the last call, on CUDA; that the process took since it began, on CPU."""
    if device.type != "cuda":
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak
