"""Formats with one document a file, or a few: files are listed with their sizes, and only wanted ones are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.names import document_id
from camembert_bio.corpus.readers.record import BadDocumentError, Block, Item, lost, made
from camembert_bio.corpus.readers.streams import whole
from camembert_bio.corpus.recipe import Source


class Part(NamedTuple):
    """One document of a file."""

    text: str
    licence: str | None = None
    """None: the source's."""
    suffix: str = ""
    """Added to the id that the file's path gives, where a file holds several documents."""


Opener = Callable[[Path], bytes]
"""Reads the bytes of a file, decompressed and bounded."""

Parse = Callable[[Path, Opener], Iterable[Part]]
"""The documents of a file, or `BadDocumentError`."""


def read(source: Source, files: list[Path], blocks: Blocks, parse: Parse) -> Iterator[Block]:
    """The documents of the wanted blocks, in the files' order. A file's raw size is that on the disk."""

    def opened(file: Path) -> bytes:
        return whole(file, source)

    for file in files:
        size = size_of(file, source)
        if blocks.is_wanted:
            blocks.items += _items(file, source, opened, parse)
        yield from blocks.add(max(size, 1))


def _items(file: Path, source: Source, opened: Opener, parse: Parse) -> list[Item]:
    name = document_id(file, source)
    found: list[Item] = []
    try:
        for part in parse(file, opened):
            found.append((str(file), made(name + part.suffix, part.text, part.licence, source)))
    except BadDocumentError as error:
        return [(str(file), error.rejected(str(file), name))]
    return found


def size_of(file: Path, source: Source) -> int:
    """The size of a file on the disk. Raises `SourceLostError`."""
    try:
        return file.stat().st_size
    except OSError as error:
        raise lost(source, file, error) from None
