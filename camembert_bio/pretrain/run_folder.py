"""The run folder: who works in it, what was asked of it, and whether a restart asks the same.

run.json         recipe, corpus hash, versions; written once the first checkpoint is complete
lock             held (flock) by rank 0 while it works
events.jsonl     started, resumed, saved, stopped, ...
tokenizer/       the corpus' tokenizer, so that the run can be exported without the corpus
model_config.json
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TextIO

import camembert_bio
from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.metrics import METRICS, TENSORBOARD
from camembert_bio.pretrain.recipe import OPERATIONAL, Pretrain
from camembert_bio.pretrain.stopping import SAVE_FILE, STOP_FILE
from camembert_bio.shards.manifest import TOKENIZER, Corpus

RUN = "run.json"
LOCK = "lock"
EVENTS = "events.jsonl"
MODEL_CONFIG = "model_config.json"

_ASIDE = ".tmp-*"


@config.strict_fields
@dataclass(frozen=True)
class Begun:
    """The content of `run.json`."""

    format: Literal[1]
    recipe: dict[str, Any]
    """As the run began; operational options may have changed since (`events.jsonl` says)."""
    identity: dict[str, Any]
    corpus_hash: str
    versions: dict[str, str]


def read(run: Path) -> Begun:
    """`run.json`; raises `UserError` when it is damaged."""
    return config.build(Begun, config.read_json(run / RUN), str(run / RUN))


def has_begun(run: Path) -> bool:
    """Whether a run was started here: from then on it is resumed, never started again."""
    return (run / RUN).is_file()


def check_begun(run: Path) -> None:
    """Raise `UserError` unless a run was started here."""
    if not has_begun(run):
        raise UserError(f"{run} is not a run folder: it has no {RUN}")


def check_free(run: Path) -> None:
    """Refuse a folder that holds something else, or in which a process works; changes nothing.

    Raises `UserError`.
    """
    if run.exists() and not run.is_dir():
        raise UserError(f"output {run} is a file; give a new or empty folder, or that of a run")
    if run.is_dir() and not has_begun(run) and (strange := _not_ours(run)):
        raise UserError(f"output {run} is not a run folder: it holds {strange!r}; give an empty or new folder")
    if (run / LOCK).is_file():
        with open(run / LOCK) as handle:
            lock(handle, fcntl.LOCK_SH, run)


def take(run: Path, begun: bool) -> TextIO:
    """Make the folder, lock it, remove what a kill left. Rank 0 calls it and keeps the handle.

    Raises `UserError` when another process works in it, when the folder holds something else, or when
    the run is not (has not) `begun` any more, as the caller had seen it.
    """
    check_free(run)
    run.mkdir(parents=True, exist_ok=True)
    handle = open(run / LOCK, "a+")  # noqa: SIM115 (held as long as the run)
    try:
        lock(handle, fcntl.LOCK_EX, run)
        if has_begun(run) != begun:
            raise UserError(f"run folder {run} was changed by another process just now; give the command again")
    except UserError:
        handle.close()
        raise
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    handle.flush()
    _remove_leftovers(run)
    return handle


def lock(handle: TextIO, kind: int, run: Path) -> None:
    """Lock the run's open lock file, `LOCK_SH` or `LOCK_EX`, without waiting.

    Raises `UserError` when another process holds it, or when the file system has no locks.
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        raise UserError(f"run folder {run} is in use by {holder}; wait for it, or touch {run}/STOP") from error
    except OSError as error:
        raise UserError(
            f"the file system of {run} does not lock files ({error.strerror}), so two runs could write there at once; "
            "give an output on a file system with flock"
        ) from error


def _remove_leftovers(run: Path) -> None:
    """Delete what a killed process left half-written; the caller holds the lock, so nobody writes it now."""
    checkpoint.remove_unfinished(run)
    for path in run.glob(_ASIDE):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not has_begun(run):
        shutil.rmtree(checkpoint.folder_of(run), ignore_errors=True)


def _not_ours(run: Path) -> str | None:
    """The first entry of a folder that no start of a run, and no request to it, leaves there."""
    ours = {LOCK, "checkpoints", "latest", TOKENIZER, MODEL_CONFIG, EVENTS, TENSORBOARD, METRICS, STOP_FILE, SAVE_FILE}
    strange = [path.name for path in run.iterdir() if path.name not in ours and not path.match(_ASIDE)]
    # A run without run.json was killed before its first checkpoint was told of, that of step 0.
    first = checkpoint.folder_of(run) / "step-00000000"
    strange += [f"checkpoints/{path.name}" for path in checkpoint.complete(run) if path != first]
    return min(strange, default=None)


def identity(recipe: Pretrain) -> dict[str, Any]:
    """What a resumption must not change: the recipe, and its phases, without the operational options."""
    values = config.to_dict(recipe)
    kept = {key: value for key, value in values.items() if key not in OPERATIONAL}
    kept["phases"] = [{k: v for k, v in phase.items() if k not in OPERATIONAL} for phase in values["phases"]]
    return kept


def check_same(run: Path, recipe: Pretrain, corpus: Corpus) -> None:
    """Refuse to go on with another corpus or another recipe. Raises `UserError` naming what differs."""
    check_corpus(run, corpus)
    changed = _differences(read(run).identity, identity(recipe))
    if changed:
        listed = "; ".join(f"{key}: {before!r} -> {now!r}" for key, (before, now) in changed.items())
        raise UserError(
            f"the recipe changed under the run {run} ({listed}); restore it, or start another run in a new output"
        )


def check_corpus(run: Path, corpus: Corpus) -> None:
    """Raise `UserError` when the run began with another corpus."""
    begun = read(run).corpus_hash
    if begun != corpus.manifest.hash:
        raise UserError(
            f"the corpus {corpus.place} changed under the run {run}: hash {corpus.manifest.hash[:12]}, "
            f"the run began with {begun[:12]}; restore it, or start another run in a new output"
        )


def changed_options(run: Path, recipe: Pretrain) -> dict[str, tuple[Any, Any]]:
    """The options that differ from those that the run began with, as (then, now); they are operational ones."""
    return _differences(read(run).recipe, config.to_dict(recipe))


def _differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    then, after = _flat(before), _flat(now)
    return {
        key: (then.get(key), after.get(key))
        for key in sorted(then.keys() | after.keys())
        if then.get(key) != after.get(key)
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            flat |= _flat({str(number): item for number, item in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def save_model_files(run: Path, model_config: dict[str, Any], corpus: Corpus) -> None:
    """Keep what an export needs: the model's configuration and the tokenizer. Rank 0 calls it."""
    files.write_json(run / MODEL_CONFIG, model_config)
    shutil.rmtree(run / TOKENIZER, ignore_errors=True)
    shutil.copytree(corpus.folder / TOKENIZER, run / TOKENIZER)


def mark_begun(run: Path, recipe: Pretrain, corpus: Corpus) -> None:
    """Write `run.json`. Rank 0 calls it once the first checkpoint is complete."""
    # By metadata: importing DeepSpeed to ask it would take seconds where nothing else needs it.
    versions = {name: metadata.version(name) for name in ("torch", "transformers", "deepspeed")}
    versions["camembert_bio"] = camembert_bio.__version__
    begun = Begun(1, config.to_dict(recipe), identity(recipe), corpus.manifest.hash, versions)
    files.write_json(run / RUN, config.to_dict(begun))


def event(run: Path, name: str, **values: Any) -> None:
    """Append one line to `events.jsonl`. Rank 0 calls it."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": name, **values}
    with open(run / EVENTS, "a") as file:
        file.write(json.dumps(line) + "\n")
