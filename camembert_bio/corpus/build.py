"""`prepare`: sources to a corpus folder, by any number of workers, in bounded memory.

    read, clean, hash → select documents → select sentences → keep → tokenise → shards

Each phase is a set of tasks that write files into a work folder (`corpus.work`): who runs them changes nothing, and
a build that was stopped goes on where it was. The result is a pure function of the inputs and the recipe, and the
corpus folder appears whole or not at all.

Memory of a process: a block of texts with its hashes; a bucket of hashes; for all documents one byte each; the
sentences that a tokenizer is trained on; one shard of each split and a copy while it is written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camembert_bio import config, files
from camembert_bio.corpus import finishing, report, workers
from camembert_bio.corpus.decontaminate import Index, load
from camembert_bio.corpus.documents import input_bytes
from camembert_bio.corpus.existing import check_output, configuration, existing, paths
from camembert_bio.corpus.finishing import KEPT_TEXTS, TOKENS
from camembert_bio.corpus.reading import READ, cleaner_of, forget_caches, read_lane
from camembert_bio.corpus.recipe import Prepare, Source
from camembert_bio.corpus.report import Clock
from camembert_bio.corpus.sample import SentenceSample, TextSample
from camembert_bio.corpus.selection import Selection, drop_sentences, found_ngrams, frequencies, select
from camembert_bio.corpus.tallies import check, quarantined, tallies
from camembert_bio.corpus.tokenize import Tokenizer, agree_with_transformers, load_tokenizer, train_tokenizer
from camembert_bio.corpus.work import Job, blocks, read_table, remove_work_folder, work_folder
from camembert_bio.corpus.workers import Workers
from camembert_bio.corpus.writer import ShardWriter
from camembert_bio.errors import RunError
from camembert_bio.shards import manifest
from camembert_bio.shards.format import dtype_for
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VALIDATION, VOCABULARY, Manifest, open_corpus
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

logger = logging.getLogger(__name__)

QUARANTINE = "quarantine.jsonl"
_BYTES_A_WORKER = 16 << 20
"""Input bytes below which a second process costs more than it saves."""
_BYTES_A_BUCKET = 64 << 20
"""Input bytes, decompressed, whose hashes are decided on together: about a million sentences."""
_RATIO = 4
"""Of compressed inputs, assumed."""
_PROBED = 256


def prepare(recipe: Prepare) -> Manifest:
    """Build the corpus of a recipe at `recipe.output`, or verify it when it is there already.

    Raises `UserError` for what the user can mend (sources, tokenizer, output), `RunError` when the disk fails, a
    worker is killed, or the tokenizer differs from transformers'. Then the output is as it was, and what was
    finished stays in the work folder beside it, for the same request to go on from.
    """
    with workers.pool() as ranks:
        check_output(recipe.output)
        files.remove_stale(recipe.output)
        build = configuration(recipe)
        if done := existing(recipe.output, build):
            remove_work_folder(recipe)
            logger.info("%s is already built, every file verified: corpus %s", recipe.output, done.hash[:12])
            return done
        forget_caches()
        cleaner_of(recipe.clean)
        given = load_tokenizer(recipe.tokenizer.path) if recipe.tokenizer.path else None
        num = _num_workers(recipe)
        with (
            _disk_failures(recipe),
            work_folder(recipe, build) as job,
            workers.workers(num, ranks, job.folder) as crew,
        ):
            _build(job, build, given, crew)
        return open_corpus(recipe.output).manifest


def _build(job: Job, build: dict[str, Any], given: Tokenizer | None, crew: Workers) -> None:
    """Every phase, from the sources to the corpus folder."""
    clock = Clock()
    selection, found = _texts(job, crew)
    check(job.recipe, tallies(job, selection, tokenised=False))
    clock.lap("select")
    tokenizer = given or _trained(job, selection, clock)
    tokenizer.save(job.folder / TOKENIZER)
    threads = 1 if crew.num > 1 else workers.num_cores()
    calls = [(job, job.folder / TOKENIZER, selection, number, threads) for number in range(len(selection.blocks))]
    crew.run("tokenising", finishing.tokenise, calls)
    with files.atomic_folder(job.recipe.output) as folder:
        _assemble(job, build, tokenizer, selection, clock, found, folder)


def _texts(job: Job, crew: Workers) -> tuple[Selection, dict[str, Any]]:
    """Every phase up to the texts that stay; with them what the report says of all sources."""
    recipe = job.recipe
    sizes = [input_bytes(source) for source in recipe.sources]
    num_buckets = min(1 << 16, 1 + sum(sizes) * _RATIO // _BYTES_A_BUCKET)
    lanes = [(job, source, lane, crew.num, num_buckets) for source in range(len(sizes)) for lane in range(crew.num)]
    crew.run("reading", read_lane, lanes)
    done = blocks(job, READ)
    quarantined(job, done)
    selection = select(job, done, crew, num_buckets)
    found: dict[str, Any] = {}
    if recipe.deduplicate.sentences is not None:
        calls = [(job, selection, bucket) for bucket in range(num_buckets)]
        counts = frequencies(crew.run("sentences", drop_sentences, calls))
        found["distinct_sentences_by_occurrences"] = dict(sorted(counts.items(), key=lambda item: int(item[0])))
    if recipe.decontaminate is not None:
        index = Index(load(recipe.decontaminate.tasks), recipe.decontaminate.n)
        overlaps = index.report(found_ngrams(job, done))
        found["evaluation_sets"] = {name: vars(overlap) for name, overlap in overlaps.items()}
    crew.run("keeping", finishing.keep, [(job, selection, number) for number in range(len(done))])
    return selection, found


def _num_workers(recipe: Prepare) -> int:
    size = sum(input_bytes(source) for source in recipe.sources)
    return recipe.num_workers or max(1, min(workers.num_cores(), size // _BYTES_A_WORKER))


def _trained(job: Job, selection: Selection, clock: Clock) -> Tokenizer:
    """A tokenizer trained on the sentences of the training split, or the one that an earlier try trained."""
    if (job.folder / TOKENIZER / "config.json").is_file():
        return load_tokenizer(job.folder / TOKENIZER)
    options = job.recipe.tokenizer.train
    assert options is not None, "a recipe gives a path or asks for training"
    sample = SentenceSample(options.sample_bytes, options.seed)
    for block in selection.blocks:
        table = read_table(job.path(KEPT_TEXTS, block, ".arrow"))
        for text, split in zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True):
            if split == TRAIN:
                sample.add(text)
    clock.lap("sample")
    logger.info("training a tokenizer of %d ids", options.vocab_size)
    tokenizer = train_tokenizer(sample.sentences(), options)
    clock.lap("train tokenizer")
    return tokenizer


def _assemble(
    job: Job,
    build: dict[str, Any],
    tokenizer: Tokenizer,
    selection: Selection,
    clock: Clock,
    found: dict[str, Any],
    folder: Path,
) -> None:
    """Every file of the corpus folder."""
    recipe = job.recipe
    clock.lap(None)
    tokenizer.save(folder / TOKENIZER)
    tokenizer.vocabulary.save(folder / VOCABULARY)
    # Before the shards: transformers' libraries and a shard are the coordinator's two largest things.
    agreement = agree_with_transformers(folder / TOKENIZER, tokenizer, _probe(job, selection))
    clock.lap("compare with transformers")
    sources = {
        source.name: manifest.Source(source.licence, _shards(job, source, number, tokenizer, selection, folder))
        for number, source in enumerate(recipe.sources)
    }
    clock.lap("write")
    rejected = quarantined(job, list(selection.blocks))
    if rejected:
        lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in rejected)
        files.write_atomic(folder / QUARANTINE, "".join(lines))
    for phase in (READ, KEPT_TEXTS, TOKENS):
        for block in selection.blocks:
            for stage, seconds in config.read_json(job.path(phase, block, ".json"))["seconds"].items():
                clock.add(stage, seconds)
    origin = str(recipe.tokenizer.path) if recipe.tokenizer.path else "trained on this corpus"
    about = {"vocab_size": len(tokenizer.vocabulary), "origin": origin, **agreement}
    report.write(folder, tallies(job, selection), clock, about, found)
    Manifest(
        format=manifest.FORMAT,
        tokenizer_sha256=files.sha256_file(folder / TOKENIZER / SENTENCEPIECE_MODEL),
        vocabulary_sha256=files.sha256_file(folder / VOCABULARY),
        vocab_size=len(tokenizer.vocabulary),
        build=build,
        sources=sources,
        paths=paths(recipe),
    ).save(folder)


def _shards(
    job: Job, source: Source, number: int, tokenizer: Tokenizer, selection: Selection, folder: Path
) -> dict[str, manifest.Split]:
    """Write the shards of one source; its splits by name, without those that hold no document."""
    dtype = dtype_for(len(tokenizer.vocabulary))
    writers = {
        split: ShardWriter(folder, f"{source.name}/{split}", dtype, job.recipe.shard_bytes)
        for split in (TRAIN, VALIDATION)
    }
    for block in selection.blocks:
        if block.source == number:
            table = read_table(job.path(TOKENS, block, ".arrow"))
            column = table["input_ids"].combine_chunks()
            flat, offsets = column.values.to_numpy(), column.offsets.to_numpy()
            columns = (table[name].to_pylist() for name in ("id", "split", "words"))
            for row, (doc_id, split, words) in enumerate(zip(*columns, strict=True)):
                writers[split].add(doc_id, flat[offsets[row] : offsets[row + 1]], words)
    splits = {split: writer.close() for split, writer in writers.items()}
    return {split: entry for split, entry in splits.items() if entry.documents}


def _probe(job: Job, selection: Selection) -> list[str]:
    """The beginnings of the texts with the smallest digests: what tokenizers are compared on."""
    sample = TextSample(_PROBED)
    for block in selection.blocks:
        table = read_table(job.path(KEPT_TEXTS, block, ".arrow"))
        for row, key in enumerate(table["key"].to_pylist()):
            if sample.takes(key):
                sample.add(key, table["text"][row].as_py())
    return sample.texts()


@contextmanager
def _disk_failures(recipe: Prepare) -> Iterator[None]:
    """Failures of the disk as one message."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or type(error).__name__
        raise RunError(f"{recipe.output} was not written: {reason}{where}; the same command goes on") from error
