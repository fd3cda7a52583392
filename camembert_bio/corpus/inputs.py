"""The files of a source as they stood when a build began: listed once, hashed, read, and looked at again after that.

What is hashed is what is read: workers take the files of this list, and a file that is another by the time all are
read ends the build. A file that comes to a folder meanwhile is not of this build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from camembert_bio import files
from camembert_bio.corpus.decontaminate import task_sources
from camembert_bio.corpus.documents import input_files, is_in_parts
from camembert_bio.corpus.readers.compression import SUFFIXES as COMPRESSED
from camembert_bio.corpus.readers.names import document_id, format_of, relative_name
from camembert_bio.corpus.readers.record import SourceLostError, lost
from camembert_bio.corpus.recipe import Prepare, Source
from camembert_bio.errors import Mistakes

_PART_BYTES = 1 << 30
_RECORDS = ("jsonl", "csv", "tsv", "parquet")
"""Formats of which a single file's name is in no id."""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in ns: another content at the same stamp is not noticed."""


@dataclass(frozen=True)
class Input:
    """The files of a source in the order in which they are read."""

    source: Source
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    @property
    def num_bytes(self) -> int:
        """Size of the files on the disk."""
        return sum(size for size, _ in self.stamps)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over the format, and the name and content of the file or of each file of the folder.

        Where the file or the folder stands, and the folder's own name, do not count; nor, where records have ids or
        numbers of their own, a single file's, nor, for plain text, a file's suffix. Raises `SourceLostError` for a
        file that cannot be read.
        """
        form = format_of(self.source)
        name = _counted_name if self.source.path.is_file() else document_id if form == "text" else relative_name
        digest = hashlib.sha256(f"{form}\n".encode())
        for file in self.files:
            shown = name(file, self.source) if file.is_relative_to(self.source.path) else file.name
            digest.update(f"{self._sha256(file)} {shown}\n".encode())
        return digest.hexdigest()

    def parts(self) -> list[list[Path]]:
        """The files in runs that reach 1 GB on the disk: a worker that reads one opens no file of another."""
        if not is_in_parts(self.source):
            return [list(self.files)]
        parts: list[list[Path]] = [[]]
        num_bytes = 0
        for file, (size, _) in zip(self.files, self.stamps, strict=True):
            if num_bytes >= _PART_BYTES:
                parts.append([])
                num_bytes = 0
            parts[-1].append(file)
            num_bytes += size
        return parts

    def changed(self) -> list[str]:
        """What is not as it was listed, a sentence a file."""
        found = []
        for file, before in zip(self.files, self.stamps, strict=True):
            try:
                now = _stamp(file)
            except OSError as error:
                found.append(f"source {self.source.name!r}: {file} is gone ({error.strerror})")
                continue
            if now != before:
                how = f"has {now[0]} bytes instead of {before[0]}" if now[0] != before[0] else "was written again"
                found.append(f"source {self.source.name!r}: {file} {how}")
        return found

    def _sha256(self, file: Path) -> str:
        try:
            return files.sha256_file(file)
        except OSError as error:
            raise lost(self.source, file, error) from None


def _counted_name(file: Path, source: Source) -> str:
    """What a single file's name says of its documents: the id, where it gives one, and the compression."""
    suffix = file.suffix.lower()
    compression = suffix if suffix in COMPRESSED else ""
    form = format_of(source)
    if form in _RECORDS:
        return compression
    return document_id(file, source) + compression if form == "text" else relative_name(file, source)


def list_input(source: Source) -> Input:
    """The input of a source. Raises as `documents.input_files`, and `SourceLostError` for a file that is not there."""
    found = input_files(source)
    stamps = []
    for file in found:
        try:
            stamps.append(_stamp(file))
        except OSError as error:
            raise lost(source, file, error) from None
    return Input(source, tuple(found), tuple(stamps))


@dataclass(frozen=True)
class Inputs:
    """All that a build reads."""

    sources: tuple[Input, ...]
    """In the recipe's order."""
    tasks: tuple[Input, ...]
    """The evaluation sets."""

    @property
    def stamp(self) -> str:
        """Hexadecimal sha256 of the sizes and times of all files."""
        digest = hashlib.sha256()
        for one in (*self.sources, *self.tasks):
            digest.update(b"\n")
            for size, time in one.stamps:
                digest.update(f"{size} {time} ".encode())
        return digest.hexdigest()


def list_inputs(recipe: Prepare) -> Inputs:
    """The inputs of a recipe. Raises `UserError` with every source and evaluation set that has no files."""
    mistakes = Mistakes()

    def listed(sources: Iterable[Source]) -> tuple[Input, ...]:
        found = []
        for source in sources:
            with mistakes.noted():
                found.append(list_input(source))
        return tuple(found)

    tasks = task_sources(recipe.decontaminate.tasks) if recipe.decontaminate else []
    inputs = Inputs(listed(recipe.sources), listed(tasks))
    mistakes.raise_any("the sources cannot be read:")
    return inputs


def refuse_changes(inputs: Iterable[Input]) -> None:
    """Raise `SourceLostError` when files changed or went since they were listed."""
    changed = [sentence for one in inputs for sentence in one.changed()]
    if changed:
        shown = "; ".join(changed[:5])
        more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise SourceLostError(
            f"sources changed while they were read: {shown}{more}; leave them as they are and run prepare again"
        )


def _stamp(file: Path) -> Stamp:
    about = file.stat()
    return about.st_size, about.st_mtime_ns
