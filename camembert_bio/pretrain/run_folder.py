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
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import camembert_bio
from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.recipe import OPERATIONAL, Pretrain
from camembert_bio.shards.manifest import TOKENIZER, Corpus

RUN = "run.json"
LOCK = "lock"
EVENTS = "events.jsonl"
MODEL_CONFIG = "model_config.json"


def has_begun(run: Path) -> bool:
    """Whether a run was started here: from then on it is resumed, never started again."""
    return (run / RUN).is_file()


def take(run: Path) -> Any:
    """Make the folder, lock it, remove what a kill left. Rank 0 calls it and keeps the handle.

    Raises `UserError` when another process works in it, or when the folder holds something else.
    """
    if run.is_dir() and not has_begun(run) and (strange := _not_ours(run)):
        raise UserError(f"output {run} is not a run folder: it holds {strange!r}; give an empty or new folder")
    run.mkdir(parents=True, exist_ok=True)
    handle = open(run / LOCK, "a+")  # noqa: SIM115 (held as long as the run)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise UserError(f"run folder {run} is in use by {holder}; wait for it, or touch {run}/STOP") from error
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    handle.flush()
    checkpoint.remove_unfinished(run)
    if not has_begun(run):
        shutil.rmtree(checkpoint.folder_of(run), ignore_errors=True)
    return handle


def _not_ours(run: Path) -> str | None:
    """The first entry of a folder that no start of a run leaves there."""
    ours = {LOCK, "checkpoints", "latest", TOKENIZER, MODEL_CONFIG, EVENTS, "tensorboard", "metrics.jsonl"}
    return next((path.name for path in sorted(run.iterdir()) if path.name not in ours), None)


def identity(recipe: Pretrain) -> dict[str, Any]:
    """What a resumption must not change: the recipe without its operational options."""
    values = config.to_dict(recipe)
    return {key: value for key, value in values.items() if key not in OPERATIONAL}


def check_same(run: Path, recipe: Pretrain, corpus: Corpus) -> None:
    """Refuse to go on with another corpus or another recipe. Raises `UserError` naming what differs."""
    begun = config.read_json(run / RUN)
    if begun["corpus_hash"] != corpus.manifest.hash:
        raise UserError(
            f"the corpus {corpus.folder} changed under the run {run}: hash {corpus.manifest.hash[:12]}, "
            f"the run began with {begun['corpus_hash'][:12]}; restore it, or start another run in a new output"
        )
    before, now = _flat(begun["identity"]), _flat(identity(recipe))
    changed = [
        f"{key}: {before.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise UserError(
            f"the recipe changed under the run {run} ({'; '.join(changed)}); "
            "restore it, or start another run in a new output"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
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
    import deepspeed
    import torch
    import transformers

    versions = {module.__name__: module.__version__ for module in (camembert_bio, torch, transformers, deepspeed)}
    values = {
        "recipe": config.to_dict(recipe),
        "identity": identity(recipe),
        "corpus_hash": corpus.manifest.hash,
        "versions": versions,
    }
    files.write_json(run / RUN, {"format": 1, **values})


def event(run: Path, name: str, **values: Any) -> None:
    """Append one line to `events.jsonl`. Rank 0 calls it."""
    line = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "event": name, **values}
    with open(run / EVENTS, "a") as file:
        file.write(json.dumps(line) + "\n")
