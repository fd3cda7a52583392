"""The next phases: each block's documents as they stay, and their tokens."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from camembert_bio.corpus.clean import num_words
from camembert_bio.corpus.dedup import split_of
from camembert_bio.corpus.layout import KEPT_TEXTS, READ, TOKENS, Layout, layout_of
from camembert_bio.corpus.partitions import I64
from camembert_bio.corpus.report import length_counts
from camembert_bio.corpus.selection import KEPT, dropped_sentences, fates
from camembert_bio.corpus.sentences import without
from camembert_bio.corpus.tokenize import Tokenizer, load_tokenizer, tokenizer_fingerprint
from camembert_bio.corpus.work import Block, Job, read_arrays, read_table, write_arrays, write_counts, write_table
from camembert_bio.corpus.workers import STOP
from camembert_bio.shards.manifest import VALIDATION

NOTHING_NEW = "nothing new"
"""Documents of which nothing stays once sentences seen before are gone."""


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    """A folder's tokenizer, loaded once while its files have this fingerprint."""
    return load_tokenizer(folder)


_NUMBER = np.uint64(0xFFFFFFFF)  # of a position: the sentence's number in its block


def _is_done(job: Job, phase: str, block: Block) -> bool:
    return job.path(phase, block, ".json").is_file()


def keep(job: Job, group: int) -> None:
    """Write what stays of a group's blocks: texts without the sentences that go, and each one's side of the split."""
    layout = layout_of(job)
    missing = [block for block in layout.members(group) if not _is_done(job, KEPT_TEXTS, layout.blocks[block])]
    if not missing:
        return
    with_sentences = job.recipe.deduplicate.sentences is not None
    dropped = dropped_sentences(job, group) if with_sentences else np.empty(0, np.uint64)
    for block in missing:
        begin, end = np.searchsorted(dropped, np.array([block, block + 1], np.uint64) << np.uint64(32))
        _keep(job, layout, block, (dropped[begin:end] & _NUMBER).astype(np.int64))
        if (job.folder / STOP).exists():
            return


def _keep(job: Job, layout: Layout, number: int, dropped: I64) -> None:
    """Write what stays of one block, of which these sentences go."""
    block = layout.blocks[number]
    began = time.process_time()
    arrays = read_arrays(job.path(READ, block, ".npz"))
    decided = fates(job, slice(*layout.offsets[number : number + 2]))
    table = read_table(job.path(READ, block, ".arrow"))
    sentence_offsets = arrays.get("sentence_offsets", np.zeros(len(decided) + 1, np.int64))
    bounds = np.searchsorted(dropped, sentence_offsets)
    keys = [key.tobytes() for key in arrays["keys"].astype(">u8")]
    counts: Counter[str] = Counter()
    texts: dict[int, str] = {}
    for row in np.flatnonzero(decided == KEPT).tolist():
        gone = dropped[bounds[row] : bounds[row + 1]] - sentence_offsets[row]
        # However short: of its sentences this is the occurrence that stays.
        if text := _left_of(table["text"][row].as_py(), gone, counts):
            texts[row] = text
    rows = list(texts)
    splits = [split_of(keys[row], job.recipe.validation_fraction) for row in rows]
    taken = table.take(pa.array(rows, pa.int64()))
    words = [num_words(text) for text in texts.values()]
    columns = {
        "id": taken["id"].combine_chunks(),
        "text": pa.array(list(texts.values()), pa.large_string()),
        "key": pa.array([keys[row] for row in rows], pa.binary(16)),
        "split": pa.array(splits, pa.string()),
        "words": pa.array(words, pa.int64()),
    }
    write_table(job.path(KEPT_TEXTS, block, ".arrow"), columns)
    write_counts(
        job.path(KEPT_TEXTS, block, ".json"),
        {
            "fates": np.bincount(decided, minlength=4).tolist(),
            "sentences": counts["sentences"],
            "words_left_out": counts["words"],
            "nothing_new": counts[NOTHING_NEW],
            "documents": Counter(splits),
            "licences": Counter(taken["licence"].to_pylist()),
            "words": sum(words),
            "characters": sum(map(len, texts.values())),
            "seconds": {"rebuild": time.process_time() - began},
        },
    )


def _left_of(text: str, gone: I64, counts: Counter[str]) -> str:
    """A text without these sentences; may be empty. Adds to the counts what went."""
    if not len(gone):
        return text
    left = without(text, set(gone.tolist()))
    counts["sentences"] += len(gone)
    counts["words"] += num_words(text) - num_words(left)
    counts[NOTHING_NEW] += not left
    return left


def tokenise(job: Job, tokenizer_folder: Path, group: int, num_threads: int) -> None:
    """Write the tokens of a group's blocks."""
    layout = layout_of(job)
    for block in layout.members(group):
        if not _is_done(job, TOKENS, layout.blocks[block]):
            _tokenise(job, tokenizer_folder, layout.blocks[block], num_threads)
        if (job.folder / STOP).exists():
            return


def _tokenise(job: Job, tokenizer_folder: Path, block: Block, num_threads: int) -> None:
    """Write the tokens of one block's documents."""
    began = time.process_time()
    tokenizer = _tokenizer(tokenizer_folder, tokenizer_fingerprint(tokenizer_folder) or "")
    table = read_table(job.path(KEPT_TEXTS, block, ".arrow"))
    encoded = tokenizer.encode(table["text"].to_pylist(), num_threads)
    flat: npt.NDArray[np.unsignedinteger] = np.concatenate(encoded) if encoded else np.empty(0, np.uint16)
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    ids = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat))
    write_table(job.path(TOKENS, block, ".arrow"), {"id": table["id"].combine_chunks(), "input_ids": ids})
    write_arrays(
        job.path(TOKENS, block, ".npz"),
        lengths=np.diff(offsets),
        words=table["words"].to_numpy(),
        held_out=np.array([split == VALIDATION for split in table["split"].to_pylist()], bool),
    )
    by_id = np.bincount(flat, minlength=len(tokenizer.vocabulary))
    counts = {
        "tokens": len(flat),
        "unknown": int(by_id[tokenizer.vocabulary.unk_id]),
        "single": int(by_id[tokenizer.vocabulary.is_single].sum()),
        "lengths": length_counts(np.diff(offsets)),
        "seconds": {"tokenise": time.process_time() - began},
    }
    write_counts(job.path(TOKENS, block, ".json"), counts)
