"""Who does the work of `prepare`: this process, processes of this machine, or ranks of MPI on many.

Tasks are functions of plain arguments that write files and return counts, so that whoever runs them, and in
whatever order, the files are the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from camembert_bio import log
from camembert_bio.corpus.memory import peak_memory_mb
from camembert_bio.errors import ON_EVERY_RANK, RunError, UserError

Result = TypeVar("Result")
Measured = tuple[Result, float, int]

STOP = "stop"
"""File in the work folder that asks tasks to return at their next block."""
_STOP_WAIT_S = 1.0
_MPI_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Variables in which mpirun (Open MPI, MPICH) and srun --mpi=pmi2 say how many ranks there are."""
_STEP_SIZE = "SLURM_STEP_NUM_TASKS"
"""How many tasks srun started, with MPI or without; a shell from `srun --pty` hands its own on to mpirun's ranks."""


class Workers:
    """Runs tasks; `num` of them at a time."""

    def __init__(self, executor: Any, num: int, stop: Path) -> None:
        # A concurrent.futures.Executor or MPI's, which is one in all but type; None: this process.
        self._executor, self.num, self._stop = executor, num, stop
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        """CPU-seconds of the tasks run so far, by title."""
        self.peaks_mb: dict[str, int] = {}
        """The largest memory of a process that ran one, by title, since the process began."""

    @property
    def inline_cpu_s(self) -> float:
        """CPU-seconds of the tasks that this very process ran."""
        return sum(self.cpu_s.values()) if self._executor is None else 0.0

    def run(self, title: str, task: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> list[Result]:
        """The results of `task(*arguments)` for each call, in the calls' order; a bar on a terminal.

        The first error stops the others at their next block and is raised.
        """
        with tqdm(total=len(calls), desc=title, leave=False, disable=not log.terminal()) as bar:
            if self._executor is None:
                return [self._done(bar, title, _measured(task, arguments)) for arguments in calls]
            futures = [self._executor.submit(_measured, task, arguments) for arguments in calls]
            numbers = {future: number for number, future in enumerate(futures)}
            results: dict[int, Result] = {}
            try:
                for future in as_completed(futures):
                    results[numbers[future]] = self._done(bar, title, future.result())
            except BaseException as error:
                with suppress(OSError):  # a full disk must not hide what happened
                    self._stop.touch()
                # A request to stop waits for no task: what is in work is lost, and made again by the next command.
                self._finish(futures, None if isinstance(error, Exception) else _STOP_WAIT_S)
                if isinstance(error, BrokenProcessPool):
                    raise RunError(
                        "a worker of prepare was killed (out of memory?); the same command goes on; "
                        "with a lower num_workers it needs less memory"
                    ) from None
                raise
            return [results[number] for number in range(len(calls))]

    def _finish(self, futures: list[Future[Any]], timeout_s: float | None) -> None:
        """Wait for the tasks that have begun; after `timeout_s` the processes are killed (ranks of MPI are not)."""
        running = [future for future in futures if not future.cancel()]
        try:
            left = wait(running, timeout_s).not_done
        except BaseException:  # a second request
            self._kill()
            raise
        if left:
            self._kill()

    def _kill(self) -> None:
        # Until Python 3.14, whose executor has kill_workers(); another executor has no such attribute.
        for process in list((getattr(self._executor, "_processes", None) or {}).values()):
            process.kill()

    def _done(self, bar: Any, title: str, measured: Measured[Result]) -> Result:
        result, cpu_s, peak_mb = measured
        self.cpu_s[title] += cpu_s
        self.peaks_mb[title] = max(peak_mb, self.peaks_mb.get(title, 0))
        bar.update()
        return result


def world_size() -> int:
    """Ranks that MPI started, 1 without it.

    Raises `UserError`, in each of its tasks, when srun started several of which none would know of the others.
    """
    for name in _MPI_SIZES:
        if name in os.environ:
            return int(os.environ[name])
    num_tasks = int(os.environ.get(_STEP_SIZE, "1"))
    if num_tasks > 1 and "PMIX_RANK" not in os.environ:
        error = UserError(
            f"srun started {num_tasks} tasks without MPI, so each would build the whole corpus; "
            "use srun --mpi=pmix (srun --mpi=list shows what is there) or mpirun, or srun -n 1 for one machine"
        )
        error.add_note(ON_EVERY_RANK)
        os.environ["RANK"] = os.environ.get("SLURM_PROCID", "0")  # so that one of them tells it
        raise error
    return num_tasks


def join() -> bool:
    """Take this rank's place among MPI's; False for one that worked for the coordinator, and is done now.

    Only the coordinator, rank 0, enters `pool`, reads the recipe and calls `prepare`; it speaks for all.
    """
    if world_size() == 1:
        return True
    from mpi4py import MPI

    os.environ["RANK"] = str(MPI.COMM_WORLD.Get_rank())
    if MPI.COMM_WORLD.Get_rank() == 0:
        return True
    with _mpi():
        return False


@contextmanager
def pool() -> Iterator[Any]:
    """MPI's other ranks as an executor for `prepare`, or None without MPI.

    Entered before anything can fail: the other ranks wait here, and leave when the block ends, whatever the reason.
    """
    if world_size() == 1:
        yield None
    else:
        with _mpi() as executor:
            yield executor


@contextmanager
def workers(num: int, ranks: Any, work: Path) -> Iterator[Workers]:
    """The ranks of MPI (`pool`'s) if there are any, else `num` processes, else this process alone."""
    stop = work / STOP
    stop.unlink(missing_ok=True)
    if ranks is not None:
        yield Workers(ranks, world_size() - 1, stop)
    elif num == 1:
        yield Workers(None, 1, stop)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(num, mp_context=context, initializer=_end_with_parent) as executor:
            yield Workers(executor, num, stop)


def _mpi() -> Any:
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    return MPICommExecutor(MPI.COMM_WORLD, root=0)


def num_cores() -> int:
    """The cores that this process may use (macOS does not say; there, those of the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _measured(task: Callable[..., Result], arguments: tuple[Any, ...]) -> Measured[Result]:
    """A task's result, its CPU-seconds, and the largest memory of the process so far in MB."""
    began = time.process_time()
    result = task(*arguments)
    return result, time.process_time() - began, peak_memory_mb()


def _end_with_parent() -> None:
    """End this worker when its parent is gone: SIGKILL tells no one."""
    log.configure()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
