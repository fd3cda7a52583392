"""What holds a corpus' documents beside its named shards: in its folder and next to it, left by a stop or by others."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from camembert_bio import files
from camembert_bio.corpus.pending import MARK
from camembert_bio.corpus.work import work_folder_of
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import (
    BESIDE_TOKENIZER,
    MANIFEST,
    SHARD_NAME,
    TOKENIZER,
    TRAIN,
    VALIDATION,
    VOCABULARY,
    WINDOWS,
    Corpus,
)
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, TOKENIZER_JSON

_TABLE = re.compile(rf"(?:\.tmp-.+-)?(?:{TRAIN}|{VALIDATION})-\d+-[0-9a-f]+\.npz")
"""One table, or what a kill left while one was written."""
_TOKENIZER_FILES = (SENTENCEPIECE_MODEL, TOKENIZER_JSON, *BESIDE_TOKENIZER)
_OURS = (MANIFEST, VOCABULARY, MARK, "report.json", "report.md", "report.html", "quarantine.jsonl")


def remove_unnamed(corpus: Corpus) -> int:
    """Remove the shards that the manifest does not name, and folders that are empty then; how many shards."""
    named = _named(corpus)
    unnamed = [
        path
        for path in sorted(corpus.folder.glob("*/*.arrow"))
        if re.fullmatch(SHARD_NAME, path.name) and path.relative_to(corpus.folder).as_posix() not in named
    ]
    _remove([*unnamed, *corpus.folder.glob(f".tmp-*-{MANIFEST}")])
    files.fsync_path(corpus.folder)
    return len(unnamed)


def remove_windows(folder: Path) -> None:
    """Remove the tables of windows and nothing else: a corpus of an earlier version may have a source of this name."""
    if (folder / WINDOWS).is_dir():
        _remove([path for path in sorted((folder / WINDOWS).iterdir()) if _TABLE.fullmatch(path.name)])


def check_beside(folder: Path) -> None:
    """Refuse a corpus beside which another process may write it: what it writes holds documents.

    Raises `UserError` naming the folder; what a dead process of this host left is removed.
    """
    for path in _places(folder):
        files.remove_stale(path)
        writing = re.compile(rf"\.tmp-.+-\d+-[0-9a-f]{{8}}-{re.escape(path.name)}")
        for aside in sorted(path.parent.glob(".tmp-*")):
            if writing.fullmatch(aside.name):
                raise UserError(
                    f"{aside} is a copy of {folder} that a process writes, or that one of another host left; wait for "
                    "its end, or remove it, and call again; nothing was changed"
                )
        if _is_in_use(work_folder_of(path)):
            raise UserError(f"prepare works in {work_folder_of(path)}; wait for its end; nothing was changed")


def remove_beside(folder: Path) -> None:
    """Remove the work folder, full of texts, that a kill of `prepare` left."""
    for path in _places(folder):
        if work_folder_of(path).is_dir():
            shutil.rmtree(work_folder_of(path))


def num_unknown(corpus: Corpus) -> int:
    """Files in the folder that are no part of a corpus: copies, exports, notes of others."""
    named = _named(corpus)
    names = (path.relative_to(corpus.folder) for path in files.below(corpus.folder))
    return sum(
        name.as_posix() not in named
        and name.as_posix() not in _OURS
        and not (name.parts[0] == TOKENIZER and name.name in _TOKENIZER_FILES)
        and not (name.parts[0] == WINDOWS and _TABLE.fullmatch(name.name))
        for name in names
    )


def _named(corpus: Corpus) -> set[str]:
    """The shards of a corpus, by their paths in its folder."""
    return {entry.path for split in (TRAIN, VALIDATION) for _, entry in corpus.manifest.shards(split)}


def _places(folder: Path) -> list[Path]:
    """The folder as it is called, and where a link leads."""
    return sorted({folder.absolute(), folder.resolve()})


def _is_in_use(work_folder: Path) -> bool:
    try:
        with open(work_folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        pass
    return False


def _remove(paths: Iterable[Path]) -> None:
    """Remove files, and their folders where nothing else is in them."""
    parents = {path.parent for path in paths}
    for path in paths:
        path.unlink(missing_ok=True)
    for parent in parents:
        if any(parent.iterdir()):
            files.fsync_path(parent)
        else:
            parent.rmdir()
