"""Weights and moments of a DeepSpeed engine by parameter name, whatever the ZeRO stage.

Stage 0 has the plain torch optimizer. Stages 1 and 2 hold fragments of each parameter in flat
partitions, stage 3 a padded slice of each parameter; DeepSpeed's name-keyed access hides both when
reading. Writing goes through the fragment that this rank owns. Muon's momentum is another case at
stages 1 and 2, but for bf16 at stage 1: each rank has the whole of it for every parameter of which it
owns a part.
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
MOMENTUM = "momentum_buffer"
"""What Muon keeps of a parameter, in place of the moments."""


def create(engine: Any) -> None:
    """Make the optimizer's state exist before the first step, as that step would: zero moments.

    Then a checkpoint of step 0 has the same form as any other. It also mends what DeepSpeed's first
    step leaves undone with two parameter groups: it links moments to parameters once the first
    group has some, and the second group's stay unknown (seen in 0.19.8, stages 1 and 2).
    """
    base, held = _base_optimizer(engine)
    for tensor, parameters in held:
        if _keys(parameters[0]) == MOMENTS:
            base.state[tensor] = {
                "step": torch.zeros((), dtype=torch.float32, device=tensor.device),
                **{key: torch.zeros_like(tensor, requires_grad=False) for key in MOMENTS},
            }
        elif _has_whole_momenta(engine):
            size = sum(parameter.numel() for parameter in _owned(engine, tensor))
            base.state[tensor] = {MOMENTUM: torch.zeros(size, dtype=torch.float32, device=tensor.device)}
        else:
            base.state[tensor] = {MOMENTUM: torch.zeros_like(tensor, requires_grad=False)}
    if engine.zero_optimization_stage() in (1, 2):
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def gather(engine: Any) -> tuple[Tensors, Tensors]:
    """Masters and the optimizer's state by name: fp32 copies on rank 0's CPU, empty elsewhere. Collective."""
    model: Tensors = {}
    optimizer: Tensors = {}
    for name, parameter in _named_parameters(engine):
        master = _full(engine, parameter, None)
        moments = {f"{key}.{name}": _full(engine, parameter, key) for key in _keys(parameter)}
        if ranks.is_main():
            model[name] = master
            optimizer |= moments
    return model, optimizer


def restore(engine: Any, model: Tensors, optimizer: Tensors, step: int) -> None:
    """Set masters, the optimizer's state and its step count; the exact inverse of `gather`.

    The module must hold the weights already, loaded before `deepspeed.initialize`: setting masters
    does not refresh the weights that the next forward pass computes with. Every rank passes the
    whole tensors and keeps what it owns.
    """
    base, held = _base_optimizer(engine)
    for tensor, _ in held:
        if "step" in base.state[tensor]:
            base.state[tensor]["step"].fill_(step)
    for name, parameter in _named_parameters(engine):
        _set(engine, parameter, model[name], None)
        for key in _keys(parameter):
            _set(engine, parameter, optimizer[f"{key}.{name}"], key)


def _keys(parameter: torch.nn.Parameter) -> tuple[str, ...]:
    """What the optimizer keeps of a parameter."""
    return (MOMENTUM,) if getattr(parameter, "use_muon", False) else MOMENTS


def _base_optimizer(engine: Any) -> tuple[torch.optim.Optimizer, list[tuple[torch.Tensor, list[torch.nn.Parameter]]]]:
    """torch's optimizer below ZeRO's, and each tensor that it holds state for, with the parameters of its group."""
    zero, stage = engine.optimizer, engine.zero_optimization_stage()
    if stage == 3:
        return zero.optimizer, list(zip(zero.fp32_partitioned_groups_flat, zero.fp16_groups, strict=True))
    if stage == 0:
        return zero, [(parameter, [parameter]) for group in zero.param_groups for parameter in group["params"]]
    return zero.optimizer, flat_groups(engine)


def flat_groups(engine: Any) -> list[tuple[torch.Tensor, list[torch.nn.Parameter]]]:
    """Stages 1 and 2: this rank's flat tensor of each group, and all the parameters of the group."""
    zero = engine.optimizer
    if hasattr(zero, "bf16_groups"):  # bf16 at stage 1 is a class of its own
        return list(zip(zero.fp32_groups_flat_partition, zero.bf16_groups, strict=True))
    return list(zip(zero.single_partition_of_fp32_groups, zero.bit16_groups, strict=True))


def _has_whole_momenta(engine: Any) -> bool:
    """Whether a rank has the whole of Muon's momentum for each parameter of which it owns a part."""
    return engine.zero_optimization_stage() in (1, 2) and not hasattr(engine.optimizer, "bf16_groups")


def _named_parameters(engine: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The encoder's parameters by the names that transformers gives them."""
    for name, parameter in engine.module.named_parameters():
        yield name.removeprefix("encoder."), parameter


def _full(engine: Any, parameter: torch.nn.Parameter, key: str | None) -> torch.Tensor:
    """One whole master (key None) or state, as a CPU copy that later steps do not change."""
    stage = engine.zero_optimization_stage()
    if stage == 0:
        value = parameter.data if key is None else engine.optimizer.state[parameter][key]
    elif key is None:
        value = safe_get_full_fp32_param(parameter)
    elif key == MOMENTUM and _has_whole_momenta(engine):
        value = _full_momentum(engine, parameter)
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
    elif key == MOMENTUM and _has_whole_momenta(engine):
        momentum = _momentum(engine, parameter)
        if momentum is not None:
            momentum.copy_(value.flatten())
    else:
        safe_set_full_optimizer_state(parameter, value, key)


def _owned(engine: Any, tensor: torch.Tensor) -> list[torch.nn.Parameter]:
    """The parameters of which a flat tensor of this rank holds a part."""
    zero = engine.optimizer
    place = next(place for place, flat in enumerate(zero.single_partition_of_fp32_groups) if flat is tensor)
    return list(zero.params_in_partition[place])


def _momentum(engine: Any, parameter: torch.nn.Parameter) -> torch.Tensor | None:
    """Muon's whole momentum of a parameter, flat, where this rank owns a part of it."""
    zero = engine.optimizer
    for tensor in zero.single_partition_of_fp32_groups:
        start = 0
        for owned in _owned(engine, tensor):
            if owned is parameter:
                momentum: torch.Tensor = zero.optimizer.state[tensor][MOMENTUM].narrow(0, start, parameter.numel())
                return momentum
            start += owned.numel()
    return None


def _full_momentum(engine: Any, parameter: Any) -> torch.Tensor:
    """Muon's momentum of a parameter on every rank, from the one that owns its start. Collective."""
    whole = torch.zeros(parameter.numel(), dtype=torch.float32, device=engine.device)
    momentum = _momentum(engine, parameter)
    if momentum is not None and parameter._hp_mapping.lp_fragment_address.start == 0:
        whole.copy_(momentum)
    torch.distributed.all_reduce(whole)
    return whole


def _slice_of_rank(parameter: Any, value: torch.Tensor) -> torch.Tensor:
    """This rank's slice of a whole tensor, padded at the end as stage 3 pads it.

    DeepSpeed's own setter of whole tensors at stage 3 slices without padding, and fails for a
    parameter whose size the world size does not divide.
    """
    length = parameter.ds_tensor.numel()
    flat = torch.zeros(length * ranks.world_size(), dtype=value.dtype, device=value.device)
    flat[: value.numel()] = value.flatten()
    return flat.narrow(0, length * ranks.rank(), length)
