"""The demonstration: sample, prepare, pretrain on two ranks, kill, resume, export, compare.

After the sample, every step is a command that a user could type; it is printed before it runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import RunError, UserError

RECIPE = "demo"
KILL_AFTER_STEP = 200
_MARK = ".camembert-bio-demo"
_LAUNCHER = ("--log_level", "error", "--num_gpus", "2")


def demo(output: Path) -> int:
    """Run the whole chain in `output`, which a run of the demo before may have left, and print the way on.

    Returns the exit code. Raises `UserError` when the folder holds something else, `RunError` when
    a step fails.
    """
    _clear(output)
    started = time.monotonic()
    _say("1/6 sample: synthetic French text and annotations, written by a program")
    from camembert_bio.samples.corpus import write_corpus
    from camembert_bio.samples.ner import write_ner

    write_corpus(output / "sample" / "corpus")
    write_ner(output / "sample" / "ner")
    _say("2/6 prepare: documents to token shards")
    _verb(output, "prepare", RECIPE)
    _say(f"3/6 pretrain: two ranks under the deepspeed launcher, killed after step {KILL_AFTER_STEP}")
    _pretrain_until_killed(output)
    _verb(output, "export", "run", "models/before", "--step", "0")
    _say("4/6 pretrain again: the same command resumes")
    with _pretraining(output) as process:
        _wait(process, "pretrain")
    _say("5/6 export: the newest checkpoint to a transformers folder")
    _verb(output, "export", "run", "models/after")
    _say("6/6 finetune: entity recognition before and after, three seeds each")
    _verb(output, "finetune", RECIPE)
    _say(f"done in {time.monotonic() - started:.0f} s")
    print(f"report:      {output / 'results' / 'report.html'}")
    print(f"curves:      tensorboard --logdir {output / 'run' / 'tensorboard'}")
    print(f"the model:   {output / 'models' / 'after'}")
    return 0


def _clear(output: Path) -> None:
    """Make the folder anew if the demo made it; refuse another's."""
    import shutil

    if output.exists() and any(output.iterdir()):
        if not (output / _MARK).is_file():
            raise UserError(f"{output} holds something that the demo did not make; give another folder")
        shutil.rmtree(output)
    files.write_atomic(output / _MARK, "")


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _verb(output: Path, *arguments: str) -> None:
    """Run one verb in a process of its own, in the output folder."""
    _show("camembert-bio", *arguments)
    _wait(subprocess.Popen([sys.executable, "-m", "camembert_bio", *arguments], cwd=output), arguments[0])


def _show(*command: str) -> None:
    print(f"$ {shlex.join(command)}", flush=True)


@contextmanager
def _pretraining(output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Pretraining on two ranks; at the end, whatever the reason, no process of it is left.

    It runs in a process group of its own, so that a kill reaches launcher and ranks alike.
    """
    from camembert_bio.ranks import free_port

    pretrain = (*_LAUNCHER, "--module", "camembert_bio", "pretrain", RECIPE)
    # On the CPU everywhere: one GPU would not hold two ranks.
    _show("DS_ACCELERATOR=cpu", "deepspeed", *pretrain)
    command = [sys.executable, "-m", "deepspeed.launcher.runner", "--master_port", str(free_port()), *pretrain]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DS_ACCELERATOR": "cpu"}
    process = subprocess.Popen(command, cwd=output, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _pretrain_until_killed(output: Path) -> None:
    """Start pretraining and kill every process of it, without a warning, once it has saved a while."""
    wanted = output / "run" / "checkpoints" / f"step-{KILL_AFTER_STEP:08d}"
    with _pretraining(output) as process:
        while not wanted.is_dir():
            if process.poll() is not None:
                raise RunError(f"pretrain ended with exit code {process.returncode} before step {KILL_AFTER_STEP}")
            time.sleep(0.2)
        time.sleep(1.0)  # into the steps that are not saved yet
    print("killed (SIGKILL, every process of it)", flush=True)


def _wait(process: subprocess.Popen[bytes], name: str) -> None:
    if code := process.wait():
        raise RunError(f"{name} ended with exit code {code}; its message is above")
