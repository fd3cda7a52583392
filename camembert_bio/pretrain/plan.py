"""What a run will take, told before it starts: parameters, memory, tokens, hours, energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from camembert_bio import devices
from camembert_bio.data.order import Order, accumulation_steps
from camembert_bio.devices import Device
from camembert_bio.model.flops import ModelFlops, model_flops
from camembert_bio.pretrain import run_folder
from camembert_bio.pretrain.fitting import Fits, parameters_by_part
from camembert_bio.pretrain.preflight import Ready
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import PlacedPhase, num_steps, num_tokens, phases
from camembert_bio.shards.packing import NUM_ADDED

DEFAULT_MFU = 0.4
"""Share of the peak that training is assumed to reach where nobody measured it; well-set runs reach 0.3 to 0.6."""


_SHOWN = "A100-80"
"""Whose parts of the memory are told when no device is asked for."""


@dataclass(frozen=True)
class Assumptions:
    """What a plan supposes and no recipe says."""

    world_size: int
    mfu: float = DEFAULT_MFU
    pue: float = devices.PUE
    device: str | None = None
    """Name of the device to plan for; None plans for every known one."""


def plan(recipe: Pretrain, ready: Ready, assumed: Assumptions) -> dict[str, Any]:
    """The plan of a run against which nothing stands, as plain values; bytes, hours, kWh and kg.

    Raises `UserError` when the device is not known.
    """
    chosen = devices.DEVICES if assumed.device is None else (devices.find_device(assumed.device),)
    repeats = ready.corpus.manifest.repeats(recipe.source_repeats)
    costs = model_flops(ready.encoder.config)
    told = [_phase(repeats, costs, *pair, assumed) for pair in zip(phases(recipe), ready.orders, strict=True)]
    flops = sum(phase["flops"] for phase in told)
    fits = Fits(recipe, ready, assumed.world_size)
    return {
        "resumes": run_folder.has_begun(recipe.output),
        "parameters": parameters_by_part(ready.encoder),
        "ranks": assumed.world_size,
        "steps": num_steps(recipe),
        "tokens": num_tokens(recipe),
        "flops": flops,
        "heldout_windows": min(ready.num_heldout, recipe.evaluation.max_windows),
        "phases": told,
        "memory": fits.stages(chosen[0] if assumed.device else devices.find_device(_SHOWN)),
        "devices": [_on_device(recipe, device, fits, flops, assumed) for device in chosen],
        "factors": {
            "mfu": assumed.mfu,
            "pue": assumed.pue,
            "precision": recipe.precision,
            "grids": {grid.name: {"g_per_kwh": grid.g_per_kwh, "source": grid.source} for grid in devices.GRIDS},
        },
    }


def _phase(
    repeats: Mapping[str, float], costs: ModelFlops, phase: PlacedPhase, order: Order, assumed: Assumptions
) -> dict[str, Any]:
    """What one phase reads and computes."""
    epochs = phase.num_steps * phase.global_batch_size / order.epoch_length
    return {
        "objective": phase.objective.kind,
        "seq_length": phase.seq_length,
        "global_batch_size": phase.global_batch_size,
        "gradient_accumulation_steps": accumulation_steps(
            phase.global_batch_size, phase.micro_batch_size, assumed.world_size
        ),
        "steps": phase.num_steps,
        "tokens": phase.num_tokens,
        "windows_per_epoch": order.epoch_length,
        "window_fill": round(order.table.fill, 4),
        "epochs": {source: round(epochs * repeats[source], 3) for source in order.table.sources},
        "flops": round(epochs * _flops_of_epoch(repeats, costs, phase, order)),
    }


def _flops_of_epoch(repeats: Mapping[str, float], costs: ModelFlops, phase: PlacedPhase, order: Order) -> float:
    """FLOPs of training on every window of an epoch, from the lengths of its segments."""
    total, causal = 0.0, phase.objective.kind == "causal"
    for source, lengths in _lengths_by_source(order):
        tokens = int(lengths.sum())
        targets = tokens - len(lengths) if causal else _mean_rate(phase) * (tokens - NUM_ADDED * len(lengths))
        total += repeats[source] * costs.training(lengths, round(targets), causal)
    return total


def _lengths_by_source(order: Order) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.int64]]]]:
    """Lengths of the segments of each source's windows, `<s>` and `</s>` counted."""
    table = order.table
    bounds = table.offsets[table.source_offsets]
    for source, first, last in zip(table.sources, bounds, bounds[1:], strict=False):
        yield source, table.length[first:last].astype(np.int64) + NUM_ADDED


def _mean_rate(phase: PlacedPhase) -> float:
    """The mask rate of a phase, on average."""
    objective = phase.objective
    last = objective.mlm_probability if objective.final_mlm_probability is None else objective.final_mlm_probability
    return (objective.mlm_probability + last) / 2


def _on_device(recipe: Pretrain, device: Device, fits: Fits, flops: float, assumed: Assumptions) -> dict[str, Any]:
    """What fits on a device, how long it takes there and what that costs."""
    peak = device.peak_flops(recipe.precision)
    if peak is None and device.is_cpu and recipe.device_peak_tflops is not None:
        peak = 1e12 * recipe.device_peak_tflops
    hours = None if peak is None else flops / (assumed.world_size * peak * assumed.mfu) / 3600
    kwh = (
        None
        if hours is None or device.power_w is None
        else assumed.world_size * device.power_w / 1000 * assumed.pue * hours
    )
    return {
        "name": device.name,
        "memory_gb": device.memory_gb,
        "power_w": device.power_w,
        "tflops": None if peak is None else peak / 1e12,
        "lacks": recipe.precision if recipe.precision == "bf16" and not device.has_bf16 else None,
        "peak_gb": round(fits.peak(device) / 1e9, 2),
        "largest_micro_batch": fits.micro_batches(device),
        "hours": hours,
        "kwh": kwh,
        "kg_co2e": {grid.name: None if kwh is None else kwh * grid.g_per_kwh / 1000 for grid in devices.GRIDS},
        "source": device.source,
    }
