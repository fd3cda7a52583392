"""Phases, steps, tokens and the learning rate: pure functions of the recipe and the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from camembert_bio.pretrain.recipe import Curve, Objective, Phase, Pretrain


@dataclass(frozen=True)
class PlacedPhase:
    """A phase at its place in the run, with what it leaves out filled in."""

    number: int
    """1 for the first."""
    objective: Objective
    seq_length: int
    global_batch_size: int
    micro_batch_size: int
    learning_rate: float
    """Peak."""
    curve: Curve | None
    """Over the phase's tokens; None where the run's curve goes on."""
    num_steps: int
    first_step: int
    """The run's steps before it."""
    first_token: int
    """The run's tokens before it."""
    first_sample: int
    """Windows of its `seq_length` that earlier phases read: the epoch goes on where they stopped."""

    @property
    def tokens_per_step(self) -> int:
        """Positions of one step over all ranks, padding included (windows are about 99 % full)."""
        return self.global_batch_size * self.seq_length

    @property
    def end_step(self) -> int:
        """The run's steps at its end."""
        return self.first_step + self.num_steps

    @property
    def num_tokens(self) -> int:
        """Positions of all its steps."""
        return self.num_steps * self.tokens_per_step

    def mlm_probability(self, step: int) -> float:
        """The mask rate of a step of the run: linear from the phase's first step to its last one."""
        first, last = self.objective.mlm_probability, self.objective.final_mlm_probability
        if last is None:
            return first
        progress = (step - self.first_step) / max(1, self.num_steps - 1)
        return first + (last - first) * min(1.0, progress)


def phases(recipe: Pretrain) -> tuple[PlacedPhase, ...]:
    """The phases of a run, in order; one when the recipe has none."""
    schedule = recipe.schedule
    placed: list[PlacedPhase] = []
    samples: dict[int, int] = {}
    for phase in recipe.phases or (Phase(max_steps=schedule.max_steps, max_tokens=schedule.max_tokens),):
        seq_length = phase.seq_length or recipe.seq_length
        global_batch_size = phase.global_batch_size or recipe.global_batch_size
        last = placed[-1] if placed else None
        now = PlacedPhase(
            number=len(placed) + 1,
            objective=phase.objective or recipe.objective,
            seq_length=seq_length,
            global_batch_size=global_batch_size,
            micro_batch_size=phase.micro_batch_size or recipe.micro_batch_size,
            learning_rate=phase.learning_rate or recipe.optimizer.learning_rate,
            curve=phase.schedule,
            num_steps=phase.max_steps or math.ceil((phase.max_tokens or 0) / (global_batch_size * seq_length)),
            first_step=last.end_step if last else 0,
            first_token=last.first_token + last.num_tokens if last else 0,
            first_sample=samples.get(seq_length, 0),
        )
        samples[seq_length] = now.first_sample + now.num_steps * global_batch_size
        placed.append(now)
    return tuple(placed)


def num_steps(recipe: Pretrain) -> int:
    """Optimizer steps of the whole run."""
    return phases(recipe)[-1].end_step


def num_tokens(recipe: Pretrain) -> int:
    """Positions of the whole run, padding included."""
    return sum(phase.num_tokens for phase in phases(recipe))


def phase_of(recipe: Pretrain, step: int) -> PlacedPhase:
    """The phase that a step belongs to (0 is the first step); the last one for the steps after the end."""
    placed = phases(recipe)
    return next((phase for phase in placed if step < phase.end_step), placed[-1])


def tokens_before(recipe: Pretrain, step: int) -> int:
    """Positions of the steps before `step`: the tokens seen after so many steps."""
    phase = phase_of(recipe, step)
    return phase.first_token + (step - phase.first_step) * phase.tokens_per_step


def samples_before(recipe: Pretrain, step: int) -> dict[int, int]:
    """Windows that the steps before `step` read, by `seq_length`."""
    samples: dict[int, int] = {}
    for phase in phases(recipe):
        done = min(max(step - phase.first_step, 0), phase.num_steps)
        samples[phase.seq_length] = samples.get(phase.seq_length, 0) + done * phase.global_batch_size
    return samples


def learning_rate(recipe: Pretrain, step: int) -> float:
    """The rate of `step` (0 is the first).

    Warm-up is linear in the tokens seen at the end of the step, so no step runs at rate 0; the decay
    is counted from the tokens seen at its start, so the step after the warm-up runs at the peak and
    the last one above the final rate.
    """
    phase = phase_of(recipe, step)
    start = tokens_before(recipe, step)
    if phase.curve is None:
        level = _level(recipe.schedule, start, start + phase.tokens_per_step, num_tokens(recipe))
    else:
        start -= phase.first_token
        level = _level(phase.curve, start, start + phase.tokens_per_step, phase.num_tokens)
    return phase.learning_rate * level


def _level(curve: Curve, start: int, end: int, total: int) -> float:
    """Share of the peak for a step that sees the tokens from `start` to `end` of `total`."""
    warmup = curve.warmup_ratio * total if curve.warmup_tokens is None else curve.warmup_tokens
    if end < warmup:
        return end / warmup
    if curve.kind == "constant":
        return 1.0
    stable = max(warmup, (1 - curve.decay_share) * total) if curve.kind == "wsd" else warmup
    progress = min(1.0, max(0.0, start - stable) / max(1.0, total - stable))
    shape = (curve.decay_shape or "1-sqrt") if curve.kind == "wsd" else curve.kind
    return curve.final_ratio + (1 - curve.final_ratio) * _decay(shape, progress)


def _decay(shape: str, progress: float) -> float:
    """What is left of the peak at `progress` (0 to 1) of the decay."""
    if shape == "linear":
        return 1 - progress
    if shape == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - math.sqrt(progress)
