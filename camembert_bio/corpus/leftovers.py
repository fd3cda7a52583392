"""What tells of a corpus' documents beside its named shards: shards that a stop left, and the tables of windows."""

from __future__ import annotations

import re
from pathlib import Path

from camembert_bio import files
from camembert_bio.shards.manifest import TRAIN, VALIDATION, WINDOWS, Corpus

_SHARD = re.compile(rf"(?:{TRAIN}|{VALIDATION})-\d{{5}}(?:-r\d+)?\.arrow")
_TABLE = re.compile(rf"(?:\.tmp-.+-)?(?:{TRAIN}|{VALIDATION})-\d+-[0-9a-f]+\.npz")
"""One table, or what a kill left while one was written."""


def named_shards(corpus: Corpus) -> set[str]:
    """The shards of a corpus, by their paths in its folder."""
    return {entry.path for split in (TRAIN, VALIDATION) for _, entry in corpus.manifest.shards(split)}


def remove_unnamed(corpus: Corpus) -> int:
    """Remove the shards that the manifest does not name, and folders that are empty then; how many shards."""
    named = named_shards(corpus)
    unnamed = [
        path
        for path in sorted(corpus.folder.glob("*/*.arrow"))
        if _SHARD.fullmatch(path.name) and path.relative_to(corpus.folder).as_posix() not in named
    ]
    _remove(unnamed)
    files.fsync_path(corpus.folder)
    return len(unnamed)


def remove_windows(folder: Path) -> None:
    """Remove the tables of windows and nothing else: a corpus of an earlier version may have a source of this name."""
    if (folder / WINDOWS).is_dir():
        _remove([path for path in sorted((folder / WINDOWS).iterdir()) if _TABLE.fullmatch(path.name)])


def _remove(paths: list[Path]) -> None:
    """Remove files, and their folders where nothing else is in them."""
    for path in paths:
        path.unlink()
    for parent in {path.parent for path in paths}:
        if any(parent.iterdir()):
            files.fsync_path(parent)
        else:
            parent.rmdir()
