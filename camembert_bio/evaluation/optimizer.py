"""AdamW for fine-tuning: which parameters learn at which rate, and the rate of each step."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import torch

from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.model.parameters import decay_groups

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def make_optimizer(model: Any, recipe: Finetune) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and its schedule, which steps after each update."""
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe.learning_rate, fused=True)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, recipe))


def rate_factor(step: int, recipe: Finetune) -> float:
    """The learning rate after `step` updates over its peak: linear from 0 to 1, then to 0."""
    warmup_steps = round(recipe.warmup_ratio * recipe.max_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (recipe.max_steps - step) / max(1, recipe.max_steps - warmup_steps))


def parameter_groups(model: Any, recipe: Finetune) -> list[dict[str, Any]]:
    """Groups by weight decay, and with `layer_decay` by depth: each has its peak learning rate."""
    if recipe.layer_decay == 1.0:
        return decay_groups(model, recipe.weight_decay)
    top = model.config.num_hidden_layers + 1
    by_depth: dict[int, list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        by_depth[_depth(name, model.base_model_prefix, top)].append(parameter)
    return [
        {**group, "lr": recipe.learning_rate * recipe.layer_decay ** (top - depth)}
        for depth, parameters in sorted(by_depth.items())
        for group in decay_groups(torch.nn.ParameterList(parameters), recipe.weight_decay)
        if group["params"]
    ]


def _depth(name: str, encoder: str, top: int) -> int:
    """0 of the embeddings, 1 of the first layer, ..., `top` of the head; what follows the layers goes with the last."""
    if not name.startswith(f"{encoder}."):
        return top
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    return 0 if "embeddings" in name else top - 1
