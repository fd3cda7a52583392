"""Readers: each yields `Document`s of one source, one at a time.

A folder is searched for `.txt` files; a `.jsonl` file, plain or compressed with gzip or Zstandard,
holds one record a line. Memory: one document, and 16 bytes of hash for each id read.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from camembert_bio import files
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_MAX_WINDOW = 1 << 27  # `zstd --long=27`
_MAX_LICENCE = 100
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Document:
    """One text as its source holds it."""

    id: str
    """Unique within its source."""
    source: str
    text: str
    licence: str
    """The record's own where it states one, else the source's."""


@dataclass
class Progress:
    """How far the readers are in their inputs, in bytes as they lie on the disk."""

    total_bytes: int
    read_bytes: int = 0


def input_files(source: Source) -> list[Path]:
    """The files of a source, sorted by path.

    Raises `UserError` when there are none, their format is unknown, or a folder cannot be read.
    """
    path = source.path
    if path.is_dir():
        # A link that leads nowhere is kept, so that reading it says so.
        texts = (file for file in files.below(path) if file.suffix.lower() == ".txt")
        found = [file for file in texts if file.is_file() or file.is_symlink()]
        if not found:
            raise UserError(f"source {source.name!r}: folder {path} holds no .txt file; check the path")
        return sorted(found, key=lambda file: file.relative_to(path).as_posix())
    if not path.is_file():
        raise UserError(f"source {source.name!r}: {path} does not exist; check the path")
    if not path.name.endswith(_JSONL):
        raise UserError(
            f"source {source.name!r}: {path} has no known format; give a folder of .txt files or a file "
            f"ending in {', '.join(_JSONL)}"
        )
    return [path]


def input_bytes(source: Source) -> int:
    """The size of a source's files on the disk: what `Progress` counts towards."""
    return sum(file.stat().st_size for file in input_files(source))


def fingerprint(source: Source) -> str:
    """Hexadecimal sha256 of a source's file, or over the id and content of each file of its folder.

    Where the file or the folder stands, and its own name, do not count.
    """
    if source.path.is_file():
        return files.sha256_file(*input_files(source))
    digest = hashlib.sha256()
    for file in input_files(source):
        digest.update(f"{files.sha256_file(file)} {_id_of(file, source)}\n".encode())
    return digest.hexdigest()


def read(source: Source, progress: Progress | None = None) -> Iterator[Document]:
    """Every document of a source, in a fixed order: files by path, records by line.

    Raises `UserError`, with file and line, for what cannot be read: not UTF-8, not JSON, a record
    without text or id, a licence that is no short line, an id given twice, no document at all. A message
    never shows an id: with a wrong `id_field` it would be text.
    """
    progress = progress or Progress(0)
    reader = _read_folder if source.path.is_dir() else _read_jsonl
    seen: set[bytes] = set()
    for document, where in reader(source, progress):
        key = hashlib.blake2b(document.id.encode(), digest_size=16).digest()
        if key in seen:
            first = next(place for other, place in reader(source, Progress(0)) if other.id == document.id)
            raise UserError(
                f"source {source.name!r}: {first} and {where} have the same id; make ids unique, "
                "or set id_field to null to use line numbers"
            )
        seen.add(key)
        yield document
    if not seen:
        raise UserError(f"source {source.name!r}: {source.path} holds no document; check the path")


def _read_folder(source: Source, progress: Progress) -> Iterator[tuple[Document, str]]:
    """One document a `.txt` file; its id is the path below the folder, without the suffix."""
    for file in input_files(source):
        data = file.read_bytes()
        progress.read_bytes += len(data)
        text = _decode(data.removeprefix(_BOM), str(file), line=None)
        yield Document(_id_of(file, source), source.name, text, source.licence), str(file)


def _id_of(file: Path, source: Source) -> str:
    name = file.relative_to(source.path).with_suffix("").as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"source {source.name!r}: the file name {name!a} is not UTF-8; rename it") from None
    return name


def _read_jsonl(source: Source, progress: Progress) -> Iterator[tuple[Document, str]]:
    """One document a line; empty lines are skipped."""
    (path,) = input_files(source)
    before = progress.read_bytes
    with open(path, "rb") as raw:
        for number, line in enumerate(_lines(raw, path), 1):
            progress.read_bytes = before + raw.tell()
            if line.isspace():
                continue
            where = f"{path} line {number}"
            yield _document(_record(line, where, number), source, where, number), where
        progress.read_bytes = before + raw.tell()


def _record(line: bytes, where: str, number: int) -> dict[str, Any]:
    text = _decode(line.removeprefix(_BOM) if number == 1 else line, where, line=number)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{where} is not valid JSON{place}; mend or remove the line") from None
    if not isinstance(record, dict):
        raise UserError(f"{where} holds a JSON {type(record).__name__}, not an object; write one object a line")
    return record


def _document(record: dict[str, Any], source: Source, where: str, number: int) -> Document:
    text = record.get(source.text_field)
    if not isinstance(text, str):
        raise UserError(
            f"{where} has no text in field {source.text_field!r}; set text_field to the field that holds it"
        )
    doc_id = number if source.id_field is None else record.get(source.id_field)
    if isinstance(doc_id, bool) or not isinstance(doc_id, (str, int)) or not _is_text(str(doc_id)):
        raise UserError(
            f"{where} has no id in field {source.id_field!r}; set id_field to the field that holds it, "
            "or to null to use line numbers"
        )
    licence = record.get("licence")
    if not isinstance(licence, str) or not licence:
        return Document(str(doc_id), source.name, text, source.licence)
    # The report shows it, so it must not be a text.
    if not _is_text(licence) or len(licence) > _MAX_LICENCE or len(licence.splitlines()) > 1:
        raise UserError(
            f"{where} has a licence of {len(licence)} characters; give one line of at most {_MAX_LICENCE}, "
            "or remove the field 'licence'"
        )
    return Document(str(doc_id), source.name, text, licence)


def _is_text(value: str) -> bool:
    """Whether a string has characters, and UTF-8 can write them (JSON can escape half a surrogate pair)."""
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False


def _decode(data: bytes, where: str, line: int | None) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if line is None:
            where += f" line {data.count(bytes([10]), 0, error.start) + 1}"
        raise UserError(f"{where} is not UTF-8 (byte {error.start}); convert the file to UTF-8") from None


def _lines(raw: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a file, decompressed by its suffix; `UserError` when it is damaged or cut short."""
    try:
        if path.suffix == ".gz":
            yield from io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
        elif path.suffix == ".zst":
            yield from io.BufferedReader(_Zstd(raw), 1 << 20)
        else:
            yield from raw
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise UserError(
            f"{path} cannot be decompressed: it is damaged, cut short, or needs a window over {_MAX_WINDOW >> 20} MB; "
            "fetch it again or compress it anew"
        ) from error


class _Zstd(io.RawIOBase):
    """Decompress every frame of a Zstandard file; `EOFError` when the last one is cut short.

    zstandard's own stream reader ends in silence at a cut.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end of the file."""
        while not self._output:
            self._input = self._input or self._raw.read(1 << 14)
            if not self._input:
                if self._frame is not None:
                    raise EOFError
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = self._frame.unused_data if self._frame.eof else b""
            self._frame = None if self._frame.eof else self._frame
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count
