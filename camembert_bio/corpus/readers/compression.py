"""Decompression in bounded steps: what a file makes of one read is at most 64 MB, and a cut is an error."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import Any

import zstandard

from camembert_bio.errors import UserError

SUFFIXES = (".gz", ".zst", ".xz")
ERRORS = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError, lzma.LZMAError)
"""What reading a damaged file raises, or one cut short."""
MAX_WINDOW = 1 << 27  # `zstd --long=27`
_XZ_MEMORY = MAX_WINDOW + (1 << 25)  # a dictionary of that size and liblzma's own state
# One byte of Zstandard input makes 32 KB at most (a block of 128 KB in 4 bytes): a step makes 64 MB at most.
_ZSTD_STEP = 2 << 10
_XZ_STEP = 1 << 20
_MAX_RATIO = 500  # over ten times what the most repetitive text at hand reaches; gzip ends at 1,032
_RATIO_FROM = 1 << 26  # bytes: below, nothing is a bomb


class Counted(io.FileIO):
    """A file that counts the bytes that were read of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.num_read = 0

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end of the file."""
        count = super().readinto(buffer) or 0
        self.num_read += count
        return count

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes."""
        data = super().read(-1 if size is None else size) or b""
        self.num_read += len(data)
        return data


def decompressed(raw: Counted, path: Path) -> io.RawIOBase:
    """The bytes of a file by its suffix. Reading raises one of `ERRORS`, or `UserError` for a bomb."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return raw
    if not path.stat().st_size:
        raise EOFError  # to gzip and zstd no member, so no byte, is a whole file
    if suffix == ".gz":
        plain: Any = gzip.GzipFile(fileobj=io.BufferedReader(raw, 1 << 16))
    else:
        plain = _Zstd(raw) if suffix == ".zst" else _Xz(raw)
    return _Bounded(plain, raw, path)


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends with an error where no text compresses so well."""

    def __init__(self, plain: Any, raw: Counted, path: Path) -> None:
        self._plain = plain
        self._raw = raw
        self._path = path
        self._num_bytes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end of the file."""
        count: int = self._plain.readinto(buffer)
        self._num_bytes += count
        if self._num_bytes > max(_RATIO_FROM, _MAX_RATIO * self._raw.num_read):
            raise UserError(
                f"{self._path} decompresses to over {_MAX_RATIO} times its size ({self._num_bytes >> 20} MB so far), "
                "as no text does; check it, and decompress it yourself if it is meant so"
            )
        return count


class _Decompressed(io.RawIOBase):
    """Every stream or frame of a compressed file; `EOFError` when the last one is cut short."""

    def __init__(self, raw: Counted) -> None:
        self._raw = raw
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end of the file."""
        while not self._output:
            more = self._more()
            if more is None:
                return 0
            self._output = memoryview(more)
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _more(self) -> bytes | None:
        raise NotImplementedError


class _Zstd(_Decompressed):
    """zstandard's own stream reader ends in silence at a cut."""

    def __init__(self, raw: Counted) -> None:
        super().__init__(raw)
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        self._frame: Any = None
        self._input = io.BufferedReader(raw, 1 << 16)
        self._unused = b""

    def _more(self) -> bytes | None:
        data = self._unused or self._input.read(_ZSTD_STEP)
        if not data:
            if self._frame is not None:
                raise EOFError
            return None
        self._frame = self._frame or self._decompressor.decompressobj()
        output: bytes = self._frame.decompress(data)
        self._unused = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return output


class _Xz(_Decompressed):
    """lzma's own file object takes no bound on memory."""

    def __init__(self, raw: Counted) -> None:
        super().__init__(raw)
        self._stream: lzma.LZMADecompressor | None = None
        self._is_after_stream = False
        self._unused = b""

    def _more(self) -> bytes | None:
        data = b""
        if self._stream is None or self._stream.needs_input:
            data = self._unused or self._raw.read(1 << 16)
            self._unused = b""
            if not data:
                if self._stream is not None:
                    raise EOFError
                return None
            if self._is_after_stream and not (data := data.lstrip(b"\0")):  # it may be padded
                return b""
        self._is_after_stream = False
        self._stream = self._stream or lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        output = self._stream.decompress(data, max_length=_XZ_STEP)
        if self._stream.eof:
            self._unused = self._stream.unused_data
            self._stream, self._is_after_stream = None, True
        return output
