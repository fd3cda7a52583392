"""The curves of a run: TensorBoard, `metrics.jsonl` and the console, written by rank 0.

A resumed run shows one line, not two: what was written past the checkpoint is dropped.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from camembert_bio import files, log

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
ANSWERS = "prompts"
"""Name of the texts, and of their folder in TensorBoard's."""

LAYOUT: dict[str, dict[str, tuple[str, list[str]]]] = {
    "Learning": {
        "loss (nats)": ("Multiline", ["train/loss$", "heldout/loss$"]),
        "held-out perplexity of each source": ("Multiline", ["heldout/perplexity/"]),
        "held-out perplexity": ("Multiline", ["heldout/perplexity$"]),
        "scores of checkpoints on tasks (probe)": ("Multiline", ["probe/"]),
        "learning rate": ("Multiline", ["train/learning_rate"]),
        "gradient norm before clipping": ("Multiline", ["train/gradient_norm"]),
        "share of steps that were clipped": ("Multiline", ["train/clipped"]),
        "loss scale (fp16)": ("Multiline", ["train/loss_scale"]),
        "share of tokens masked": ("Multiline", ["data/mask_rate"]),
    },
    "Speed": {
        "tokens a second, all devices": ("Multiline", ["speed/tokens_per_s$"]),
        "tokens a second, one device": ("Multiline", ["speed/tokens_per_s_device"]),
        "MFU": ("Multiline", ["speed/mfu"]),
        "parts of a step (s)": ("Multiline", ["time/"]),
        "wait of the others for the slowest rank (share of the time)": ("Multiline", ["speed/slowest_rank_behind"]),
        "slowest rank": ("Multiline", ["speed/slowest_rank$"]),
    },
    "Machine": {
        "memory, the rank that has most (GB)": ("Multiline", ["memory/peak_gb"]),
        "training stands still for a checkpoint (s)": ("Multiline", ["checkpoint/stall_s"]),
        "share of positions that are no padding": ("Multiline", ["data/window_fill"]),
    },
}
"""TensorBoard's page "Custom Scalars": all plots of a run by what a reader asks. Names are regular expressions."""


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
        self._board.add_custom_scalars(LAYOUT)  # of every start: the page merges them
        self._texts_folder = run / TENSORBOARD / ANSWERS
        self._texts: SummaryWriter | None = None  # opened with the first text
        self._show_again(read(run))
        bar = log.terminal()
        self._bar = tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True) if bar else None

    def advance(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def write(self, step: int, tokens: int, scalars: dict[str, float]) -> None:
        """One point of each curve: a JSON line, TensorBoard scalars."""
        self._write_line({"step": step, "tokens": tokens, **scalars})
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()

    def write_answers(self, step: int, tokens: int, markdown: str) -> None:
        """What the model says to the user's prompts: a JSON line, TensorBoard's page "Text"."""
        self._write_line({"step": step, "tokens": tokens, ANSWERS: markdown})
        self._show(step, markdown)

    def say(self, step: int, scalars: dict[str, float]) -> None:
        """The console's line: step, loss, rate of tokens, MFU where the device's peak is known, time left."""
        loss = f"loss {scalars['train/loss']:.4f}" if "train/loss" in scalars else "no targets"
        told = [loss, f"{scalars['speed/tokens_per_s']:,.0f} tokens/s"]
        if "speed/mfu" in scalars:
            told.append(f"MFU {scalars['speed/mfu']:.1%}")
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(told))
        else:
            left = duration(self.seconds_left(step))
            logger.info("step %d/%d  %s  %s left", step, self._total_steps, "  ".join(told), left)

    def _write_line(self, point: dict[str, Any]) -> None:
        self._file.write(json.dumps(point, ensure_ascii=False) + "\n")
        self._file.flush()

    def _show(self, step: int, markdown: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._texts is None:
            self._texts = SummaryWriter(str(self._texts_folder))
        self._texts.add_text(ANSWERS, markdown, step)
        self._texts.flush()

    def _show_again(self, points: list[dict[str, Any]]) -> None:
        """Write the texts of a resumed run anew: `purge_step` drops points past the checkpoint, but no texts."""
        shutil.rmtree(self._texts_folder, ignore_errors=True)
        for point in points:
            if ANSWERS in point:
                self._show(point["step"], point[ANSWERS])

    def seconds_left(self, step: int) -> float:
        """Time to the end of the run at the mean pace since this start."""
        pace = (time.monotonic() - self._started) / max(1, step - self._first_step)
        return pace * (self._total_steps - step)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._board.close()
        if self._texts is not None:
            self._texts.close()
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
