"""`prepare`: sources to a corpus folder, in one process and bounded memory.

    read → clean → deduplicate → tokenise → shards

A tokenizer that is trained on the corpus needs a first pass: read → clean → deduplicate → sample.
The result is a pure function of the inputs and the recipe. The folder appears whole or not at all.

Memory: three batches of texts (being read, waiting, being tokenised), one shard of each split and a copy
while it is written, the sentences to train on, and about 100 bytes a document to find equal ones.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from camembert_bio import files
from camembert_bio.corpus import report
from camembert_bio.corpus.existing import check_output, configuration, existing, paths
from camembert_bio.corpus.recipe import Prepare, Source
from camembert_bio.corpus.sample import SentenceSample, TextSample
from camembert_bio.corpus.texts import Pass, Text
from camembert_bio.corpus.tokenize import Tokenizer, agree_with_transformers, load_tokenizer, train_tokenizer
from camembert_bio.corpus.writer import ShardWriter
from camembert_bio.errors import RunError
from camembert_bio.shards import manifest
from camembert_bio.shards.format import Ids, dtype_for
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VALIDATION, VOCABULARY, Manifest, open_corpus
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

logger = logging.getLogger(__name__)

_BATCH_CHARACTERS = 2_000_000


def prepare(recipe: Prepare) -> Manifest:
    """Build the corpus of a recipe at `recipe.output`, or verify it when it is there already.

    Raises `UserError` for what the user can mend (sources, tokenizer, output), `RunError` when the disk fails,
    when the tokenizer differs from transformers', or on SIGTERM. In each case nothing half-written stays.
    What SIGKILL left of an earlier try is removed first, where `files.remove_stale` may.
    """
    files.remove_stale(recipe.output)
    check_output(recipe.output)
    build = configuration(recipe)
    if done := existing(recipe.output, build):
        logger.info("%s is already built, every file verified: corpus %s", recipe.output, done.hash[:12])
        return done
    clock = report.Clock()
    tokenizer = load_tokenizer(recipe.tokenizer.path) if recipe.tokenizer.path else _train(recipe, clock)
    with _whole_or_nothing(recipe.output) as folder:
        _build(recipe, build, tokenizer, clock, folder)
    return open_corpus(recipe.output).manifest


def _train(recipe: Prepare, clock: report.Clock) -> Tokenizer:
    """The first pass: a tokenizer trained on the sentences of the training split."""
    options = recipe.tokenizer.train
    assert options is not None, "a recipe gives a path or asks for training"
    sample = SentenceSample(options.sample_bytes, options.seed)
    with Pass(recipe, clock, "sampling sentences") as first:
        for source in recipe.sources:
            for text in first.texts(source):
                if text.split == TRAIN:
                    sample.add(text.text)
                clock.lap("sample")
        first.check()
    logger.info("training a tokenizer of %d ids", options.vocab_size)
    tokenizer = train_tokenizer(sample.sentences(), options)
    clock.lap("train tokenizer")
    return tokenizer


def _build(recipe: Prepare, build: dict[str, Any], tokenizer: Tokenizer, clock: report.Clock, folder: Path) -> None:
    """The second pass: every file of the corpus folder."""
    tokenizer.save(folder / TOKENIZER)
    tokenizer.vocabulary.save(folder / VOCABULARY)
    probe = TextSample()
    sources = {}
    with Pass(recipe, clock, "tokenising") as second:
        for source in recipe.sources:
            splits = _write_source(recipe, source, tokenizer, second, probe, folder)
            sources[source.name] = manifest.Source(source.licence, splits)
        second.check()
    agreement = agree_with_transformers(folder / TOKENIZER, tokenizer, probe.texts())
    clock.lap("compare with transformers")
    origin = str(recipe.tokenizer.path) if recipe.tokenizer.path else "trained on this corpus"
    about = {"vocab_size": len(tokenizer.vocabulary), "origin": origin, **agreement}
    report.write(folder, second.tallies, clock, about)
    Manifest(
        format=manifest.FORMAT,
        tokenizer_sha256=files.sha256_file(folder / TOKENIZER / SENTENCEPIECE_MODEL),
        vocabulary_sha256=files.sha256_file(folder / VOCABULARY),
        vocab_size=len(tokenizer.vocabulary),
        build=build,
        sources=sources,
        paths=paths(recipe),
    ).save(folder)


def _write_source(
    recipe: Prepare, source: Source, tokenizer: Tokenizer, texts: Pass, probe: TextSample, folder: Path
) -> dict[str, manifest.Split]:
    """Tokenise one source and write its shards; its splits by name, without those that hold no document."""
    dtype = dtype_for(len(tokenizer.vocabulary))
    writers = {
        split: ShardWriter(folder, f"{source.name}/{split}", dtype, recipe.shard_bytes) for split in (TRAIN, VALIDATION)
    }
    tally = texts.tallies[source.name]
    num_threads = recipe.num_threads or _num_cores()
    for batch, encoded in _encoded(tokenizer, _batches(texts.texts(source)), num_threads, texts.clock):
        for text, ids in zip(batch, encoded, strict=True):
            writers[text.split].add(text.id, ids, text.num_words)
            probe.add(text.key, text.text)
        tally.num_tokens += sum(map(len, encoded))
        tally.num_unknown += sum(int(np.count_nonzero(ids == tokenizer.vocabulary.unk_id)) for ids in encoded)
        texts.clock.lap("write")
    splits = {split: writer.close() for split, writer in writers.items()}
    texts.clock.lap("write")
    return {split: entry for split, entry in splits.items() if entry.documents}


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Lists of texts with about two million characters each."""
    batch: list[Text] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text.text)
        if num_characters >= _BATCH_CHARACTERS:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


def _encoded(
    tokenizer: Tokenizer, batches: Iterable[list[Text]], num_threads: int, clock: report.Clock
) -> Iterator[tuple[list[Text], list[Ids]]]:
    """Each batch with its ids, in order; one is tokenised (outside Python's lock) while the next is read."""

    def encode(batch: list[Text]) -> tuple[list[Ids], float]:
        start = time.perf_counter()
        return tokenizer.encode([text.text for text in batch], num_threads), time.perf_counter() - start

    def finish(batch: list[Text], future: Future[tuple[list[Ids], float]]) -> tuple[list[Text], list[Ids]]:
        ids, seconds = future.result()
        clock.add("tokenise", seconds)
        clock.lap(None)
        return batch, ids

    with ThreadPoolExecutor(max_workers=1) as worker:
        waiting = None
        for batch in batches:
            future = worker.submit(encode, batch)
            if waiting is not None:
                yield finish(*waiting)
            waiting = (batch, future)
        if waiting is not None:
            yield finish(*waiting)


@contextmanager
def _whole_or_nothing(output: Path) -> Iterator[Path]:
    """`files.atomic_folder` that also clears up when SIGTERM comes or the disk fails."""

    def stop(signal_number: int, frame: object) -> None:
        raise RunError(f"stopped by SIGTERM; {output} was not written, run prepare again")

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        with files.atomic_folder(output) as folder:
            yield folder
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(f"{output} was not written: {error.strerror}{where}; run prepare again") from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _num_cores() -> int:
    """The cores that this process may use (macOS does not say; there, those of the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
