"""Steps, tokens and the learning rate: pure functions of the recipe and the step."""

from __future__ import annotations

import math

from camembert_bio.pretrain.recipe import Pretrain


def tokens_per_step(recipe: Pretrain) -> int:
    """Positions of one step over all ranks, padding included (windows are about 99 % full)."""
    return recipe.global_batch_size * recipe.seq_length


def num_steps(recipe: Pretrain) -> int:
    """Optimizer steps of the whole run."""
    schedule = recipe.schedule
    if schedule.max_steps is not None:
        return schedule.max_steps
    assert schedule.max_tokens is not None
    return math.ceil(schedule.max_tokens / tokens_per_step(recipe))


def learning_rate(recipe: Pretrain, step: int) -> float:
    """The rate of `step` (0 is the first).

    Warm-up is linear in the tokens seen at the end of the step, so no step runs at rate 0; the decay
    is counted from the tokens seen at its start, so the step after the warm-up runs at the peak and
    the last one above the final rate.
    """
    total = num_steps(recipe) * tokens_per_step(recipe)
    warmup = recipe.schedule.warmup_ratio * total
    start, end = step * tokens_per_step(recipe), (step + 1) * tokens_per_step(recipe)
    if end < warmup:
        return recipe.optimizer.learning_rate * end / warmup
    progress = min(1.0, max(0.0, start - warmup) / max(1.0, total - warmup))
    return recipe.optimizer.learning_rate * _decay(recipe.schedule.kind, progress, recipe.schedule.final_ratio)


def _decay(kind: str, progress: float, final: float) -> float:
    """Share of the peak at `progress` (0 to 1) of the decay."""
    if kind == "constant":
        return 1.0
    shape = 1 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return final + (1 - final) * shape
