"""The curves of a run: TensorBoard, `metrics.jsonl` and the console, written by rank 0.

A resumed run shows one line, not two: what was written past the checkpoint is dropped.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from camembert_bio import files, log

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class Metrics:
    """Writes scalars by step; `step` is the number of optimizer steps done."""

    def __init__(self, run: Path, step: int, total_steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._total_steps = total_steps
        self._started, self._first_step = time.monotonic(), step
        _drop_after(run / METRICS, step)
        self._file = open(run / METRICS, "a")  # noqa: SIM115 (open as long as the run)
        # Points past the checkpoint were written by the process that was killed.
        self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)
        bar = log.terminal()
        self._bar = tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True) if bar else None

    def advance(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def write(self, step: int, tokens: int, scalars: dict[str, float]) -> None:
        """One point of each curve: a JSON line, TensorBoard scalars."""
        self._file.write(json.dumps({"step": step, "tokens": tokens, **scalars}) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()

    def say(self, step: int, scalars: dict[str, float]) -> None:
        """The console's line: step, loss, rate of tokens, time left."""
        loss, speed = scalars["train/loss"], scalars["speed/tokens_per_s"]
        left = self.seconds_left(step)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4f}, {speed:,.0f} tokens/s")
        else:
            logger.info(
                "step %d/%d  loss %.4f  %s tokens/s  %s left",
                step,
                self._total_steps,
                loss,
                f"{speed:,.0f}",
                duration(left),
            )

    def seconds_left(self, step: int) -> float:
        """Time to the end of the run at the mean pace since this start."""
        pace = (time.monotonic() - self._started) / max(1, step - self._first_step)
        return pace * (self._total_steps - step)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._board.close()
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """Seconds as `1h02m`, `3m20s` or `12s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def read(run: Path) -> list[dict[str, Any]]:
    """The points of `metrics.jsonl`; a line cut by a kill is passed over."""
    path = run / METRICS
    points = []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
        try:
            point = json.loads(line)
        except ValueError:
            continue
        if isinstance(point, dict) and isinstance(point.get("step"), int):
            points.append(point)
    return points


def _drop_after(path: Path, step: int) -> None:
    """Keep the points up to `step`."""
    if path.is_file():
        kept = [point for point in read(path.parent) if point["step"] <= step]
        files.write_atomic(path, "".join(json.dumps(point) + "\n" for point in kept))
