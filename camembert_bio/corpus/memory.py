"""How much memory a process took."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mb() -> int:
    """The largest memory that this process had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; its ru_maxrss would count the parent's memory at the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1024 / 1e6)
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte / 1e6)
