"""The mark of a `forget` that works: a lock, and what the next call has to end when this one is stopped.

    CORPUS/.forget      written before the new manifest takes its place, removed last

It names no document: of the ids it has a salted hash, by which the same request knows itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from camembert_bio import files
from camembert_bio.errors import UserError

MARK = ".forget"


@dataclass(frozen=True)
class Change:
    """What a `forget` does to a corpus."""

    salt: str
    request: str
    """Hexadecimal sha256 of the salt, the ids and the source."""
    documents: int
    missing: int
    shards: int
    hash: str = ""
    """The corpus' name behind the change; known when the new shards are."""

    def is_of(self, ids: Sequence[str], source: str | None) -> bool:
        """Whether these ids were asked for."""
        return self.request == _digest(self.salt, ids, source)


def change_of(ids: Sequence[str], source: str | None, documents: int, missing: int, shards: int) -> Change:
    """The change that a request for these ids makes."""
    salt = secrets.token_hex(16)
    return Change(salt, _digest(salt, ids, source), documents, missing, shards)


class Mark:
    """The file, open and locked."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self) -> Change | None:
        """The change that was not ended; None when there is none, or it was not written whole and so not begun."""
        self._file.seek(0)
        try:
            return Change(**json.loads(self._file.read()))
        except (ValueError, TypeError):
            return None

    def write(self, change: Change) -> None:
        """Note a change, flushed to the disk, before it is made."""
        self.clear()
        self._file.write(json.dumps(asdict(change)).encode())
        os.fsync(self._file.fileno())

    def clear(self) -> None:
        """Drop a change that is not made, or that another call made up for."""
        self._file.truncate(0)

    @property
    def is_clear(self) -> bool:
        """Whether nothing is left to do."""
        return os.fstat(self._file.fileno()).st_size == 0


@contextmanager
def locked(folder: Path) -> Iterator[Mark]:
    """The mark of a corpus folder; one `forget` at a time. It stays where the block raises and it is not clear."""
    path = folder / MARK
    try:
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be changed: {path} cannot be written ({error.strerror}); make the folder writable"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another forget works on {folder}; wait for its end and call again") from None
        if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise UserError(f"another forget has just changed {folder}; call again")
        files.fsync_path(folder)
        mark = Mark(file)
        try:
            yield mark
        except BaseException:
            if mark.is_clear:
                path.unlink()
            raise
        path.unlink()


def _digest(salt: str, ids: Sequence[str], source: str | None) -> str:
    # Surrogates stand for bytes of the command line that are no UTF-8.
    return sha256(json.dumps([salt, sorted({*ids}), source]).encode()).hexdigest()
