"""A plan as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_GB = 1e9


def text(plan: dict[str, Any]) -> str:
    """The plan that `plan.plan` made, every factor of its estimates shown."""
    return "\n\n".join([_run(plan), _phases(plan), _memory(plan), _devices(plan), _factors(plan)])


def _run(plan: dict[str, Any]) -> str:
    parts = plan["parameters"]
    counts = ", ".join(f"{name} {parts[name]:,}" for name in ("embeddings", "layers", "head"))
    return "\n".join(
        [
            f"nothing stands against it; the run {'is resumed' if plan['resumes'] else 'is new'}",
            f"parameters: {parts['total']:,} ({counts})",
            f"ranks: {plan['ranks']}, steps: {plan['steps']:,}, tokens: {plan['tokens']:,} (padding included)",
            f"computation: {plan['flops'] / 1e15:,.3g} PFLOP; held-out windows: {plan['heldout_windows']:,}",
        ]
    )


def _phases(plan: dict[str, Any]) -> str:
    heads = [
        "phase",
        "objective",
        "length",
        "batch",
        "accumulation",
        "steps",
        "tokens",
        "fill",
        "epochs of each source",
    ]
    rows = [
        [
            number,
            phase["objective"],
            phase["seq_length"],
            phase["global_batch_size"],
            phase["gradient_accumulation_steps"],
            f"{phase['steps']:,}",
            f"{phase['tokens']:,}",
            f"{phase['window_fill']:.1%}",
            ", ".join(f"{name} {epochs:g}" for name, epochs in phase["epochs"].items()),
        ]
        for number, phase in enumerate(plan["phases"], 1)
    ]
    return _table(heads, rows)


def _memory(plan: dict[str, Any]) -> str:
    told = plan["memory"]
    parts = ("weights", "gradients", "optimizer", "activations", "head", "buckets", "peak", "host")
    names = {"optimizer": "masters, moments", "head": "logits, temporary", "host": "on the node"}
    rows = [
        [
            f"{row['stage']}{' *' if row['stage'] == told['stage'] else ''}",
            *(f"{row[part] / _GB:.2f}" for part in parts),
        ]
        for row in told["stages"]
    ]
    title = (
        f"GB on {told['device']}, phase {told['phase']}, {told['rows']} windows a micro-batch (* the recipe's stage; "
        "parts take turns, so the peak is below their sum)"
    )
    return f"{title}\n{_table(['ZeRO', *(names.get(part, part) for part in parts)], rows)}"


def _devices(plan: dict[str, Any]) -> str:
    grids = list(plan["factors"]["grids"])
    heads = ["device", "GB", "peak GB", "largest micro-batch", "TFLOP/s", "hours", "kWh"]
    rows = [
        [
            device["name"],
            device["memory_gb"],
            f"{device['peak_gb']:.2f}{'' if device['peak_gb'] <= device['memory_gb'] else ' (too much)'}",
            ", ".join(str(rows or "none") for rows in device["largest_micro_batch"]),
            f"no {device['lacks']}" if device["lacks"] else _number(device["tflops"]),
            _number(device["hours"]),
            _number(device["kwh"]),
            *(_number(device["kg_co2e"][grid]) for grid in grids),
        ]
        for device in plan["devices"]
    ]
    return _table([*heads, *(f"kg CO2e {grid}" for grid in grids)], rows)


def _factors(plan: dict[str, Any]) -> str:
    factors = plan["factors"]
    grids = "; ".join(f"{name} {grid['g_per_kwh']:g} ({grid['source']})" for name, grid in factors["grids"].items())
    lines = [
        f"hours = FLOP / (ranks x peak in {factors['precision']} x MFU {factors['mfu']:g})",
        f"kWh = hours x ranks x power of the device x PUE {factors['pue']:g}; g CO2e a kWh: {grids}",
    ]
    lines += [
        f"{device['name']}: {_number(device['power_w'])} W, {_number(device['tflops'])} TFLOP/s ({device['source']})"
        for device in plan["devices"]
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """Three digits, or a dash where nothing is known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[str(value) for value in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
