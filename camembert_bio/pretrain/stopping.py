"""Requests to stop or save: signals, a STOP or SAVE file, a launcher that died.

A request is noticed on any rank and acted on by all at the same step: the flags travel with the
step's one small all-reduce.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from types import FrameType

from camembert_bio import ranks

logger = logging.getLogger(__name__)

STOP_FILE = "STOP"
SAVE_FILE = "SAVE"


class StopRequests:
    """Collects requests on this rank; handlers are installed when it is made, files count after `watch`.

    SIGTERM, SIGUSR1 and SIGINT ask for a checkpoint and a stop; one that comes while the run is being set up
    is honoured at its first step. A second SIGINT interrupts at once.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._stop = False
        # Started by hand, a run may outlive its shell; started by a launcher, it must not outlive that.
        self._launcher = os.getppid() if "RANK" in os.environ else None
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def watch(self) -> None:
        """Remove what an earlier start was asked; what comes from now on counts."""
        self.done(stop=True, save=True)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stop = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def poll(self) -> tuple[bool, bool]:
        """(stop, save) as this rank sees them now; rank 0 alone reads the files."""
        orphaned = self._launcher is not None and os.getppid() != self._launcher
        if not ranks.is_main():
            return self._stop or orphaned, False
        stop = self._stop or orphaned or (self._run / STOP_FILE).exists()
        return stop, (self._run / SAVE_FILE).exists()

    def done(self, stop: bool, save: bool) -> None:
        """Remove the files of requests that were honoured; what was asked meanwhile stays. Rank 0 acts."""
        if ranks.is_main():
            for name, honoured in ((STOP_FILE, stop), (SAVE_FILE, save)):
                if honoured:
                    (self._run / name).unlink(missing_ok=True)
