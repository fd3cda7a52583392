"""The work folder of a build: what each finished task left, so that a build that was stopped goes on.

    .work-NAME/ build.json  lock  tokenizer/  layout.npz  fates-*  selected.json  boilerplate.npz
        read/0-00000-000012.arrow  .npz  .json     source 0, part 0, block 12: documents, hashes, counts
        hashes/00003.keys  .bands  ...  .done      group 3 of blocks: its hashes, bucket by bucket (`partitions`)
        copies/00007.npz  sentences/00007.rows     bucket 7: documents and sentences to leave out
        kept/0-00000-000012.arrow  .json           what is left of the block's documents
        tokens/0-00000-000012.arrow  .npz  .json

It stands beside the corpus folder, holds text, and is removed when the corpus is whole. A task's `.json` (or only
file) is written last: where it stands, the task is done.
"""

from __future__ import annotations

import fcntl
import io
import json
import platform
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from camembert_bio import config, files
from camembert_bio.corpus.readers.record import SourceLostError
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.errors import RunError, UserError

_BUILD = "build.json"
_PREFIX = ".work-"
_ASIDE = ".tmp-"


_LIBRARIES = (
    *("numpy", "pyarrow", "sentencepiece", "tokenizers", "transformers", "datasets", "lxml"),
    *("rensa", "xxhash", "ftfy", "py3langid", "zstandard"),
)


@dataclass(frozen=True)
class Job:
    """What every task knows."""

    recipe: Prepare
    folder: Path
    """The work folder."""
    build: str
    """Hash of what its files depend on."""

    def path(self, phase: str, block: Block, suffix: str) -> Path:
        """A file of one phase and block."""
        return self.folder / phase / f"{block.name}{suffix}"


@dataclass(frozen=True, order=True)
class Block:
    """A block of a source; blocks order as the corpus does."""

    source: int
    part: int
    number: int

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"{self.source}-{self.part:05d}-{self.number:06d}"


def blocks(job: Job, phase: str) -> list[Block]:
    """The blocks of which a phase is done, in order."""
    stems = [path.stem.split("-") for path in (job.folder / phase).glob("[0-9]*.json")]
    return sorted(Block(*map(int, stem)) for stem in stems)


@contextmanager
def work_folder(recipe: Prepare, build: dict[str, Any], stamp: str) -> Iterator[Job]:
    """The work folder of a build, locked; that of another build, or of inputs of another `stamp`, is emptied first.

    It goes when the block ends well, and when it ends with a `UserError`: another request is another build. It
    stays after anything else, a `SourceLostError` too. Raises `UserError` when another process works in it.
    """
    folder = work_folder_of(recipe.output)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder} is in use: another prepare builds {recipe.output}; wait for it") from None
        digest = files.sha256_json({"code": _code(), "build": build, "inputs": stamp})
        record = folder / _BUILD
        if _recorded(record) != digest:
            for path in folder.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            files.write_json(record, {"build": digest})
        for left in folder.glob(f"**/{_ASIDE}*"):  # by a kill while it was written
            left.unlink()
        for phase in ("read", "hashes", "copies", "sentences", "kept", "tokens"):
            (folder / phase).mkdir(exist_ok=True)
        try:
            yield Job(recipe, folder, digest)
        except SourceLostError:
            raise
        except UserError:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def _recorded(record: Path) -> str | None:
    """The build of a work folder; None where nothing says which."""
    with suppress(UserError):
        return config.read_json(record).get("build")
    return None


def remove_work_folder(recipe: Prepare) -> None:
    """Remove what a kill left between the corpus' appearance and the end."""
    folder = work_folder_of(recipe.output)
    if folder.is_dir():
        shutil.rmtree(folder)


def check_work_folder(recipe: Prepare) -> None:
    """Refuse a file or a link at the place of the work folder: what it leads to is not this build's to empty."""
    folder = work_folder_of(recipe.output)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        kind = "link" if folder.is_symlink() else "file"
        raise UserError(f"{folder}, where the build works, is a {kind}; move it away, or give another output")


def work_folder_of(output: Path) -> Path:
    """Where a build keeps its work: beside the corpus folder."""
    return output.with_name(f"{_PREFIX}{output.name}")


def _code() -> dict[str, str]:
    """What the files of a work folder depend on besides the build: this package's code, and libraries' versions."""
    package = Path(__file__).parents[1]
    paths = [*package.glob("*.py"), *package.glob("corpus/**/*.py"), *package.glob("shards/*.py")]
    code = {path.relative_to(package).as_posix(): files.sha256_file(path) for path in sorted(paths)}
    return code | {name: metadata.version(name) for name in _LIBRARIES} | {"python": platform.python_version()}


def write_table(path: Path, columns: dict[str, pa.Array]) -> None:
    """An Arrow file, compressed with LZ4, whole or not at all."""
    table = pa.table(columns)
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content = sink.getbuffer()
    write_bytes(path, [content, xxhash.xxh3_64_digest(content)])


def read_table(path: Path) -> pa.Table:
    """What `write_table` wrote, compared with the hash (xxh3, 8 bytes) that follows it: a text has no other."""
    with readable(path):
        data = memoryview(path.read_bytes())
        if xxhash.xxh3_64_digest(data[:-8]) != data[-8:]:
            raise ValueError
        return pa.ipc.open_file(pa.py_buffer(data[:-8])).read_all()


def write_arrays(path: Path, **arrays: Any) -> None:
    """Named arrays, whole or not at all."""
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    write_bytes(path, [sink.getbuffer()])


def read_arrays(path: Path, *names: str) -> dict[str, Any]:
    """What `write_arrays` wrote: the arrays of these names, or all."""
    with readable(path), np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names or arrays.files}


def write_counts(path: Path, values: dict[str, Any]) -> None:
    """JSON: the mark that a task is done."""
    write_bytes(path, [json.dumps(values).encode()])


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """A file of the work folder that cannot be read as it was written is removed, so that its task is done again.

    Raises `RunError` that says so. A failure of the disk passes as it is.
    """
    try:
        yield
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow's own has none
            raise
        for mark in (path, path.with_suffix(".json"), path.with_suffix(".done")):
            mark.unlink(missing_ok=True)
        raise RunError(
            f"{path} was damaged ({type(error).__name__}) and is removed; the same command makes it again"
        ) from None


def write_bytes(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """A file of these bytes, whole or not at all.

    Without a flush to the disk: after a power cut the build is made anew, after a kill it goes on.
    """
    # A rank of a job that lost its coordinator may still write the same file.
    aside = path.with_name(f"{_ASIDE}{secrets.token_hex(4)}-{path.name}")
    try:
        with open(aside, "wb") as file:
            for part in parts:
                file.write(part)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
