"""How long the parts of a step take on a device, without waiting for it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FORWARD = "forward"
BACKWARD = "backward"
"""With the reduction of gradients, which DeepSpeed starts inside it."""
UPDATE = "update"
"""The optimizer, with the gathering of weights."""


class Stopwatch:
    """Adds up the seconds of parts until `take`: of this process on CPU, of the current stream on CUDA."""

    def __init__(self, device: torch.device | str) -> None:
        self._on_cuda = torch.device(device).type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time of a block."""
        if self._on_cuda:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            yield
            last.record()
            self._events.append((part, first, last))
        else:
            began = time.perf_counter()
            yield
            self._seconds[part] += time.perf_counter() - began

    def take(self) -> dict[str, float]:
        """The seconds by part since the last call. The device must be idle, as after a value of it was read."""
        for part, first, last in self._events:
            self._seconds[part] += first.elapsed_time(last) / 1000
        taken = dict(self._seconds)
        self._events.clear()
        self._seconds.clear()
        return taken
