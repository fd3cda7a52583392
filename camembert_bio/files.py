"""Files appear whole: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in pieces (about 1.5 GB per CPU-second)."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that hashes are taken of."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def sha256_json(value: Any) -> str:
    """Hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file or a folder to the disk; a folder's flush makes a rename in it durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            aside.unlink()
        raise
    fsync_path(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write indented, sorted JSON atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its name when the block ends well.

    On an exception the folder is removed and `path` is left as it was. `path` must not exist
    or be empty: the rename replaces nothing else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        fsync_tree(aside)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    fsync_path(path.parent)


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, then `folder` itself."""
    for path in sorted(folder.rglob("*")):
        fsync_path(path)
    fsync_path(folder)
