"""`forget`: a corpus without the given documents, as after a patient's refusal.

Shards that hold such a document are written anew under new names, verified, and then named by a new manifest in one
rename: before it the old corpus is whole, after it the new one. The old shards are removed last. What a kill leaves
of either is removed by the next call, which knows by a mark (`corpus.pending`) what there is to end.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camembert_bio import files
from camembert_bio.corpus import leftovers
from camembert_bio.corpus.pending import Change, Mark, change_of, locked
from camembert_bio.errors import RunError, UserError, nearest
from camembert_bio.shards.format import Ids, Shard, open_shard, write_shard
from camembert_bio.shards.manifest import (
    MANIFEST,
    Corpus,
    Removal,
    ShardEntry,
    Split,
    open_corpus,
)
from camembert_bio.shards.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

Keep = npt.NDArray[np.bool_]
_SHOWN = 10


@dataclass(frozen=True)
class Forgotten:
    """What a call of `forget` did."""

    documents: int
    """Removed."""
    missing: int
    """Of the ids given, those that no document has."""
    shards: int
    """Written anew or removed."""
    hash: str
    """The corpus' name from now on."""
    unknown_files: int
    """In the folder, of others: not looked at."""


def forget(folder: Path, ids: Sequence[str], source: str | None = None, ignore_missing: bool = False) -> Forgotten:
    """Take documents out of a corpus, given by their ids, or by `SOURCE:ID` where sources share ids.

    Words of the removed documents are counted from their tokens. A call that was stopped behind the new manifest is
    ended by the next, and answered if that asks for the same. Raises `UserError`, and changes nothing else, when no id
    is given, an id is not found and `ignore_missing` is not set, an id is of several documents, nothing would stay, or
    another process writes the corpus; `RunError` when a shard that must be rewritten is damaged or the disk fails. No
    message shows an id.
    """
    open_corpus(folder)
    leftovers.check_beside(folder)
    ids = list(dict.fromkeys(ids))
    with _failures_told(folder), locked(folder) as mark, _stops_told(folder, mark):
        corpus = open_corpus(folder)
        change = mark.read()
        left = _remove_left(corpus, change)
        num_unknown = leftovers.num_unknown(corpus)
        if change and change.hash == corpus.manifest.hash and change.is_of(ids, source):
            logger.info("%s: the same forget was stopped before; its end is made up for", folder)
        else:
            mark.clear()
            with _unchanged_told(left):
                keep, missing = _search(corpus, ids, source)
                _refuse_missing(corpus, ids, source, missing, ignore_missing)
                documents = sum(int(np.count_nonzero(~mask)) for mask in keep.values())
                change = change_of(ids, source, documents, len(missing), len(keep))
                if keep:
                    change = _rewrite(corpus, keep, mark, change)
        _finish(folder, ids, source, changed=change.shards > 0)
        return Forgotten(
            change.documents, change.missing, change.shards, change.hash or corpus.manifest.hash, num_unknown
        )


@contextmanager
def _failures_told(folder: Path) -> Iterator[None]:
    """Failures of the disk as one message."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"forget did not end on {folder}: {error.strerror} ({error.filename or folder}); mend that and give the "
            "same command again, until then documents to forget may lie there"
        ) from error


@contextmanager
def _stops_told(folder: Path, mark: Mark) -> Iterator[None]:
    """Say what an interruption leaves when the old shards are not named any more."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        change = mark.read()
        if change and change.hash == open_corpus(folder).manifest.hash:
            logger.warning(
                "%s is changed, but old shards that hold the documents may still lie there; the same command ends it",
                folder,
            )
        raise


@contextmanager
def _unchanged_told(left: bool) -> Iterator[None]:
    """Add to a refusal what became of the corpus."""
    try:
        yield
    except UserError as error:
        else_ = "what an interrupted forget had left is removed, nothing else was changed"
        raise UserError(f"{error}; {else_ if left else 'nothing was changed'}") from None


def _remove_left(corpus: Corpus, change: Change | None) -> bool:
    """Remove what an interrupted `forget` left in the folder; whether there was one."""
    num_shards = leftovers.remove_unnamed(corpus)
    if not num_shards and change is None:
        return False
    leftovers.remove_windows(corpus.folder)
    logger.info("%s: %d shards that an interrupted forget left are removed", corpus.folder, num_shards)
    return True


def _search(corpus: Corpus, ids: Sequence[str], source: str | None) -> tuple[dict[str, Keep], list[int]]:
    """By path, which documents stay of each shard that holds one to forget; and the positions of ids not found."""
    if not ids:
        raise UserError("no id is given; name documents, or a file of ids with --from")
    sources = corpus.manifest.sources
    if source is not None and source not in sources:
        raise UserError(f"{corpus.folder} has no source {source!r} ({nearest(source, sources)})")
    keep, found = _matches(corpus, ids, source)
    _refuse_ambiguous(corpus.folder, ids, found)
    return keep, [position for position, given in enumerate(ids) if given not in found]


def _matches(
    corpus: Corpus, ids: Sequence[str], source: str | None
) -> tuple[dict[str, Keep], dict[str, set[tuple[str, str]]]]:
    """By path, which documents stay of each shard that holds one to forget; by id, what has it: (source, id)."""
    sources = corpus.manifest.sources
    keep: dict[str, Keep] = {}
    found: dict[str, set[tuple[str, str]]] = {}
    for name in sources if source is None else [source]:
        wanted = _wanted(ids, name, source)
        for entry in (entry for split in sources[name].splits.values() for entry in split.shards):
            doc_ids = corpus.open(entry).doc_ids
            mask = np.array([doc_id not in wanted for doc_id in doc_ids], dtype=bool)
            if not mask.all():
                keep[entry.path] = mask
            for index in np.flatnonzero(~mask):
                for given in wanted[doc_ids[index]]:
                    found.setdefault(given, set()).add((name, doc_ids[index]))
    return keep, found


def _wanted(ids: Sequence[str], name: str, source: str | None) -> dict[str, list[str]]:
    """The ids to forget of the source `name`, each with the forms in which it is given."""
    wanted: dict[str, list[str]] = {}
    for given in ids:
        wanted.setdefault(given, []).append(given)
        if source is None and given.startswith(f"{name}:"):
            wanted.setdefault(given[len(name) + 1 :], []).append(given)
    return wanted


def _refuse_ambiguous(folder: Path, ids: Sequence[str], found: Mapping[str, Collection[tuple[str, str]]]) -> None:
    """Refuse an id that is of several documents: in several sources, or as `ID` of one and as `SOURCE:ID`."""
    several = [given for given, documents in found.items() if len(documents) > 1]
    if any(len({source for source, _ in found[given]}) > 1 for given in several):
        raise UserError(
            f"{len(several)} of {len(ids)} ids stand in several sources of {folder}; give --source or SOURCE:ID"
        )
    if several:
        raise UserError(
            f"{len(several)} of {len(ids)} ids are of two documents of {folder}: as ID, and as SOURCE:ID of another; "
            "give --source, with which an id is taken as it stands"
        )


def _refuse_missing(
    corpus: Corpus, ids: Sequence[str], source: str | None, missing: Sequence[int], ignore: bool
) -> None:
    """Refuse ids that are in no document; also with `ignore`, those that are in one but for white space around them."""
    stripped = {position: text for position in missing if (text := ids[position].strip()) != ids[position] and text}
    if stripped:
        _, without = _matches(corpus, list(dict.fromkeys(stripped.values())), source)
        if near := [position for position, text in stripped.items() if text in without]:
            raise UserError(
                f"{len(near)} of {len(ids)} ids are in no document of {corpus.folder} as given, but without the white "
                f"space around them (in the order given: {_places(near)}); give them without"
            )
    if missing and not ignore:
        raise UserError(
            f"{len(missing)} of {len(ids)} ids are in no document of {corpus.folder} (in the order given: "
            f"{_places(missing)}); check them, or remove the others with --ignore-missing"
        )


def _places(positions: Sequence[int]) -> str:
    return ", ".join(str(position + 1) for position in positions[:_SHOWN]) + (", ..." if positions[_SHOWN:] else "")


def _rewrite(corpus: Corpus, keep: Mapping[str, Keep], mark: Mark, change: Change) -> Change:
    """Write the shards that change, verify them, and save the manifest that names them; the change with its hash."""
    folder, before = corpus.folder, corpus.manifest
    opens = _opens_word(corpus.vocabulary)
    written: list[Path] = []
    try:
        sources = {}
        for name, source in before.sources.items():
            splits = {}
            for split, value in source.splits.items():
                splits[split] = _without(corpus, value, keep, opens, len(before.removals) + 1, written)
            splits = {split: value for split, value in splits.items() if value.documents}
            if splits:
                sources[name] = dataclasses.replace(source, splits=splits)
        if not sources:
            raise UserError(f"these are all the documents of {folder}; remove the folder itself")
        for parent in {path.parent for path in written}:
            files.fsync_path(parent)
        removal = Removal(datetime.datetime.now(datetime.UTC).date().isoformat(), change.documents)
        after = dataclasses.replace(before, sources=sources, removals=(*before.removals, removal))
        change = dataclasses.replace(change, hash=after.hash)
        mark.write(change)
        after.save(folder)
    except BaseException:
        if open_corpus(folder).manifest.hash == before.hash:
            for path in written:
                path.unlink(missing_ok=True)
            mark.clear()
        raise
    return change


def _without(
    corpus: Corpus, split: Split, keep: Mapping[str, Keep], opens: Keep, revision: int, written: list[Path]
) -> Split:
    """A split of a source with its changed shards written anew; adds their paths to `written`."""
    shards: list[ShardEntry] = []
    num_words = split.words
    for entry in split.shards:
        mask = keep.get(entry.path)
        if mask is None:
            shards.append(entry)
            continue
        shard = _intact(corpus, entry)
        removed = [shard.document(int(index)) for index in np.flatnonzero(~mask)]
        if corpus.vocabulary.shows_white_space:
            num_words -= sum(_num_words(ids, opens, corpus.vocabulary.is_lone_space) for ids in removed)
        else:
            num_words -= round(split.words * sum(map(len, removed)) / split.tokens)
        if mask.any():
            path = corpus.folder / re.sub(r"(?:-r\d+)?\.arrow$", f"-r{revision}.arrow", entry.path)
            written.append(path)
            shards.append(_write_kept(shard, mask, path, corpus.folder))
    return Split(
        documents=sum(shard.documents for shard in shards),
        words=max(0, num_words) if shards else 0,
        tokens=sum(shard.tokens for shard in shards),
        shards=tuple(shards),
    )


def _intact(corpus: Corpus, entry: ShardEntry) -> Shard:
    """An old shard, after its hash: a damaged one must not get a new hash that hides it."""
    if (corpus.folder / entry.path).is_symlink():
        raise UserError(f"shard {corpus.folder / entry.path} is a link, whose target would stay; put the file there")
    if files.sha256_file(corpus.folder / entry.path) != entry.sha256:
        raise RunError(f"shard {corpus.folder / entry.path} differs from {MANIFEST}; restore it, then call again")
    return corpus.open(entry)


def _write_kept(old: Shard, keep: Keep, path: Path, folder: Path) -> ShardEntry:
    """Write the documents that stay, read them again, and compare; the shard's entry of the manifest."""
    doc_ids = [doc_id for doc_id, stays in zip(old.doc_ids, keep, strict=True) if stays]
    documents = [old.document(int(index)) for index in np.flatnonzero(keep)]
    write_shard(path, doc_ids, documents, old.input_ids.dtype)
    new = open_shard(path)
    tokens = old.input_ids[np.repeat(keep, np.diff(old.offsets))]
    if new.doc_ids != doc_ids or not np.array_equal(new.input_ids, tokens):
        raise RunError(f"shard {path} was not written as it should be; check the disk, then call again")
    name = path.relative_to(folder).as_posix()
    return ShardEntry(name, len(new), len(new.input_ids), path.stat().st_size, files.sha256_file(path))


def _finish(folder: Path, ids: Sequence[str], source: str | None, changed: bool) -> None:
    """Remove the old shards, the tables of windows and what stands beside, then look for the ids in what is left."""
    corpus = open_corpus(folder)
    try:
        leftovers.remove_beside(folder)
        if changed:
            leftovers.remove_unnamed(corpus)
            leftovers.remove_windows(folder)
    except OSError as error:
        raise RunError(
            f"{folder} is rewritten, but {error.filename} could not be removed ({error.strerror}) and still holds "
            "documents; make it removable and give the same command again"
        ) from error
    if changed and (source is None or source in corpus.manifest.sources):
        keep, _ = _search(corpus, ids, source)
        if keep:
            raise RunError(f"{len(keep)} shards of {folder} still hold documents to forget; please report it")


def _opens_word(vocabulary: Vocabulary) -> Keep:
    """[V]: pieces that open a word; not `<unk>`, which may stand inside one."""
    return vocabulary.opens_word & ~vocabulary.is_special


def _num_words(ids: Ids, opens: Keep, is_lone_space: Keep) -> int:
    """Words of a document: its first piece, and those that begin with white space, which alone goes with the next."""
    starts = opens[ids[1:]] & ~is_lone_space[ids[:-1]]
    return min(1, len(ids)) + int(np.count_nonzero(starts))
