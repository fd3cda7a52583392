"""Jobs of several ranks, started directly: what a launcher does, with every output kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLI = ("-m", "camembert_bio")


class Job:
    """`num_ranks` processes of one Python command; a context that leaves none of them behind."""

    def __init__(self, arguments: Sequence[object], num_ranks: int = 2, bound_s: float = 120) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        shared = {"WORLD_SIZE": str(num_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": path}
        self._deadline = time.monotonic() + bound_s
        self._logs = [tempfile.TemporaryFile("w+") for _ in range(num_ranks)]  # noqa: SIM115 (open as long as the job)
        self.processes = [
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
                stdout=self._logs[rank],
                stderr=subprocess.STDOUT,
            )
            for rank in range(num_ranks)
        ]

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for log in self._logs:
            log.close()

    def outputs(self) -> list[str]:
        """What each rank has printed, both streams together."""
        texts = []
        for log in self._logs:
            log.seek(0)
            texts.append(log.read())
        return texts

    def codes(self) -> list[int | None]:
        return [process.poll() for process in self.processes]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fails, with the outputs, when the ranks end first or time is up."""
        while not condition():
            if time.monotonic() > self._deadline or None not in self.codes():
                self._fail("ended or timed out before what was waited for")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to every rank that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def wait(self) -> list[int]:
        """The exit codes; fails when time is up. A rank that outlives a failed one gets 20 s."""
        failed_at: float | None = None
        while None in (codes := self.codes()):
            now = time.monotonic()
            if failed_at is None and any(code not in (None, 0) for code in codes):
                failed_at = now
            if now > self._deadline or (failed_at is not None and now > failed_at + 20):
                self._fail("did not end")
            time.sleep(0.02)
        return [process.returncode for process in self.processes]

    def _fail(self, what: str) -> None:
        codes = self.codes()
        self.kill()
        texts = "\n".join(f"--- rank {rank}\n{text[-4000:]}" for rank, text in enumerate(self.outputs()))
        raise AssertionError(f"the job {what}; exit codes {codes}\n{texts}")


def run(arguments: Sequence[object], num_ranks: int = 2, expect: int = 0, bound_s: float = 120) -> list[str]:
    """Outputs by rank of a job whose every rank must exit with `expect`; else the outputs are in the failure."""
    with Job(arguments, num_ranks, bound_s) as job:
        if job.wait() != [expect] * num_ranks:
            job._fail(f"should have exited with {expect}")
        return job.outputs()
