"""The last phases: each block's documents as they stay, and their tokens."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from camembert_bio import files
from camembert_bio.corpus.clean import num_words
from camembert_bio.corpus.dedup import split_of
from camembert_bio.corpus.reading import READ
from camembert_bio.corpus.report import length_counts, peak_memory_mb
from camembert_bio.corpus.selection import KEPT, Selection, dropped_sentences
from camembert_bio.corpus.sentences import without
from camembert_bio.corpus.tokenize import Tokenizer, load_tokenizer
from camembert_bio.corpus.work import Job, read_arrays, read_table, write_counts, write_table
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, SPACE, Mask

KEPT_TEXTS, TOKENS = "kept", "tokens"
NOTHING_NEW = "nothing new"
"""Documents of which nothing stays once sentences seen before are gone."""


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, sha256: str) -> tuple[Tokenizer, Mask]:
    """A folder's tokenizer, loaded once while its model has this hash, and its pieces of one character, [V]."""
    tokenizer = load_tokenizer(folder)
    single = np.array([len(piece.replace(SPACE, "")) == 1 for piece in tokenizer.vocabulary.pieces])
    return tokenizer, single & ~tokenizer.vocabulary.is_special


def keep(job: Job, selection: Selection, number: int) -> None:
    """Write what stays of one block: texts without the sentences that go, and the side on which each stands."""
    block = selection.blocks[number]
    if job.path(KEPT_TEXTS, block, ".json").is_file():
        return
    began = time.process_time()
    arrays = read_arrays(job.path(READ, block, ".npz"))
    fates = selection.of(number)
    table = read_table(job.path(READ, block, ".arrow"))
    dropped = dropped_sentences(job, number)
    sentence_offsets = (
        arrays["sentence_offsets"] if "sentence_offsets" in arrays else np.zeros(len(fates) + 1, np.int64)
    )
    bounds = np.searchsorted(dropped, sentence_offsets)
    keys = [key.tobytes() for key in arrays["keys"].astype(">u8")]
    rows, texts = [], []
    counts: Counter[str] = Counter()
    for row in np.flatnonzero(fates == KEPT).tolist():
        text = table["text"][row].as_py()
        gone = dropped[bounds[row] : bounds[row + 1]] - sentence_offsets[row]
        if len(gone):
            counts["sentences"] += len(gone)
            counts["words"] += num_words(text)
            text = without(text, set(gone.tolist()))
            # However short: of its sentences this is the occurrence that stays.
            if not text:
                counts[NOTHING_NEW] += 1
                continue
            counts["words"] -= num_words(text)
        rows.append(row)
        texts.append(text)
    splits = [split_of(keys[row], job.recipe.validation_fraction) for row in rows]
    taken = table.take(pa.array(rows, pa.int64()))
    words = [num_words(text) for text in texts]
    columns = {
        "id": taken["id"].combine_chunks(),
        "text": pa.array(texts, pa.large_string()),
        "key": pa.array([keys[row] for row in rows], pa.binary(16)),
        "split": pa.array(splits, pa.string()),
        "words": pa.array(words, pa.int64()),
    }
    write_table(job.path(KEPT_TEXTS, block, ".arrow"), columns)
    write_counts(
        job.path(KEPT_TEXTS, block, ".json"),
        {
            "fates": np.bincount(fates, minlength=4).tolist(),
            "sentences": counts["sentences"],
            "words_left_out": counts["words"],
            "nothing_new": counts[NOTHING_NEW],
            "documents": Counter(splits),
            "licences": Counter(taken["licence"].to_pylist()),
            "words": sum(words),
            "characters": sum(map(len, texts)),
            "seconds": {"rebuild": time.process_time() - began},
            "peak_memory_mb": peak_memory_mb(),
        },
    )


def tokenise(job: Job, tokenizer_folder: Path, selection: Selection, number: int, num_threads: int) -> None:
    """Write the tokens of one block's documents."""
    block = selection.blocks[number]
    if job.path(TOKENS, block, ".json").is_file():
        return
    began = time.process_time()
    tokenizer, single = _tokenizer(tokenizer_folder, files.sha256_file(tokenizer_folder / SENTENCEPIECE_MODEL))
    table = read_table(job.path(KEPT_TEXTS, block, ".arrow"))
    encoded = tokenizer.encode(table["text"].to_pylist(), num_threads)
    flat: npt.NDArray[np.unsignedinteger] = np.concatenate(encoded) if encoded else np.empty(0, np.uint16)
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    ids = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat))
    columns = {name: table[name].combine_chunks() for name in ("id", "split", "words")}
    write_table(job.path(TOKENS, block, ".arrow"), {**columns, "input_ids": ids})
    by_id = np.bincount(flat, minlength=len(tokenizer.vocabulary))
    counts = {
        "tokens": len(flat),
        "unknown": int(by_id[tokenizer.vocabulary.unk_id]),
        "single": int(by_id[single].sum()),
        "lengths": length_counts(np.diff(offsets)),
        "seconds": {"tokenise": time.process_time() - began},
        "peak_memory_mb": peak_memory_mb(),
    }
    write_counts(job.path(TOKENS, block, ".json"), counts)
