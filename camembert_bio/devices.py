"""Accelerators by name: memory, power and peak arithmetic; electricity by place. What a plan and MFU divide by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from camembert_bio.errors import UserError, nearest

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Device:
    """One accelerator as its vendor describes it."""

    name: str
    memory_gb: int
    """10^9 bytes; drivers show a little more, which is left for the context and for fragmentation."""
    power_w: int | None
    """Thermal design power."""
    fp32_tflops: float | None
    """Dense peak of the arithmetic that torch uses for fp32 (not TF32, which is off by default)."""
    half_tflops: float | None
    """Dense peak of matrix products in 16 bits with fp32 sums; half of what is printed "with sparsity"."""
    has_bf16: bool
    has_flash: bool
    """Whether torch's variable-length attention runs on it: CUDA of compute capability 8.0 or more."""
    source: str
    """Where the numbers are printed."""
    ending: str
    """How the name ends that `torch.cuda.get_device_name()` gives on such a device."""

    @property
    def is_cpu(self) -> bool:
        """Whether it is the machine itself."""
        return self.name == CPU

    def peak_flops(self, precision: Precision) -> float | None:
        """FLOP/s at a precision; None where the device has none, or where it is not known."""
        tflops = self.fp32_tflops if precision == "fp32" else self.half_tflops
        return None if tflops is None or (precision == "bf16" and not self.has_bf16) else 1e12 * tflops


CPU = "cpu"
"""Name of the device that this machine's processors are."""


_NVIDIA = "NVIDIA data sheet of the"

DEVICES = (
    Device("V100-16", 16, 300, 15.7, 125.0, False, False, f"{_NVIDIA} Tesla V100 (SXM2)", "V100-SXM2-16GB"),
    Device("V100-32", 32, 300, 15.7, 125.0, False, False, f"{_NVIDIA} Tesla V100 (SXM2)", "V100-SXM2-32GB"),
    Device("A100-40", 40, 400, 19.5, 312.0, True, True, f"{_NVIDIA} A100 (SXM4)", "A100-SXM4-40GB"),
    Device("A100-80", 80, 400, 19.5, 312.0, True, True, f"{_NVIDIA} A100 (SXM4)", "A100-SXM4-80GB"),
    Device("H100-80", 80, 700, 67.0, 989.4, True, True, f"{_NVIDIA} H100 (SXM5)", "H100 80GB HBM3"),
    Device("H200-141", 141, 700, 67.0, 989.4, True, True, f"{_NVIDIA} H200 (SXM)", "H200"),
    # One of the two dies of the card, which torch sees as a device: half of the card's 128 GB, 560 W and peaks.
    Device("MI250X-64", 64, 280, 23.9, 191.5, True, False, "AMD data sheet of the Instinct MI250X, halved", "MI250X"),
    Device("L4", 24, 72, 30.3, 121.0, True, True, f"{_NVIDIA} L4", "NVIDIA L4"),
    Device("A10", 24, 150, 31.2, 125.0, True, True, f"{_NVIDIA} A10", "NVIDIA A10"),
    Device("T4", 16, 70, 8.1, 65.0, False, False, f"{_NVIDIA} T4", "T4"),
    Device("RTX-4090", 24, 450, 82.6, 165.2, True, True, "NVIDIA Ada GPU architecture paper, appendix A", "RTX 4090"),
)
"""Known devices; the numbers of each are those of its `source`."""


@dataclass(frozen=True)
class Grid:
    """Electricity of a place."""

    name: str
    g_per_kwh: float
    """CO2e of a kWh generated."""
    source: str


GRIDS = (
    Grid("France", 21.7, "RTE, Bilan électrique 2024"),
    Grid("EU", 213.0, "Ember, European Electricity Review 2025, of 2024"),
    Grid("world", 473.0, "Ember, Global Electricity Review 2025, of 2024"),
)
"""Yearly means. The published run was counted at 34 g/kWh (France, an earlier year)."""

PUE = 1.58
"""Power of a data centre over that of its machines: the mean of the Uptime Institute's survey of 2023. Jean Zay and
other new sites are nearer to 1.2: `--pue` gives one's own."""

OTHER_GPU_W = 300.0
"""Assumed of a GPU that is none of `DEVICES`: what the published run was counted with (0.3 kW, arXiv 2306.15550v3)."""
CPU_W = 65.0
"""Assumed of the processors that a run on the CPU keeps busy: the design power of many desktop processors."""


def find_device(name: str) -> Device:
    """A device by its name here, whatever the case; `cpu` is this machine. Raises `UserError` with the nearest name."""
    known = {device.name.lower(): device for device in (*DEVICES, this_machine())}
    if name.lower() not in known:
        names = [*(device.name for device in DEVICES), CPU]
        raise UserError(f"device {name!r} is not known ({nearest(name, names)}); known: {', '.join(names)}")
    return known[name.lower()]


def this_machine() -> Device:
    """The processors here: their memory is known, neither their peak nor their power."""
    num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(CPU, num_bytes // 10**9, None, None, None, True, False, "this machine", CPU)


def recognise(cuda_name: str) -> Device | None:
    """The device of a name that `torch.cuda.get_device_name()` gives; None when it is none of ours."""
    return next((device for device in DEVICES if cuda_name.endswith(device.ending)), None)
