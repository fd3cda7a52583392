"""Fine-tuning runs side by side on one machine: a process for each worker, a GPU or a share of the cores for each.

The processes share the grid as any do (`claims.py`): each does the runs that are neither done nor claimed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

from camembert_bio.errors import RunError

_PARENT = "CAMEMBERT_BIO_PARENT"
"""Variable of a worker's environment: the id of the process that started it."""
_PR_SET_PDEATHSIG = 1
"""Of Linux' prctl(2)."""


def run_workers(arguments: Sequence[str], num_workers: int) -> None:
    """Run `camembert-bio ARGUMENTS` in so many processes and wait for all; their messages go to stderr, line by line.

    Raises `RunError` when one fails: the others have gone on, and what is done stays done. They end with this process,
    however it ends: `end_with_parent`.
    """
    import torch

    num_cores = len(os.sched_getaffinity(0))
    places = environments(num_workers, os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count(), num_cores)
    command = [sys.executable, "-m", "camembert_bio", *arguments]
    processes: list[subprocess.Popen[str]] = []
    try:
        for place in places:
            silent, piped = subprocess.DEVNULL, subprocess.PIPE
            environment = {**os.environ, **place, _PARENT: str(os.getpid())}
            processes.append(
                subprocess.Popen(command, env=environment, stdout=silent, stderr=piped, text=True, errors="replace")
            )
        readers = [
            threading.Thread(target=_forward, args=(number, process.stderr)) for number, process in enumerate(processes)
        ]
        for reader in readers:
            reader.start()
        codes = [process.wait() for process in processes]
        for reader in readers:
            reader.join()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    if failed := [f"worker {number} with code {code}" for number, code in enumerate(codes) if code]:
        raise RunError(
            f"{len(failed)} of {num_workers} workers failed: {', '.join(failed)}; their messages stand above"
        )


def end_with_parent() -> None:
    """In a worker: be sent SIGTERM when the process that started it ends, as by SIGKILL; elsewhere nothing.

    Raises `RunError` when that process has ended already.
    """
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise RunError("the process that started this worker has ended; start it again")


def environments(num_workers: int, visible: str | None, num_gpus: int, num_cores: int) -> list[dict[str, str]]:
    """What each worker's environment says of its place: one of the visible GPUs in turn, or a number of threads."""
    if not num_gpus:
        return [{"OMP_NUM_THREADS": str(max(1, num_cores // num_workers))}] * num_workers
    gpus = visible.split(",")[:num_gpus] if visible else [str(index) for index in range(num_gpus)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)].strip()} for number in range(num_workers)]


def _forward(number: int, stream: IO[str] | None) -> None:
    assert stream is not None
    for line in stream:
        sys.stderr.write(f"[worker {number}] {line}")
