"""Who does which run of a grid that several processes share, on one machine or on several.

A run is claimed by a lock on a file beside its folder. The system frees the lock of a process that ends, however it
ends, so a claim that is left behind counts for nothing; it is removed by the next that claims the run.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from camembert_bio.errors import UserError


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold the claim on a run's folder for the block; yields False, without waiting, where another process holds it.

    Raises `UserError` on a file system without locks.
    """
    path = lock_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if handle is None:
        yield False
        return
    with handle:
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        try:
            yield True
        finally:
            path.unlink()  # before the lock is given back: who waits for it sees that the file is no longer there


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the same folder: what all write is written one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    handle = _lock(path, fcntl.LOCK_EX)
    assert handle is not None
    with handle:
        yield


def lock_path(folder: Path) -> Path:
    """The file that is locked while a run is done; it names the process."""
    return folder.with_name(f".lock-{folder.name}")


def _lock(path: Path, kind: int) -> TextIO | None:
    """The open and locked file; None when it is locked and `kind` does not wait."""
    while True:
        handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (held as long as the claim)
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError:
            handle.close()
            return None
        except OSError as error:
            handle.close()
            raise UserError(
                f"the file system of {path.parent} does not lock files ({error.strerror}), so two processes could do "
                "one run; give an output on a file system with flock"
            ) from error
        # Its last holder may have removed it between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        handle.close()
