"""Unpacks a zip or tar archive that somebody else made: regular files and folders, nothing else.

Whatever its headers claim, bytes are counted as they are written. Rights, owners and times are not taken over.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from camembert_bio.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

MAX_MEMBERS = 1_000_000
MAX_RATIO = 200  # four times what the most repetitive text at hand reaches; deflate ends at 1,032
_RATIO_FROM = 1 << 26  # bytes: below, nothing is a bomb
_MAX_HEADER = 1 << 20  # bytes between two members of a tar: tarfile holds its headers in memory
_BLOCK = 1 << 18
_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    NotImplementedError,
    RecursionError,  # of tarfile, at a long chain of headers
)
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:")


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.lower().endswith(SUFFIXES)


def extract(archive: Path, folder: Path, max_bytes: int) -> int:
    """Unpack an archive into an empty folder; the number of files written.

    Raises `UserError` for an archive that is damaged, holds over `max_bytes` (unpacked) or over 200 times its own
    size (beyond 64 MB), a million members, a path that is absolute or leaves the folder, one path twice, a link, a
    device, or an encrypted file. What was written by then stays: give a folder of `files.atomic_folder`. Memory:
    the list of a zip's members, which its own size bounds; of a tar one header of 1 MB.
    """
    out = _Out(archive, folder, max_bytes)
    try:
        if archive.name.lower().endswith(".zip"):
            _extract_zip(archive, out)
        else:
            _extract_tar(archive, out)
    except _DAMAGE as error:
        raise out.damaged(error) from None
    except OSError as error:
        if error.errno == errno.EINVAL:  # zipfile seeks to where the archive's headers say
            raise out.damaged(error) from None
        raise
    return out.num_files


class _Out:
    """Where members go, and what they may add up to."""

    def __init__(self, archive: Path, folder: Path, max_bytes: int) -> None:
        self.archive, self.folder = archive, folder
        self.max_bytes = min(max_bytes, max(_RATIO_FROM, MAX_RATIO * archive.stat().st_size))
        self.num_members = self.num_files = self.num_bytes = 0

    def refuse(self, reason: str) -> NoReturn:
        """The member's name is not shown: it may be anything, escape sequences included."""
        raise UserError(f"archive {self.archive.name}: member {self.num_members} {reason}; nothing was unpacked")

    def damaged(self, error: Exception) -> UserError:
        return UserError(
            f"archive {self.archive.name} is damaged, or no archive ({type(error).__name__}); download it again, or "
            "see the source's page"
        )

    def place(self, name: str) -> Path:
        """Where a member of this name goes."""
        self.num_members += 1
        if self.num_members > MAX_MEMBERS:
            self.refuse(f"is one too many ({MAX_MEMBERS:,} are allowed)")
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or _UNSAFE.search(name):
            self.refuse(
                "has a path that is empty, absolute, leaves the folder, or has control characters or backslashes"
            )
        if len(os.fsencode(name)) > 1000 or any(len(os.fsencode(part)) > 255 for part in path.parts):
            self.refuse("has a path that is too long")
        return self.folder / path

    def make_folder(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self.refuse("has the path of a file before it")

    def write(self, path: Path, content: IO[bytes]) -> None:
        """Copy one file, counting."""
        self.make_folder(path.parent)
        if path.exists():
            self.refuse("has the path of a member before it")
        with open(path, "xb") as file:
            while block := content.read(_BLOCK):
                self.num_bytes += len(block)
                if self.num_bytes > self.max_bytes:
                    self.refuse(f"brings the content to over {self.max_bytes:,} bytes, which is taken for an attack")
                file.write(block)
        self.num_files += 1


def _extract_zip(archive: Path, out: _Out) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            path = out.place(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                out.refuse("is a link or a device")
            if member.flag_bits & 1:
                out.refuse("is encrypted")
            if member.is_dir():
                out.make_folder(path)
            elif member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                with opened.open(member) as content:
                    out.write(path, content)
            else:  # LZMA may ask for 4 GB of memory
                out.refuse("is neither stored nor deflated")


def _extract_tar(archive: Path, out: _Out) -> None:
    with open(archive, "rb") if archive.name.lower().endswith(".tar") else gzip.open(archive) as raw:
        counted = _Counted(raw, out)
        with tarfile.open(fileobj=counted, mode="r|") as opened:  # type: ignore[call-overload]
            for member in opened:
                path = out.place(member.name)
                if member.isdir():
                    counted.enter_content(0)
                    out.make_folder(path)
                elif member.isreg() and not member.issparse() and (content := opened.extractfile(member)):
                    counted.enter_content(member.size)
                    out.write(path, content)
                else:
                    out.refuse("is a link, a device or a sparse file")
            while counted.read(_BLOCK):  # gzip checks its sum at the end
                pass


class _Counted:
    """A stream that refuses to give more than its members' contents and 1 MB of headers for each."""

    def __init__(self, raw: BufferedReader | gzip.GzipFile, out: _Out) -> None:
        self._raw, self._out = raw, out
        self._left = _MAX_HEADER

    def enter_content(self, num_bytes: int) -> None:
        """A member of this size begins; what it really holds `_Out` counts."""
        self._left = min(num_bytes, self._out.max_bytes) + _MAX_HEADER

    def read(self, num_bytes: int) -> bytes:
        block = self._raw.read(num_bytes)
        self._left -= len(block)
        if self._left < 0:
            self._out.refuse("is followed by over 1 MB that is no file")
        return block
