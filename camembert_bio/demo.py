"""The demonstration: sample, prepare, pretrain on two ranks, kill, resume, export, compare.

Every step is a command that a user could type; it is printed before it runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import RunError, UserError

RECIPE = "demo"
KILL_AFTER_STEP = 200
_MARK = ".camembert-bio-demo"
_PRETRAIN = ("-m", "deepspeed.launcher.runner", "--num_gpus", "2", "--master_port", "{port}")


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
    _wait(_launch(output), "pretrain")
    _say("5/6 export: the newest checkpoint to a transformers folder")
    _verb(output, "export", "run", "models/after")
    _say("6/6 finetune: entity recognition before and after, three seeds each")
    _verb(output, "finetune", RECIPE)
    _say(f"done in {time.monotonic() - started:.0f} s")
    print(f"report:      {output / 'results' / 'report.md'}")
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


def _launch(output: Path) -> subprocess.Popen[bytes]:
    """Start pretraining on two ranks, in a process group of its own so that a kill reaches all of it."""
    from camembert_bio.ranks import free_port

    _show("deepspeed", "--num_gpus", "2", "--module", "camembert_bio", "pretrain", RECIPE)
    launcher = [part.format(port=free_port()) for part in _PRETRAIN]
    command = [sys.executable, *launcher, "--module", "camembert_bio", "pretrain", RECIPE]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=output, env=environment, start_new_session=True)


def _pretrain_until_killed(output: Path) -> None:
    """Start pretraining and kill every process of it, without a warning, once it has saved a while."""
    process = _launch(output)
    wanted = output / "run" / "checkpoints" / f"step-{KILL_AFTER_STEP:08d}"
    try:
        while not wanted.is_dir():
            if process.poll() is not None:
                raise RunError(f"pretrain ended with exit code {process.returncode} before step {KILL_AFTER_STEP}")
            time.sleep(0.2)
        time.sleep(1.0)  # into the steps that are not saved yet
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    print("killed (SIGKILL, every process of it)", flush=True)


def _wait(process: subprocess.Popen[bytes], name: str) -> None:
    if code := process.wait():
        raise RunError(f"{name} ended with exit code {code}; its message is above")
