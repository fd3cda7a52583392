"""Files appear whole: written aside, flushed to the disk, renamed.

What is being written stands beside its target as `.tmp-HOST-PID-RANDOM-NAME`: processes of several nodes, or of
containers that count their processes alike, never share such a name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from camembert_bio.errors import UserError

_writing: set[str] = set()
"""The folders aside that this process fills: another under its id is of an earlier process with that id, as a
container has that is started again."""


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


def below(folder: Path) -> list[Path]:
    """Every file below a folder, those of linked folders not.

    Raises `UserError` naming the folder that cannot be read: `Path.rglob` would leave it out in silence.
    """

    def refuse(error: OSError) -> NoReturn:
        raise UserError(f"folder {error.filename} cannot be read ({error.strerror}); make it readable or move it away")

    return [Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names]


def linked_folders(folder: Path) -> list[Path]:
    """The links to folders below a folder: what `below` leaves out."""
    found = (Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)
    return [path for path in found if path.is_symlink()]


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
    aside = beside(path)
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
    or be empty: the rename replaces nothing else. What a kill left of an earlier try is removed
    first (`remove_stale`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(path)
    aside = beside(path)
    _writing.add(aside.name)
    try:
        aside.mkdir()
        yield aside
        fsync_tree(aside)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    finally:
        _writing.discard(aside.name)
    fsync_path(path.parent)


def remove_stale(path: Path) -> None:
    """Remove the folders beside `path` in which a process that is dead was writing it (SIGKILL, power).

    Only those of this host: whether a process of another host lives cannot be seen from here, so its
    folder stays until that host, or a person, removes it.
    """
    pattern = re.compile(rf"\.tmp-{re.escape(socket.gethostname())}-(\d{{1,9}})-[0-9a-f]{{8}}-{re.escape(path.name)}")
    try:
        names = os.listdir(path.parent)
    except OSError:  # no such folder yet, or not ours to read: the write itself will say so
        return
    for match in filter(None, map(pattern.fullmatch, names)):
        pid = int(match[1])
        if not _is_alive(pid) or (pid == os.getpid() and match[0] not in _writing):
            shutil.rmtree(path.with_name(match[0]), ignore_errors=True)


def beside(path: Path) -> Path:
    """A name beside `path` for what is being written; up to 100 bytes longer, by the host's name."""
    return path.with_name(f".tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def _is_alive(pid: int) -> bool:
    """Whether a process of this host runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, then `folder` itself."""
    for path in sorted(folder.rglob("*")):
        fsync_path(path)
    fsync_path(folder)
