"""AdamW whose updates are bounded where the second moment lags behind the gradient.

No library's version fits: the bound is one number a parameter, and ZeRO 1 to 3 give an optimizer flat
partitions that hold many parameters, cut where a rank's share ends. A library would take one number
a partition, and the result would change with the number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from camembert_bio.pretrain.optimizer_state import flat_groups


@dataclass(frozen=True)
class Fragment:
    """What a flat tensor holds of one parameter."""

    place: int
    """The parameter's place in its group."""
    start: int
    length: int


@dataclass(frozen=True)
class Layout:
    """Which parameters a flat tensor holds, all of them together with the other ranks' tensors of the group."""

    sizes: torch.Tensor
    """Elements of each parameter of the group, on all ranks: float32."""
    fragments: tuple[Fragment, ...]


class StableAdamW(torch.optim.Optimizer):
    """Wortsman et al. 2023 (arXiv 2304.13013), algorithm 2: AdamW with update clipping.

    For each parameter the rate is divided by the root of the mean of g² / v, where that is over 1: v,
    the second moment without its bias, is then too small for the gradient g, as it is when the loss is
    about to spike. `step` is collective where tensors are laid out over ranks.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps})
        self.layouts: dict[torch.Tensor, Layout] = {}
        """Of flat tensors; one without is a parameter that every rank has whole."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every tensor that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._update(tensor, group)

    def _update(self, tensor: torch.Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[tensor], tensor.grad
        assert gradient is not None
        state["step"] += 1
        count, (beta1, beta2), epsilon = float(state["step"]), group["betas"], group["eps"]
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        variance = square / (1 - beta2**count)
        surprise = gradient.square().div_(variance.clamp(min=epsilon**2))
        update = mean.div(variance.sqrt_().add_(epsilon)).div_(1 - beta1**count)
        for fragment, rate in self._rates(tensor, surprise, group["lr"]):
            part = tensor.narrow(0, fragment.start, fragment.length) if fragment else tensor
            change = update.narrow(0, fragment.start, fragment.length) if fragment else update
            part.mul_(1 - rate * group["weight_decay"]).sub_(change * rate)

    def _rates(
        self, tensor: torch.Tensor, surprise: torch.Tensor, rate: float
    ) -> list[tuple[Fragment | None, torch.Tensor]]:
        """The rate of each parameter's part of a tensor; (None, rate) for a parameter that is whole."""
        layout = self.layouts.get(tensor)
        if layout is None:
            return [(None, rate / surprise.mean().sqrt().clamp(min=1))]
        sums = torch.zeros_like(layout.sizes)
        for fragment in layout.fragments:
            sums[fragment.place] = surprise.narrow(0, fragment.start, fragment.length).sum()
        torch.distributed.all_reduce(sums)
        rates = (rate / (sums / layout.sizes).sqrt().clamp(min=1)).to(tensor.device)
        return [(fragment, rates[fragment.place]) for fragment in layout.fragments]


def lay_out(optimizer: StableAdamW, engine: Any) -> None:
    """Tell the optimizer which parameters the flat tensors of a DeepSpeed engine hold."""
    zero, stage, device = engine.optimizer, engine.zero_optimization_stage(), engine.device
    if stage in (1, 2):
        for tensor, parameters in flat_groups(engine):
            mappings: list[Any] = [getattr(parameter, "_hp_mapping", None) for parameter in parameters]
            held = [(place, mapping) for place, mapping in enumerate(mappings) if mapping is not None]
            addresses = [(place, mapping.get_hp_fragment_address()) for place, mapping in held]
            fragments = tuple(Fragment(place, address.start, address.numel) for place, address in addresses)
            optimizer.layouts[tensor] = Layout(_sizes([p.numel() for p in parameters], device), fragments)
    elif stage == 3:
        for parameters, tensor in zip(zero.fp16_groups, zero.fp32_partitioned_groups_flat, strict=True):
            positions = [zero.grad_position[zero.get_param_id(p)] for p in parameters]
            fragments = tuple(Fragment(place, start, length) for place, (_, start, length) in enumerate(positions))
            optimizer.layouts[tensor] = Layout(_sizes([p.ds_numel for p in parameters], device), fragments)


def _sizes(numbers: list[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32, device=device)
