"""Saving while training goes on: a short blocking copy on all ranks, then a background write on rank 0."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from camembert_bio import ranks
from camembert_bio.pretrain import checkpoint, optimizer_state, run_folder

logger = logging.getLogger(__name__)


class Saver:
    """Writes checkpoints of one run; at most one is being written at a time."""

    def __init__(self, run: Path, keep: int) -> None:
        self._run, self._keep = run, keep
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint") if ranks.is_main() else None
        self._pending: Future[Path] | None = None
        self._last_step = -1

    def save(self, engine: Any, step: int, state: dict[str, Any]) -> None:
        """Start to save what is true after `step` steps; nothing when that was done. Collective.

        Raises `RunError` on every rank when the write before failed.
        """
        if step == self._last_step:
            return
        self.wait()
        started = time.monotonic()
        model, optimizer = optimizer_state.gather(engine)
        self._last_step = step
        if self._writer is not None:
            snapshot = checkpoint.Snapshot(step, model, optimizer, state)
            self._pending = self._writer.submit(checkpoint.write, self._run, snapshot, self._keep)
            run_folder.event(self._run, "save", step=step, blocked_s=round(time.monotonic() - started, 3))

    def failed(self) -> bool:
        """Whether the write under way has ended in an error; rank 0 knows."""
        return self._pending is not None and self._pending.done() and self._pending.exception() is not None

    def wait(self) -> None:
        """Wait for the write under way; raise its error on every rank. Collective."""
        with ranks.shared_errors():
            pending, self._pending = self._pending, None
            if pending is not None:
                logger.debug("saved %s", pending.result())
