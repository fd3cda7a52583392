"""What a recipe's phases hold on a device, and which micro-batches fit there."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

from camembert_bio.data.order import Order, accumulation_steps
from camembert_bio.devices import Device
from camembert_bio.model.encoder import num_parameters
from camembert_bio.pretrain import activations, memory
from camembert_bio.pretrain.activations import Pass, Work
from camembert_bio.pretrain.optimizers import hidden_matrices
from camembert_bio.pretrain.preflight import Ready
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import PlacedPhase, phases
from camembert_bio.pretrain.settings import engine_settings, read_ds_config
from camembert_bio.shards.packing import NUM_ADDED

_TRACED_TOKENS = 4096
"""Least positions of a micro-batch from which, and from its double, others are extrapolated: what a pass holds is
linear in the rows once activations outweigh a matrix's gradient. On CPU a trace takes longer: the recipe's do."""


@dataclass(frozen=True)
class Load:
    """One phase on one rank, as far as memory depends on it."""

    phase: PlacedPhase
    accumulation: int
    rate: float
    """Targets a position, the most during the phase."""
    lengths: tuple[int, ...]
    """Of the segments and paddings of one typical window."""


class Fits:
    """The memory of a recipe's phases on devices; passes are traced once."""

    def __init__(self, recipe: Pretrain, ready: Ready, world_size: int) -> None:
        self._recipe, self._config, self._world_size = recipe, ready.encoder.config, world_size
        self._num_parameters = num_parameters(ready.encoder)
        self._num_moments = _num_moments(recipe, ready.encoder)
        self._passes: dict[Work, Pass] = {}
        self._loads = [_load(*pair, world_size) for pair in zip(phases(recipe), ready.orders, strict=True)]
        self._zero = engine_settings(recipe)["zero_optimization"]

    def stages(self, device: Device) -> dict[str, Any]:
        """The parts at each ZeRO stage for the phase that takes most, with the recipe's micro-batch."""
        own = self._zero["stage"]
        by_stage = {stage: read_ds_config(f"zero{stage}")["zero_optimization"] for stage in range(4)} | {
            own: self._zero
        }
        if self._recipe.precision != "fp32":
            del by_stage[0]  # refused: 16-bit weights need masters
        heaviest = max(self._loads, key=lambda load: self._held(load, device, self._zero, None).peak)
        parts = [asdict(self._held(heaviest, device, zero, None)) for _, zero in sorted(by_stage.items())]
        phase = heaviest.phase
        told = {"device": device.name, "phase": phase.number, "rows": phase.micro_batch_size}
        return {**told, "stage": own, "stages": parts}

    def peak(self, device: Device) -> int:
        """The most bytes that any phase holds at the recipe's stage and micro-batch."""
        return max(self._held(load, device, self._zero, None).peak for load in self._loads)

    def micro_batches(self, device: Device) -> list[int]:
        """The largest micro-batch that fits, and divides the batch, in each phase; 0 where none does."""
        return [self._fitting(load, device) for load in self._loads]

    def _fitting(self, load: Load, device: Device) -> int:
        rows_of_rank = load.phase.global_batch_size // self._world_size
        for rows in (rows for rows in range(rows_of_rank, 0, -1) if rows_of_rank % rows == 0):
            if self._held(load, device, self._zero, rows).peak <= device.memory_gb * 1e9:
                return rows
        return 0

    def _held(self, load: Load, device: Device, zero: dict[str, Any], rows: int | None) -> memory.StageMemory:
        """Of the recipe's own micro-batch, or of one of so many rows."""
        accumulation = load.accumulation
        if rows is None:
            work = self._traced(load, device, load.phase.micro_batch_size)
        else:
            work = self._extrapolated(load, device, rows)
            accumulation = load.phase.global_batch_size // self._world_size // rows
        layout = memory.Layout(
            num_parameters=self._num_parameters,
            num_moments=self._num_moments,
            world_size=self._world_size,
            precision=self._recipe.precision,
            accumulation=accumulation,
            on_cpu=device.is_cpu,
        )
        return memory.stage_memory(work, layout, zero)

    def _extrapolated(self, load: Load, device: Device, rows: int) -> Pass:
        """A pass of so many rows from two that were traced."""
        few = load.phase.micro_batch_size
        if not device.is_cpu:
            few = max(few, _TRACED_TOKENS // load.phase.seq_length)
        many = 2 * few
        low, high = (asdict(self._traced(load, device, some)) for some in (few, many))
        slope = {name: (high[name] - low[name]) / (many - few) for name in low}
        return Pass(**{name: round(low[name] + slope[name] * (rows - few)) for name in low})

    def _traced(self, load: Load, device: Device, rows: int) -> Pass:
        length = load.phase.seq_length
        work = Work(
            rows=rows,
            seq_length=length,
            num_targets=round(load.rate * rows * length),
            precision=self._recipe.precision,
            attention=activations.attention_on(device, self._recipe.precision, self._config),
            causal=load.phase.objective.kind == "causal",
            checkpointed=self._recipe.activation_checkpointing,
        )
        if work.attention == "by segment":
            work = replace(work, lengths=load.lengths * rows)
        if work not in self._passes:
            self._passes[work] = activations.trace(self._config, work)
        return self._passes[work]


def _load(phase: PlacedPhase, order: Order, world_size: int) -> Load:
    objective, table = phase.objective, order.table
    middle = len(table) // 2
    lengths = [int(n) + NUM_ADDED for n in table.length[table.offsets[middle] : table.offsets[middle + 1]]]
    padding = [phase.seq_length - sum(lengths)] if sum(lengths) < phase.seq_length else []
    rate = max(objective.mlm_probability, objective.final_mlm_probability or 0.0)
    return Load(
        phase,
        accumulation_steps(phase.global_batch_size, phase.micro_batch_size, world_size),
        1.0 if objective.kind == "causal" else rate,
        (*lengths, *padding),
    )


def parameters_by_part(encoder: Any) -> dict[str, int]:
    """Parameters by part of the model, each counted once."""
    base = encoder.base_model
    counted: Counter[str] = Counter()
    inside = {id(parameter): name for name, parameter in base.named_parameters()}
    for parameter in encoder.parameters():
        name = inside.get(id(parameter))
        part = "head" if name is None else "embeddings" if name.startswith("embeddings.") else "layers"
        counted[part] += parameter.numel()
    return {"total": sum(counted.values()), **{part: counted[part] for part in ("embeddings", "layers", "head")}}


def _num_moments(recipe: Pretrain, encoder: Any) -> int:
    """Numbers that the optimizer keeps beside the masters: two a parameter, one where Muon works."""
    moments = 2 * num_parameters(encoder)
    if recipe.optimizer.kind == "muon":
        moments -= sum(matrix.numel() for matrix in hidden_matrices(encoder.base_model))
    return moments
