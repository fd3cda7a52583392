"""Files as streams of bytes, decompressed by their suffix, with every size bounded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from camembert_bio.corpus.readers.compression import ERRORS, MAX_WINDOW, Counted, decompressed
from camembert_bio.corpus.readers.record import lost, too_long
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

_READ = 1 << 20


@contextmanager
def opened(path: Path, source: Source) -> Iterator[IO[bytes]]:
    """A file's decompressed bytes, buffered.

    Raises `UserError` naming the file when it cannot be read, is damaged, is cut short, or is a bomb: more than
    64 MB that are 500 times the size on the disk.
    """
    try:
        with Counted(path) as raw:
            yield io.BufferedReader(decompressed(raw, path), _READ)
    except ERRORS as error:
        raise UserError(
            f"{path} cannot be decompressed: it is damaged, cut short, or needs a window over {MAX_WINDOW >> 20} MB; "
            "fetch it again or compress it anew"
        ) from error
    except OSError as error:
        raise lost(source, path, error) from None


def whole(path: Path, source: Source) -> bytes:
    """A file's decompressed bytes; `BadDocumentError` over `max_document_bytes`, else as `opened`."""
    with opened(path, source) as stream:
        data = stream.read(source.max_document_bytes + 1)
    if len(data) > source.max_document_bytes:
        raise too_long(len(data), source)
    return data


@dataclass(frozen=True)
class Segment:
    """Whole lines, and how much was read for them."""

    data: bytes
    num_bytes: int
    """0 at the end of the stream."""
    cut_bytes: int
    """Of a last line over the limit, which `data` leaves out; 0 for none."""


def segment(stream: IO[bytes], num_bytes: int, max_line: int) -> Segment:
    """The next `num_bytes` and the rest of the line in which they end. Memory: that and `max_line`."""
    data = stream.read(num_bytes)
    if not data or data.endswith(b"\n"):
        return Segment(data, len(data), 0)
    rest = stream.readline(max_line + 1)
    if len(rest) <= max_line or rest.endswith(b"\n"):
        return Segment(data + rest, len(data) + len(rest), 0)
    size = len(data) + len(rest) + skip_line(stream)
    start = data.rfind(b"\n") + 1
    return Segment(data[:start], size, size - start)


def skip_line(stream: IO[bytes]) -> int:
    """Leave out the rest of a line; its length in bytes, with its end."""
    size = 0
    while piece := stream.readline(_READ):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size
