"""The memory of a step on one device, predicted without one: weights, gradients, optimizer, activations, buffers.

What a pass holds is traced (`activations`); the rest follows from what DeepSpeed 0.19 keeps at each ZeRO stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camembert_bio.pretrain.activations import Pass

_FULL = 4
"""Bytes of a master, a moment or an accumulated gradient: all are fp32."""


@dataclass(frozen=True)
class StageMemory:
    """Bytes on one device at a ZeRO stage, by part; `peak` is less than their sum where parts take turns."""

    stage: int
    weights: int
    """What forward and backward compute with."""
    gradients: int
    optimizer: int
    """Masters and both moments."""
    activations: int
    head: int
    """Logits, loss and the temporaries of the backward pass, at the worst moment."""
    buckets: int
    """Communication buffers."""
    peak: int
    host: int
    """What offloading keeps in the memory of the node instead, for this rank."""


@dataclass(frozen=True)
class Layout:
    """What a run's memory depends on beside the pass."""

    num_parameters: int
    num_moments: int
    """Numbers that the optimizer keeps beside the masters; AdamW's are two a parameter."""
    world_size: int
    precision: str
    accumulation: int
    """Micro-batches of a step on each rank."""
    on_cpu: bool
    """There a buffer takes memory where it was written alone, on accelerators as a whole."""

    @property
    def size(self) -> int:
        """Bytes of a weight in forward and backward."""
        return 4 if self.precision == "fp32" else 2

    @property
    def share(self) -> int:
        """Bytes of one rank's share of masters, or of summed gradients."""
        return _FULL * self.num_parameters // self.world_size

    @property
    def states(self) -> int:
        """Bytes of one rank's share of masters and moments."""
        return self.share + _FULL * self.num_moments // self.world_size


def stage_memory(work: Pass, layout: Layout, zero: Mapping[str, Any]) -> StageMemory:
    """The parts at the stage of a ds_config's `zero_optimization`.

    Sources: DeepSpeed 0.19.8, `stage_1_and_2.py`, `stage3.py` and `bf16_optimizer.py`, and what was measured on
    one and two ranks at each stage. A step has two moments that may be the worst: in the last backward pass, and
    where gradients are copied to be sent or to become the optimizer's.
    """
    stage = zero["stage"]
    held = _STAGES[stage](work, layout, zero)
    host = 0 if layout.on_cpu else _offloaded(held, zero)
    return StageMemory(
        stage=stage,
        weights=held.weights,
        gradients=held.gradients,
        optimizer=held.optimizer,
        activations=work.activations,
        head=max(work.next, work.first) - work.activations,
        buckets=held.buckets,
        peak=held.weights + held.optimizer + max(held.backward, held.update) - host,
        host=host,
    )


@dataclass(frozen=True)
class _Held:
    """Bytes at one stage; `backward` and `update` are what the two moments hold beside weights and optimizer."""

    weights: int
    gradients: int
    optimizer: int
    buckets: int
    backward: int
    update: int


def _stage_0(work: Pass, layout: Layout, zero: Mapping[str, Any]) -> _Held:
    """Everything whole; gradients are flattened into a copy to be sent."""
    whole = _FULL * layout.num_parameters
    backward = whole + work.next if layout.accumulation > 1 else work.first
    return _Held(whole, whole, _FULL * layout.num_moments, 0, backward, whole * (2 if layout.world_size > 1 else 1))


def _stage_1(work: Pass, layout: Layout, zero: Mapping[str, Any]) -> _Held:
    """Masters and moments in shares; gradients whole until the step's last micro-batch."""
    size, whole, share = layout.size, _FULL * layout.num_parameters, layout.share
    if layout.precision == "bf16":
        # DeepSpeed's BF16_Optimizer: bf16 gradients and the fp32 ones that they are added to; both are copied.
        gradients = whole + size * layout.num_parameters
        backward = gradients + work.next if layout.accumulation > 1 else whole + work.first
        return _Held(size * layout.num_parameters, gradients, layout.states, 0, backward, 2 * gradients)
    summed = 0 if size == _FULL else whole
    own = size * layout.num_parameters
    bucket = _bucket(layout, zero, _FULL)
    backward = summed + (own + work.next if layout.accumulation > 1 else work.first)
    backward += 0 if layout.on_cpu else bucket
    return _Held(own, summed + own, layout.states, bucket, backward, summed + own + share + bucket)


def _stage_2(work: Pass, layout: Layout, zero: Mapping[str, Any]) -> _Held:
    """Gradients in shares too, sent while the backward pass runs."""
    share, bucket = layout.share, _bucket(layout, zero, layout.size)
    summed = share if layout.accumulation > 1 or layout.size < _FULL else 0
    backward = summed + work.first + (0 if layout.on_cpu else bucket)
    return _Held(layout.size * layout.num_parameters, share, layout.states, bucket, backward, 2 * share)


def _stage_3(work: Pass, layout: Layout, zero: Mapping[str, Any]) -> _Held:
    """Weights in shares too; on several ranks those of the whole model are gathered, for it is below a billion."""
    own, share = layout.size * layout.num_parameters, layout.share
    bucket = _bucket(layout, zero, layout.size)
    ahead = layout.size * min(layout.num_parameters, zero.get("stage3_prefetch_bucket_size", 50_000_000))
    gathered = own + ahead if layout.world_size > 1 else 0
    backward = gathered + share + bucket + work.first
    return _Held(own // layout.world_size, share, layout.states, bucket, backward, 2 * share + bucket)


_STAGES = {0: _stage_0, 1: _stage_1, 2: _stage_2, 3: _stage_3}


def _bucket(layout: Layout, zero: Mapping[str, Any], size: int) -> int:
    """Bytes of the buffers in which gradients are sent."""
    elements: int = zero.get("reduce_bucket_size", 500_000_000)
    if layout.on_cpu:
        elements = min(elements, layout.num_parameters)
    double = zero.get("overlap_comm", False) and zero["stage"] < 3 and not layout.on_cpu
    return size * elements * (2 if double else 1)


def _offloaded(held: _Held, zero: Mapping[str, Any]) -> int:
    """Bytes that `offload_optimizer` and `offload_param` keep in the node's memory."""
    states = held.optimizer + held.gradients if zero.get("offload_optimizer", {}).get("device") == "cpu" else 0
    return states + (held.weights if zero.get("offload_param", {}).get("device") == "cpu" else 0)
