"""The first phase of a build: a source's blocks read, cleaned and hashed.

For each block, what the later phases decide from: the text's digest, the hashes of its sentences, its MinHash
signature and bands, its n-grams that evaluation sets hold. Memory: a block, its hashes, the evaluation n-grams.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from camembert_bio import config, files
from camembert_bio.corpus import decontaminate, near, ngrams, sentences
from camembert_bio.corpus.cleaner import Cleaner
from camembert_bio.corpus.decontaminate import Index
from camembert_bio.corpus.dedup import digest
from camembert_bio.corpus.documents import Document, Rejected, read_blocks
from camembert_bio.corpus.layout import READ
from camembert_bio.corpus.readers.record import shown_id
from camembert_bio.corpus.recipe import Decontaminate
from camembert_bio.corpus.sample import is_drawn
from camembert_bio.corpus.work import Block, Job, write_arrays, write_counts, write_table
from camembert_bio.corpus.workers import STOP

cleaner_of = functools.cache(Cleaner)
"""The cleaner of a recipe, made once in each process."""


@functools.cache
def _index(options: str) -> Index:
    """The index of a canonical JSON of `Decontaminate`."""
    against = config.build(Decontaminate, json.loads(options))
    return Index(decontaminate.load(against.tasks), against.n)


def forget_caches() -> None:
    """Make the next build of this process read hooks and evaluation sets again."""
    _index.cache_clear()
    cleaner_of.cache_clear()


def read_lane(job: Job, source: int, part: int, paths: list[Path], lane: int, num_lanes: int) -> None:
    """Read every `num_lanes`-th block of a source's part, these files, from `lane` on, except those that are done."""

    def wanted(number: int) -> bool:
        return number % num_lanes == lane and not job.path(READ, Block(source, part, number), ".json").is_file()

    rejected: list[Rejected] = []
    take = rejected.append if job.recipe.max_rejected else None
    began = time.process_time()
    for number, documents in read_blocks(job.recipe.sources[source], wanted, paths, rejected=take):
        seconds = Counter({"read": time.process_time() - began})
        block = Block(source, part, number)
        counts = _process(job, block, documents, seconds)
        counts["rejected"] = [asdict(bad) for bad in rejected]
        counts["num_read"] = len(documents) + len(rejected)
        counts["seconds"] = seconds
        write_counts(job.path(READ, block, ".json"), counts)
        rejected.clear()
        if (job.folder / STOP).exists():
            return
        began = time.process_time()


def _process(job: Job, block: Block, documents: list[Document], seconds: Counter[str]) -> dict[str, Any]:
    """Clean and hash one block and write its files; its counts."""
    clean = cleaner_of(job.recipe.clean)
    dropped: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    failed: list[dict[str, str | None]] = []
    changed: Counter[str] = Counter()
    kept, texts = [], []
    with _timed(seconds, "clean"):
        for document in documents:
            cleaned = clean(document.text)
            changed += cleaned.counts
            if cleaned.language is not None:
                languages[cleaned.language] += 1
            if cleaned.dropped:
                dropped[cleaned.dropped] += 1
                if cleaned.hook_failed:
                    failed.append({"id": shown_id(document.id), "where": None, "reason": cleaned.dropped})
            else:
                kept.append(document)
                texts.append(cleaned.text)
        ids = [xxhash.xxh3_64_intdigest(f"{block.source} {document.id}".encode()) for document in documents]
    with _timed(seconds, "deduplicate"):
        keys = [digest(text) for text in texts]
    if job.recipe.clean.languages is None:
        with _timed(seconds, "language"):
            drawn = (text for text, key in zip(texts, keys, strict=True) if is_drawn(key))
            languages.update(clean.language(text) for text in drawn)
    arrays = {"ids": np.array(ids, np.uint64), **_hashes(job, texts, seconds)}
    arrays["keys"] = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
    with _timed(seconds, "write"):
        _write(job, block, kept, texts, arrays)
    num_rows = {"documents": len(texts)} | {
        kind: arrays[kind].size if kind in arrays else 0 for kind in ("sentences", "bands")
    }
    counts = {"num_documents": len(texts), "num_rows": num_rows, "dropped": dropped, "changed": changed}
    return {**counts, "hook_failed": failed, "languages": languages}


def _write(job: Job, block: Block, kept: list[Document], texts: list[str], arrays: dict[str, Any]) -> None:
    """The files of one block: its documents with their cleaned texts, and their hashes."""
    write_table(
        job.path(READ, block, ".arrow"),
        {
            "id": pa.array([document.id for document in kept], pa.string()),
            "licence": pa.array([document.licence for document in kept], pa.string()),
            "text": pa.array(texts, pa.large_string()),
        },
    )
    write_arrays(job.path(READ, block, ".npz"), **arrays)


def _hashes(job: Job, texts: list[str], seconds: Counter[str]) -> dict[str, Any]:
    """The arrays of the stages that the recipe asks for, by name."""
    options, against = job.recipe.deduplicate, job.recipe.decontaminate
    arrays: dict[str, Any] = {}
    if job.recipe.clean.boilerplate is not None:
        with _timed(seconds, "sentences"):
            found = sentences.all_hashes(texts, options.sentence_min_words)
            arrays |= dict(zip(("all_sentences", "sentences", "sentence_offsets"), found, strict=True))
    elif options.sentences is not None:
        with _timed(seconds, "sentences"):
            arrays["sentences"], arrays["sentence_offsets"] = sentences.hashes(texts, options.sentence_min_words)
    if options.near is None and against is None:
        return arrays
    with _timed(seconds, "n-grams"):
        words = ngrams.words(texts)
    if options.near is not None:
        with _timed(seconds, "near-duplicates"):
            shingles = ngrams.ngrams(words, near.SHINGLE_WORDS)
            arrays["signatures"] = near.signatures(shingles)
            arrays["bands"] = near.bands(arrays["signatures"], shingles, near.rows_per_band(options.near))
    if against is not None:
        with _timed(seconds, "decontaminate"):
            index = _index(files.canonical_json(config.to_dict(against)))
            hits = index.hits(ngrams.ngrams(words, against.n))
            arrays |= {"contained": index.contained(hits), "hits": np.unique(hits.hashes)}
    return arrays


class _timed:  # noqa: N801 (reads as a statement)
    """CPU-seconds of the block, added to a stage."""

    def __init__(self, seconds: Counter[str], stage: str) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._stage] += time.process_time() - self._began  # type: ignore[assignment]
