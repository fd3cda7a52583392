"""The parameters of a module as an optimizer sees them."""

from __future__ import annotations

from typing import Any

import torch


def decay_groups(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups for an optimizer: matrices decay; biases and norms, which have one dimension, do not.

    Each parameter that is trained stands in one group, once, in the module's order. Call it before ZeRO 3 cuts the
    parameters into pieces: they have one dimension then.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
