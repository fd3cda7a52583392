"""The shards of a corpus at an address, on this node: fetched once, hashed, kept within a number of bytes.

    CACHE/lock
    CACHE/shards/SHA256.arrow             whole, its hash checked
    CACHE/shards/SHA256-BYTES.partial     what has arrived so far of one that will have BYTES
    CACHE/corpora/HASH/                   the small files of a corpus, and its tables of windows

Shards are named by their content, so corpora share those that they share. Every process of the node works in the
folder at once, by locks of the operating system (flock), which a process that dies leaves open: who fetches a shard
holds its `.partial` exclusively, who reads one holds it shared, and what somebody holds is not removed. What decides
that a shard may come, and what goes for it, is done by one process at a time (`lock`).
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from camembert_bio import files
from camembert_bio.errors import DoNotRequeueError, RunError, UserError
from camembert_bio.log import logger
from camembert_bio.shards.remote import Remote

_SHARD = ".arrow"
_PARTIAL = re.compile(r"[0-9a-f]{64}-(\d+)\.partial")
_SHA256 = re.compile(r"[0-9a-f]{64}")
ROOM_WAIT_S = 60.0
"""For other ranks to close shards that they have done with, before a cache counts as too small."""
_TRIES = 2
"""Fetches of a shard before one that never has its hash stops the run."""


class Entry(Protocol):
    """A file of a corpus as its manifest describes it."""

    @property
    def path(self) -> str:
        """Below the corpus."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Hexadecimal."""


class _NoRoomError(Exception):
    """What is in use leaves no room for a shard."""


@dataclass(frozen=True)
class ShardCache:
    """The shards of one address in the node's cache. Any number of processes and threads use it at once."""

    remote: Remote
    folder: Path
    num_bytes: int
    """Most bytes of all shards in the folder, those that arrive counted whole."""

    def hold(self, entry: Entry) -> IO[bytes]:
        """A shard, fetched if it is not there: it stays in the cache until the file is closed.

        Raises `UserError` when the address has no such shard, `DoNotRequeueError` when it had another hash twice,
        `RunError` when it cannot be read, or when the shards in use leave it no room.
        """
        _check(entry)
        since = time.monotonic()
        while True:
            if file := self._open(entry):
                return file
            try:
                self._fetch(entry, keep=())
            except _NoRoomError:
                if time.monotonic() - since > ROOM_WAIT_S:
                    raise RunError(
                        f"cache {self.folder} has no room for {entry.path} ({entry.bytes:,} bytes): what is in use "
                        f"takes its {self.num_bytes:,} bytes; raise storage.cache_bytes, or give each run its own cache"
                    ) from None
                time.sleep(0.1)

    def fetch_ahead(self, entry: Entry, keep: Collection[str]) -> bool:
        """Fetch a shard that will be read later; whether it is there, or another process fetches it.

        Those whose sha256 is in `keep` are not removed for it. Raises what `hold` raises.
        """
        _check(entry)
        if self.path(entry).exists():
            return True
        try:
            self._fetch(entry, keep, wait=False)
        except _NoRoomError:
            return False
        return True

    def path(self, entry: Entry) -> Path:
        """Where a shard stands once it is there."""
        return self.folder / "shards" / f"{entry.sha256}{_SHARD}"

    def verify(self, entry: Entry) -> None:
        """Hash a shard if it is there; one that differs leaves the cache, to be fetched again when it is read."""
        _check(entry)
        path = self.path(entry)
        if path.exists() and (file := self._open(entry)):
            with file:
                if files.sha256_file(path) != entry.sha256:
                    logger.warning("%s was damaged in %s and is fetched again", entry.path, self.folder)
                    self._discard(file, path)

    def _open(self, entry: Entry) -> IO[bytes] | None:
        """A shard that is there, held; None when it is not."""
        path = self.path(entry)
        try:
            file = open(path, "rb")  # noqa: SIM115 (the caller closes it)
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_size != entry.bytes:  # a power cut
            self._discard(file, path)
        if _is_at(file, path):
            now = time.time_ns()
            os.utime(file.fileno(), ns=(now, now))  # used last
            return file
        file.close()
        return None

    def _discard(self, file: IO[bytes], path: Path) -> None:
        """Take a damaged shard out of the cache, but not the one that was fetched in its place."""
        with locked(self.folder / "lock"):
            if _is_at(file, path):
                path.unlink()

    def _fetch(self, entry: Entry, keep: Collection[str], wait: bool = True) -> None:
        """Fetch a shard, or with `wait` wait for the process that fetches it."""
        with self._reserve(entry, keep) as (file, is_mine):
            if is_mine:
                self._fill(entry, file)
            elif wait:
                fcntl.flock(file, fcntl.LOCK_SH)

    @contextmanager
    def _reserve(self, entry: Entry, keep: Collection[str]) -> Iterator[tuple[IO[bytes], bool]]:
        """The partial file of a shard, and whether this process may fill it: then room was made for the whole."""
        path = self.folder / "shards" / f"{entry.sha256}-{entry.bytes}.partial"
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            file = open(path, "a+b")  # noqa: SIM115 (closed below)
            is_mine = _take(file) and _is_at(file, path)
            room = True
            if is_mine and self.path(entry).exists():  # fetched since this process looked
                is_mine = False
                path.unlink()
            elif is_mine and not (room := self._make_room(entry.bytes, path, keep)):
                path.unlink()
        with file:
            if not room:
                raise _NoRoomError
            yield file, is_mine

    def _make_room(self, num_bytes: int, own: Path, keep: Collection[str]) -> bool:
        """Remove the shards used longest ago until `num_bytes` more fit; whether they do."""
        found = {}  # by hash: a shard whose fetch ends now may be seen under both of its names
        for item in os.scandir(self.folder / "shards"):
            with suppress(FileNotFoundError):  # its fetch has just ended
                partial = _PARTIAL.fullmatch(item.name)
                if item.name != own.name:
                    stat = item.stat()
                    size = int(partial[1]) if partial else stat.st_size
                    found[item.name[:64]] = stat.st_mtime_ns, size, Path(item.path)
        excess = sum(size for _, size, _ in found.values()) + num_bytes - self.num_bytes
        for _, size, path in sorted(found.values()):
            if excess <= 0:
                break
            if path.name[:64] not in keep and _remove(path):
                excess -= size
        return excess <= 0

    def _fill(self, entry: Entry, file: IO[bytes]) -> None:
        """Fetch what a partial file lacks and give it the shard's name, if it is the shard."""
        partial = Path(file.name)
        digest = ""
        for _ in range(_TRIES):
            try:
                self.remote.fetch(entry.path, file, entry.bytes)
                file.flush()
                os.fsync(file.fileno())
            except FileNotFoundError as error:
                raise UserError(f"{error}, which its corpus.json names; restore it there") from None
            except OSError as error:
                raise RunError(f"cache {self.folder}: {error.strerror} while {entry.path} was written to it") from None
            digest = files.sha256_file(partial)
            if digest == entry.sha256:
                partial.rename(self.path(entry))
                return
            file.truncate(0)
            logger.warning("%s/%s has sha256 %s and not %s", self.remote.name, entry.path, digest, entry.sha256)
        partial.unlink()
        raise DoNotRequeueError(
            f"shard {self.remote.name}/{entry.path} has sha256 {digest} instead of {entry.sha256}, fetched "
            f"{_TRIES} times; it was damaged or replaced at its address: restore it there"
        )


def _check(entry: Entry) -> None:
    """Refuse what would name a file outside of the cache."""
    if not _SHA256.fullmatch(entry.sha256) or entry.bytes < 1:
        raise UserError(f"shard {entry.path}: its corpus.json gives no sha256 and size; run prepare again")


def _take(file: IO[bytes]) -> bool:
    """Hold a file exclusively unless somebody holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> bool:
    """Remove a file of the cache unless it is in use; whether it is gone."""
    try:
        with open(path, "rb+") as file:
            if not _take(file):
                return False
            path.unlink()
    except FileNotFoundError:
        pass
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Do the block in one process of the node at a time."""
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
