"""The next phases: each block's documents as they stay, and their tokens."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from camembert_bio.corpus.boilerplate import marked
from camembert_bio.corpus.clean import num_words
from camembert_bio.corpus.dedup import split_of
from camembert_bio.corpus.layout import KEPT_TEXTS, READ, TOKENS, layout_of
from camembert_bio.corpus.partitions import I64, NEVER, U64
from camembert_bio.corpus.report import length_counts
from camembert_bio.corpus.selection import KEPT, dropped_sentences, fates, learnt
from camembert_bio.corpus.sentences import split, without
from camembert_bio.corpus.tokenize import Tokenizer, load_tokenizer, tokenizer_fingerprint
from camembert_bio.corpus.work import Block, Job, read_arrays, read_table, write_arrays, write_counts, write_table
from camembert_bio.corpus.workers import STOP
from camembert_bio.shards.manifest import VALIDATION

NOTHING_NEW, ONLY_BOILERPLATE = "nothing new", "only boilerplate"
"""Documents of which nothing stays once sentences seen before are gone; once boilerplate alone is."""


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
    boilerplate = learnt(job)
    for block in missing:
        begin, end = np.searchsorted(dropped, np.array([block, block + 1], np.uint64) << np.uint64(32))
        repeated = (dropped[begin:end] & _NUMBER).astype(np.int64)
        _keep(job, block, repeated, boilerplate[layout.blocks[block].source])
        if (job.folder / STOP).exists():
            return


def _keep(job: Job, number: int, repeated: I64, boilerplate: U64) -> None:
    """Write what stays of one block, of which these sentences go, and those whose hashes are boilerplate."""
    layout = layout_of(job)
    block = layout.blocks[number]
    began = time.process_time()
    decided = fates(job, slice(*layout.offsets[number : number + 2]))
    table = read_table(job.path(READ, block, ".arrow"))
    arrays = read_arrays(job.path(READ, block, ".npz"))
    gone: Counter[str] = Counter()
    texts = _texts(table, np.flatnonzero(decided == KEPT).tolist(), arrays, repeated, boilerplate, gone)
    keys = [key.tobytes() for key in arrays["keys"][list(texts)].astype(">u8")]
    splits = [split_of(key, job.recipe.validation_fraction) for key in keys]
    taken = table.take(pa.array(texts, pa.int64()))
    words = [num_words(text) for text in texts.values()]
    columns = {
        "id": taken["id"].combine_chunks(),
        "text": pa.array(list(texts.values()), pa.large_string()),
        "key": pa.array(keys, pa.binary(16)),
        "split": pa.array(splits, pa.string()),
        "words": pa.array(words, pa.int64()),
    }
    write_table(job.path(KEPT_TEXTS, block, ".arrow"), columns)
    counts = {
        "fates": np.bincount(decided, minlength=4).tolist(),
        "gone": gone,
        "documents": Counter(splits),
        "licences": Counter(taken["licence"].to_pylist()),
        "words": sum(words),
        "characters": sum(map(len, texts.values())),
        "seconds": {"rebuild": time.process_time() - began},
    }
    write_counts(job.path(KEPT_TEXTS, block, ".json"), counts)


def _texts(
    table: pa.Table, rows: list[int], arrays: dict[str, Any], repeated: I64, boilerplate: U64, gone: Counter[str]
) -> dict[int, str]:
    """What is left of a block's documents of these rows, by row, where something is; adds to `gone` what went."""
    offsets: I64 = arrays.get("sentence_offsets", np.zeros(table.num_rows + 1, np.int64))
    common = np.empty(0, np.int64)
    if len(boilerplate):
        is_short = arrays["sentences"] == NEVER
        common = np.flatnonzero(marked(arrays["all_sentences"], is_short, offsets, boilerplate))
    bounds = [(numbers, np.searchsorted(numbers, offsets)) for numbers in (common, repeated)]
    texts = {}
    for row in rows:
        text = table["text"][row].as_py()
        lost, seen = (numbers[places[row] : places[row + 1]] - offsets[row] for numbers, places in bounds)
        if len(lost) or len(seen):
            text = _left_of(text, lost, seen, gone)
        # However short: of its sentences this is the occurrence that stays.
        if text:
            texts[row] = text
    return texts


def _left_of(text: str, boilerplate: I64, repeated: I64, gone: Counter[str]) -> str:
    """A text without these sentences; may be empty. Adds to the counts what went."""
    sentences = split(text)
    left = without(sentences, {*boilerplate.tolist(), *repeated.tolist()})
    words = sum(num_words(sentences[number].strip()) for number in boilerplate.tolist())
    gone["boilerplate_documents"] += len(boilerplate) > 0
    gone["boilerplate_sentences"] += len(boilerplate)
    gone["boilerplate_words"] += words
    gone["sentences"] += len(repeated)
    gone["words"] += num_words(text) - num_words(left) - words
    if not left:
        gone[NOTHING_NEW if len(repeated) else ONLY_BOILERPLATE] += 1
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
