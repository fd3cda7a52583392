"""Time of the runs, and the energy and CO2e that it comes to under stated factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from camembert_bio import devices
from camembert_bio.evaluation.results import Result


@dataclass(frozen=True)
class Factors:
    """What turns hours into energy."""

    watts: float | None = None
    """Power of a run's device; None for what its name says."""
    pue: float = devices.PUE
    """Power of the site over that of its machines."""

    def power(self, device: str) -> tuple[float, str]:
        """Watts of a device that a result names, and where they come from."""
        if self.watts is not None:
            return self.watts, "given"
        if device == devices.CPU:
            return devices.CPU_W, "assumed"
        known = devices.recognise(device)
        if known is None or known.power_w is None:
            return devices.OTHER_GPU_W, "assumed"
        return known.power_w, known.source


DEFAULT_FACTORS = Factors()


@dataclass(frozen=True)
class Cost:
    """The runs of one model on one kind of device."""

    model: str
    device: str
    num_runs: int
    hours: float
    """Of loading and training, evaluations on validation included; predicting the test documents is not."""
    kwh: float
    grams: Mapping[str, float]
    """CO2e by the electricity's place."""


def costs(runs: Iterable[Result], factors: Factors) -> list[Cost]:
    """The cost of each model on each kind of device, in the order of the runs."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        seconds.setdefault((run.model, run.device), []).append(run.train_s)
    found = []
    for (model, device), each in seconds.items():
        hours = sum(each) / 3600
        kwh = hours * factors.power(device)[0] / 1000 * factors.pue
        grams = {grid.name: kwh * grid.g_per_kwh for grid in devices.GRIDS}
        found.append(Cost(model, device, len(each), hours, kwh, grams))
    return found
