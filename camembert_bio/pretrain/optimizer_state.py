"""Weights and moments of a DeepSpeed engine by parameter name, whatever the ZeRO stage.

Stage 0 has the plain torch optimizer. Stages 1 and 2 hold fragments of each parameter in flat
partitions, stage 3 a padded slice of each parameter; DeepSpeed's name-keyed access hides both when
reading. Writing goes through the fragment that this rank owns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)

from camembert_bio import ranks
from camembert_bio.pretrain.checkpoint import Tensors

MOMENTS = ("exp_avg", "exp_avg_sq")


def create(engine: Any) -> None:
    """Make the optimizer's state exist before the first step, as that step would: zero moments.

    Then a checkpoint of step 0 has the same form as any other. It also mends what DeepSpeed's first
    step leaves undone with two parameter groups: it links moments to parameters once the first
    group has some, and the second group's stay unknown (seen in 0.19.8, stages 1 and 2).
    """
    base, held = _base_optimizer(engine)
    for tensor in held:
        base.state[tensor] = {
            "step": torch.zeros((), dtype=torch.float32, device=tensor.device),
            **{key: torch.zeros_like(tensor, requires_grad=False) for key in MOMENTS},
        }
    if engine.zero_optimization_stage() in (1, 2):
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def gather(engine: Any) -> tuple[Tensors, Tensors]:
    """Masters and moments by name: fp32 copies on rank 0's CPU, empty elsewhere. Collective."""
    model: Tensors = {}
    optimizer: Tensors = {}
    for name, parameter in _named_parameters(engine):
        master = _full(engine, parameter, None)
        moments = {f"{key}.{name}": _full(engine, parameter, key) for key in MOMENTS}
        if ranks.is_main():
            model[name] = master
            optimizer |= moments
    return model, optimizer


def restore(engine: Any, model: Tensors, optimizer: Tensors, step: int) -> None:
    """Set masters, moments and the step count; the exact inverse of `gather`.

    The module must hold the weights already, loaded before `deepspeed.initialize`: setting masters
    does not refresh the weights that the next forward pass computes with. Every rank passes the
    whole tensors and keeps what it owns.
    """
    base, held = _base_optimizer(engine)
    for tensor in held:
        base.state[tensor]["step"].fill_(step)
    for name, parameter in _named_parameters(engine):
        _set(engine, parameter, model[name], None)
        for key in MOMENTS:
            _set(engine, parameter, optimizer[f"{key}.{name}"], key)


def _base_optimizer(engine: Any) -> tuple[torch.optim.Optimizer, list[torch.Tensor]]:
    """torch's optimizer below ZeRO's, and the tensors that it holds state for."""
    zero, stage = engine.optimizer, engine.zero_optimization_stage()
    if stage == 3:
        return zero.optimizer, list(zero.fp32_partitioned_groups_flat)
    base = zero if stage == 0 else zero.optimizer
    return base, [tensor for group in base.param_groups for tensor in group["params"]]


def _named_parameters(engine: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The encoder's parameters by the names that transformers gives them."""
    for name, parameter in engine.module.named_parameters():
        yield name.removeprefix("encoder."), parameter


def _full(engine: Any, parameter: torch.nn.Parameter, key: str | None) -> torch.Tensor:
    """One whole master (key None) or moment, as a CPU copy that later steps do not change."""
    if engine.zero_optimization_stage() == 0:
        value = parameter.data if key is None else engine.optimizer.state[parameter][key]
    elif key is None:
        value = safe_get_full_fp32_param(parameter)
    else:
        value = safe_get_full_optimizer_state(parameter, key)
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return value.detach().float().reshape(shape).to("cpu", copy=True).contiguous()


def _set(engine: Any, parameter: torch.nn.Parameter, value: torch.Tensor, key: str | None) -> None:
    stage = engine.zero_optimization_stage()
    value = value.to(engine.device)
    if stage == 0:
        if key is not None:
            engine.optimizer.state[parameter][key].copy_(value)
    elif stage == 3:
        own = _slice_of_rank(parameter, value)
        if key is None:
            safe_set_local_fp32_param(parameter, own)
        else:
            safe_set_local_optimizer_state(parameter, own, key)
    elif key is None:
        safe_set_full_fp32_param(parameter, value)
    else:
        safe_set_full_optimizer_state(parameter, value, key)


def _slice_of_rank(parameter: Any, value: torch.Tensor) -> torch.Tensor:
    """This rank's slice of a whole tensor, padded at the end as stage 3 pads it.

    DeepSpeed's own setter of whole tensors at stage 3 slices without padding, and fails for a
    parameter whose size the world size does not divide.
    """
    length = parameter.ds_tensor.numel()
    flat = torch.zeros(length * ranks.world_size(), dtype=value.dtype, device=value.device)
    flat[: value.numel()] = value.flatten()
    return flat.narrow(0, length * ranks.rank(), length)
