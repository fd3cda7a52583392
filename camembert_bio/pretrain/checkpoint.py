"""Checkpoints by a commit protocol: a folder under its name is complete, or it is not there.

    checkpoints/step-00012000/   MANIFEST.json  model.safetensors  optimizer.safetensors  state.json
    checkpoints/.tmp-…           being written or removed, or left by a kill; removed at the next start
    checkpoints/.corrupt-…       set aside because a hash did not agree
    latest                       a hint for people; the scan decides

Tensors are stored by parameter name, fp32, so a checkpoint knows neither world size nor ZeRO stage,
and nothing in it is a pickle. This module knows files only; `optimizer_state` fills and reads them.
"""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from camembert_bio import config, files, ranks
from camembert_bio.errors import DoNotRequeueError, RunError, UserError

logger = logging.getLogger(__name__)

MANIFEST = "MANIFEST.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
_PREFIX = "step-"

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Snapshot:
    """What one checkpoint holds; tensors are fp32 on the CPU."""

    step: int
    """Optimizer steps done."""
    model: Tensors
    """Masters by parameter name."""
    optimizer: Tensors
    """Moments as `exp_avg.NAME` and `exp_avg_sq.NAME`."""
    state: dict[str, Any]
    """step, tokens, world_size, and the hashes of recipe and corpus."""


def folder_of(run: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run / "checkpoints"


def path_of(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint, whether it exists or not."""
    return folder_of(run) / f"{_PREFIX}{step:08d}"


def write(run: Path, snapshot: Snapshot, keep: int) -> Path:
    """Write, hash, flush, rename; then the hint `latest` and retention. Rank 0 calls it.

    Nothing under a checkpoint's name exists before all of it is on the disk. Returns its folder.
    Raises `RunError` when the disk does not take it (full, quota, gone); nothing half-written stays.
    """
    try:
        return _write(run, snapshot, keep)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the checkpoint of step {snapshot.step} could not be written: {error}; "
            f"free space under {run} and start again: the run resumes"
        ) from error


def _write(run: Path, snapshot: Snapshot, keep: int) -> Path:
    target = path_of(run, snapshot.step)
    if target.exists():
        return target
    with files.atomic_folder(target) as aside:
        save_file(snapshot.model, aside / MODEL)
        save_file(snapshot.optimizer, aside / OPTIMIZER)
        files.write_json(aside / STATE, snapshot.state)
        entries = {
            name: {"bytes": (aside / name).stat().st_size, "sha256": files.sha256_file(aside / name)}
            for name in (MODEL, OPTIMIZER, STATE)
        }
        files.write_json(aside / MANIFEST, {"format": 1, **snapshot.state, "files": entries})
    files.write_atomic(run / "latest", target.name + "\n")
    for old in complete(run)[:-keep]:
        aside = old.rename(old.with_name(f".tmp-{old.name}"))  # whole or gone for whoever reads it
        shutil.rmtree(aside)
    return target


def complete(run: Path) -> list[Path]:
    """Checkpoints under their names, oldest first by step (time stamps decide nothing)."""
    return sorted(folder_of(run).glob(f"{_PREFIX}*"))


def problem_of(checkpoint: Path) -> str | None:
    """Why a checkpoint must not be used, or None when every file has its size and hash.

    Raises `OSError` when the file system does not let it be read, which says nothing of the checkpoint.
    """
    try:
        entries = config.read_json(checkpoint / MANIFEST)["files"]
        for name in (MODEL, OPTIMIZER, STATE):
            entry = entries[name]
            path = checkpoint / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["bytes"] or files.sha256_file(path) != entry["sha256"]:
                return f"{name} differs from its hash"
        if path_of(Path(), read_state(checkpoint)["step"]).name != checkpoint.name:
            return f"{STATE} is of another step"
    except (UserError, KeyError, TypeError, ValueError) as error:
        return f"{MANIFEST} is unreadable ({type(error).__name__})"
    return None


def set_aside(checkpoint: Path, problem: str) -> None:
    """Rename a damaged checkpoint to `.corrupt-…`, so that the scan passes it over."""
    aside = checkpoint.with_name(f".corrupt-{checkpoint.name}")
    shutil.rmtree(aside, ignore_errors=True)
    checkpoint.rename(aside)
    logger.warning("checkpoint %s: %s; set aside as %s", checkpoint.name, problem, aside.name)


def remove_unfinished(run: Path) -> None:
    """Delete what a kill left half-written."""
    for leftover in folder_of(run).glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def newest_valid(run: Path) -> Path:
    """The newest checkpoint whose hashes agree; damaged newer ones are passed over, not changed.

    Raises `DoNotRequeueError` when none is left: a run that has begun never starts again at step 0.
    """
    problems = []
    for checkpoint in reversed(complete(run)):
        problem = problem_of(checkpoint)
        if problem is None:
            return checkpoint
        problems.append(f"{checkpoint.name}: {problem}")
    raise DoNotRequeueError(
        f"{run} has no usable checkpoint ({'; '.join(problems) or 'none found'}); "
        "restore one under checkpoints/, or start a new run in another folder"
    )


def find(run: Path, step: int | None) -> Path:
    """The checkpoint of a step, its hashes checked, or the newest whose hashes agree.

    Raises `UserError` when the step has none, or a damaged one; what `newest_valid` raises.
    """
    if step is None:
        return newest_valid(run)
    found = path_of(run, step)
    if not found.is_dir():
        kept = ", ".join(str(read_state(path)["step"]) for path in complete(run)) or "none"
        raise UserError(f"{run} has no checkpoint of step {step}; kept steps: {kept}")
    if problem := problem_of(found):
        raise UserError(f"checkpoint of step {step} is damaged: {problem}; choose another step")
    return found


def find_last(run: Path, step: int | None, count: int) -> list[Path]:
    """`count` checkpoints with their hashes checked, oldest first, the last of them that which `find` finds.

    Raises `UserError` when the run keeps too few, and what `find` raises.
    """
    last = find(run, step)
    steps = [read_state(path)["step"] for path in complete(run) if path.name <= last.name]
    if len(steps) < count:
        raise UserError(
            f"{run} keeps {len(steps)} checkpoints up to step {steps[-1]}, and {count} are to be averaged; ask for "
            f"{len(steps)} at most, and give the next run a higher checkpoint.keep"
        )
    return [find(run, earlier) for earlier in steps[-count:-1]] + [last]


def choose(run: Path) -> Path:
    """The newest checkpoint that verifies on every node; damaged ones are set aside. Collective.

    Raises on every rank: `DoNotRequeueError` when none is left, `RunError` when a node cannot read what
    rank 0 can. A node without its file system is no reason to discard a checkpoint.
    """
    while True:
        names = [path.name for path in complete(run)] if ranks.is_main() else []
        names = ranks.broadcast(names)
        if not names:
            raise DoNotRequeueError(
                f"{run} has begun but holds no usable checkpoint; restore one under checkpoints/, "
                "or start a new run in another output"
            )
        candidate = folder_of(run) / names[-1]
        with ranks.shared_errors():
            problem = problem_of(candidate) if ranks.local_rank() == 0 else None
        problems = ranks.gather((socket.gethostname(), problem))
        damaged = [f"{host}: {found}" for host, found in problems if found]
        if not damaged:
            return candidate
        if problems[0][1] is None:
            raise RunError(
                f"{candidate} verifies on rank 0 but not on every node ({'; '.join(damaged)}); "
                "see that each mounts the same file system, and start again"
            )
        if ranks.is_main():
            set_aside(candidate, problems[0][1])
        ranks.barrier()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The `state.json` of a checkpoint."""
    return config.read_json(checkpoint / STATE)


def read_model(checkpoint: Path) -> Tensors:
    """The masters of a checkpoint by name, on the CPU."""
    return dict(load_file(checkpoint / MODEL))


def read_optimizer(checkpoint: Path) -> Tensors:
    """The moments of a checkpoint by name, on the CPU, mapped into memory."""
    return dict(load_file(checkpoint / OPTIMIZER))


def load_into(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load masters into an encoder, every parameter exactly once.

    Raises `DoNotRequeueError` when names or shapes do not agree.
    """
    parameters = dict(model.named_parameters())
    if parameters.keys() != tensors.keys():
        different = sorted(parameters.keys() ^ tensors.keys())
        raise DoNotRequeueError(f"checkpoint and model differ in {len(different)} names, first {different[0]!r}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != tensors[name].shape:
                raise DoNotRequeueError(f"checkpoint and model differ in the shape of {name!r}")
            parameter.copy_(tensors[name])
