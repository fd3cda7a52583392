"""What a file's name says: its format, its compression, the id of its document."""

from __future__ import annotations

from pathlib import Path

from camembert_bio import files
from camembert_bio.corpus.readers.compression import SUFFIXES as COMPRESSED
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

SUFFIXES: dict[str, tuple[str, ...]] = {
    "text": (".txt",),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet",),
    "html": (".html", ".htm"),
    "e3c": (".json", ".xml"),
    "istex": (".tei.xml", ".tei", ".xml", ".txt", ".cleaned", ".json"),
    "clear": (".txt", ".tsv"),
    "datasets": (".arrow",),
}
"""The files of each format below a folder; all but parquet and arrow also end in `.gz`, `.zst` or `.xz`."""

_BY_SUFFIX = ("text", "jsonl", "csv", "tsv", "parquet", "html")
_UNCOMPRESSED = ("parquet", "datasets")
_SAVED_DATASET = ("dataset_info.json", "dataset_dict.json")


def format_of(source: Source) -> str:
    """The format that a source states, or that its files' names show.

    Raises `UserError` when there are none, several, or one that is not known.
    """
    path = source.path
    if source.format:
        return source.format
    if path.is_dir():
        if any((path / name).is_file() for name in _SAVED_DATASET):
            return "datasets"
        found = sorted(name for name in _BY_SUFFIX if _below(path, name))
        if len(found) > 1:
            raise UserError(
                f"source {source.name!r}: folder {path} holds files of the formats {', '.join(found)}; "
                "set format to the one to read"
            )
        if not found:
            raise UserError(
                f"source {source.name!r}: folder {path} holds no .txt file, nor one of {_known()}; check the path, "
                "or set format"
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"source {source.name!r}: {path} does not exist; check the path")
    for name in _BY_SUFFIX:
        if _has_suffix(path, name):
            return name
    raise UserError(
        f"source {source.name!r}: {path} has no known format; give a file, or a folder of files, "
        f"ending in {_known()}; or set format"
    )


def files_of(source: Source, form: str) -> list[Path]:
    """The files of a source in this format, sorted by path; `UserError` when there are none."""
    path = source.path
    if path.is_dir():
        found = _below(path, form)
        if not found:
            raise UserError(
                f"source {source.name!r}: folder {path} holds no {' or '.join(SUFFIXES[form])} file; check the path"
            )
        return sorted(found, key=lambda file: file.relative_to(path).as_posix())
    if not path.is_file():
        raise UserError(f"source {source.name!r}: {path} does not exist; check the path")
    return [path]


def document_id(file: Path, source: Source) -> str:
    """The path of a file below its source's, without the suffixes of format and compression."""
    name = relative_name(file, source)
    for suffix in (*COMPRESSED, None):
        if suffix and name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    known = (suffix for suffixes in SUFFIXES.values() for suffix in suffixes if name.lower().endswith(suffix))
    return name[: -len(max(known, key=len, default=""))] or name


def relative_name(file: Path, source: Source) -> str:
    """The path of a file below its source's, or its name; `UserError` when it is not UTF-8."""
    name = file.relative_to(source.path).as_posix() if source.path.is_dir() else file.name
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"source {source.name!r}: the file name {name!a} is not UTF-8; rename it") from None
    return name


def numbered_id(number: int, file: Path, source: Source) -> int | str:
    """The id of a record without one: its number, after its file's where there may be several."""
    return f"{document_id(file, source)}:{number}" if source.path.is_dir() else number


def _below(folder: Path, form: str) -> list[Path]:
    # A link that leads nowhere is kept, so that reading it says so.
    found = (file for file in files.below(folder) if _has_suffix(file, form))
    return [file for file in found if file.is_file() or file.is_symlink()]


def _has_suffix(file: Path, form: str) -> bool:
    name = file.name.lower()
    if form not in _UNCOMPRESSED:
        name = next((name[: -len(suffix)] for suffix in COMPRESSED if name.endswith(suffix)), name)
    return name.endswith(SUFFIXES[form])


def _known() -> str:
    suffixes = [suffix for form in _BY_SUFFIX for suffix in SUFFIXES[form]]
    return f"{', '.join(suffixes)} (but for parquet, also with {', '.join(COMPRESSED)})"
