"""The documents of a source, whatever its format: one at a time, or in the blocks that workers share.

Memory: a block (4 MB and one document; of parquet 128 MB at most, and a page as large), the decompressor's (200 MB at
most, far less for what is common), and for `read` 16 bytes of hash for each id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from camembert_bio.corpus.readers import (
    clear,
    delimited,
    e3c,
    html,
    istex,
    json_list,
    jsonl,
    one_file,
    parquet,
    saved_dataset,
    text,
)
from camembert_bio.corpus.readers.blocks import BLOCK_BYTES, Blocks, Wanted
from camembert_bio.corpus.readers.names import files_of, format_of
from camembert_bio.corpus.readers.record import Block, Document, Rejected
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

__all__ = [
    "BLOCK_BYTES",
    "Document",
    "Rejected",
    "input_files",
    "is_in_parts",
    "read",
    "read_blocks",
]

_IN_PARTS = ("text", "jsonl", "json", "csv", "tsv", "parquet", "html", "e3c", "clear")
"""Formats whose files are read one by one; of the others the files of a folder belong together."""

Reader = Callable[[Source, list[Path], Blocks], Iterator[Block]]
OnRejected = Callable[[Rejected], None]

_READERS: dict[str, Reader] = {
    "text": partial(one_file.read, parse=text.parse),
    "jsonl": jsonl.read,
    "json": json_list.read,
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "parquet": parquet.read,
    "datasets": saved_dataset.read,
    "html": partial(one_file.read, parse=html.parse),
    "e3c": partial(one_file.read, parse=e3c.parse),
    "istex": istex.read,
    "clear": partial(one_file.read, parse=clear.parse),
}


def input_files(source: Source) -> list[Path]:
    """The files of a source, sorted by path; of E3C those named `EN*` last.

    Half of layer 3's French folder are `EN*` files that repeat an `FR*` text: of two the `FR*` stays.
    Raises `UserError` when there are none, their format is unknown, or a folder cannot be read.
    """
    form = format_of(source)
    if form == "datasets":
        return saved_dataset.files_of(source)
    found = files_of(source, form)
    return sorted(found, key=lambda file: file.name.startswith("EN")) if form == "e3c" else found


def is_in_parts(source: Source) -> bool:
    """Whether some of a source's files can be read without the others."""
    return format_of(source) in _IN_PARTS


def read(
    source: Source,
    rejected: OnRejected | None = None,
    wanted: Wanted | None = None,
) -> Iterator[Document]:
    """Every document of a source, or of its wanted blocks, in a fixed order: files by path, records by line.

    A document that cannot be read (not UTF-8, not JSON, too long, ...) is given to `rejected` as a `Rejected`;
    without that function it raises `UserError`, as do faults of the source itself: a file that is missing or
    damaged, no text column, an id given twice, no document at all. A message never shows an id: with a wrong
    `id_field` it would be text.
    """
    seen: set[bytes] = set()
    num_rejected = 0

    def count(bad: Rejected) -> None:
        nonlocal num_rejected
        num_rejected += 1
        (rejected or _refuse)(bad)

    for _, items in _blocks(source, wanted):
        for where, document in items:
            if isinstance(document, Rejected):
                count(document)
                continue
            key = hashlib.blake2b(document.id.encode(), digest_size=16).digest()
            if key in seen:
                raise UserError(
                    f"source {source.name!r}: {_first(source, wanted, document.id)} and {where} have the same id; "
                    "make ids unique, or set id_field to null to use line numbers"
                )
            seen.add(key)
            yield document
    if not seen and not num_rejected and wanted is None:
        raise UserError(f"source {source.name!r}: {source.path} holds no document; check the path")


def read_blocks(
    source: Source,
    wanted: Wanted,
    paths: list[Path] | None = None,
    rejected: OnRejected | None = None,
) -> Iterator[tuple[int, list[Document]]]:
    """The wanted blocks of a source, or of one of its parts (its `paths`), with their numbers, from 0, in order.

    A block may hold no document. It is a run of records of one source whose raw size reaches 4 MB, cut by the input
    alone: lines by their bytes after decompression, a folder's files by their size on the disk, parquet by row groups
    and even parts of them. Of unwanted blocks nothing is parsed. Faults are told as by `read`, except that an id given
    twice is not looked for: another worker may have read the other.
    """
    for number, items in _blocks(source, wanted, paths):
        documents = []
        for _, document in items:
            if isinstance(document, Rejected):
                (rejected or _refuse)(document)
            else:
                documents.append(document)
        yield number, documents


def _blocks(source: Source, wanted: Wanted | None, found: list[Path] | None = None) -> Iterator[Block]:
    blocks = Blocks(wanted)
    yield from _READERS[format_of(source)](source, found or input_files(source), blocks)
    yield from blocks.finish()


def _refuse(bad: Rejected) -> None:
    raise UserError(f"{bad.where} {bad.reason}")


def _first(source: Source, wanted: Wanted | None, doc_id: str) -> str:
    """Where an id stands first."""
    items = (item for _, items in _blocks(source, wanted) for item in items)
    return next(where for where, found in items if isinstance(found, Document) and found.id == doc_id)
