"""`prepare`: sources to a corpus folder, by any number of workers, in bounded memory.

    read, clean, hash → gather hashes → select documents, boilerplate, sentences → keep → tokenise → shards

Each phase is a set of tasks that write files into a work folder (`corpus.work`): who runs them changes nothing, and
a build that was stopped goes on where it was. The result is a pure function of the inputs and the recipe, and the
corpus folder appears whole or not at all.

Memory of a worker: a block of texts with its hashes, or those of a group of blocks, or a bucket of hashes, or a shard.
Of the coordinator: for all documents one byte each, and the sentences that a tokenizer is trained on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camembert_bio import config, files
from camembert_bio.corpus import finishing, gathering, report, sharding, workers
from camembert_bio.corpus.decontaminate import Index, load
from camembert_bio.corpus.existing import check_output, configuration, existing, paths
from camembert_bio.corpus.inputs import Input, Inputs, list_inputs, refuse_changes
from camembert_bio.corpus.layout import KEPT_TEXTS, READ, TOKENS, lay_out, layout_of
from camembert_bio.corpus.reading import cleaner_of, forget_caches, read_lane
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.corpus.report import Clock
from camembert_bio.corpus.sample import SentenceSample, TextSample
from camembert_bio.corpus.selection import (
    drop_sentences,
    found_ngrams,
    frequencies,
    learn_boilerplate,
    select,
    selected,
)
from camembert_bio.corpus.tallies import check, check_readable, quarantine, tallies
from camembert_bio.corpus.tokenize import Tokenizer, agree_with_transformers, load_tokenizer
from camembert_bio.corpus.unigram import train_tokenizer
from camembert_bio.corpus.work import Job, read_table, remove_work_folder, work_folder
from camembert_bio.corpus.workers import Workers
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards import manifest
from camembert_bio.shards.format import dtype_for
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VALIDATION, VOCABULARY, Manifest, open_corpus
from camembert_bio.shards.vocabulary import tokenizer_file

logger = logging.getLogger(__name__)

QUARANTINE = "quarantine.jsonl"
_BYTES_A_WORKER = 16 << 20
"""Input bytes below which a second process costs more than it saves."""
_PROBED = 256
_PROBED_BLOCKS, _SAMPLED_BLOCKS = 64, 1024
"""The coordinator reads so many blocks, evenly spread, to compare tokenizers, and to train one (4 GB of text)."""
_EARLY_TEXTS = (
    "Élévation de l'ALAT à 5,3 fois la normale ; TA : 120/80 mmHg.",
    "L'IRM retrouve un Œdème péri-lésionnel (segment VI), sans Fièvre.",
    "Mme D., 67 ans, reçoit 2×500 mg d'Amoxicilline à J3 : évolution favorable !",
    "Bêta-bloquants et Corticoïdes sont arrêtés dès l'Hôpital.",
)
"""With capitals, accents, digits and signs: what tokenizers are set to treat in different ways."""


def prepare(recipe: Prepare, ranks: Any = None) -> Manifest:
    """Build the corpus of a recipe at `recipe.output`, or verify it when it is there already.

    `ranks` is what `workers.pool` gives: the ranks of MPI that do the work, or None for processes of this machine.
    Raises `UserError` for what the user can mend (sources, tokenizer, output), `RunError` when the disk fails, a
    worker is killed, or the tokenizer differs from transformers'. Then the output is as it was, and what was
    finished stays in the work folder beside it, for the same request to go on from.
    """
    check_output(recipe)
    files.remove_stale(recipe.output)
    inputs = list_inputs(recipe)
    build = configuration(recipe, inputs)
    if done := existing(recipe.output, build):
        remove_work_folder(recipe)
        logger.info("%s is already built, every file verified: corpus %s", recipe.output, done.hash[:12])
        return done
    forget_caches()
    cleaner_of(recipe.clean)
    given = _given(recipe.tokenizer.path) if recipe.tokenizer.path else None
    num = _num_workers(recipe, inputs)
    with (
        _disk_failures(recipe),
        work_folder(recipe, build, inputs.stamp) as job,
        workers.workers(num, ranks, job.folder) as crew,
    ):
        _build(job, build, inputs, given, crew)
    return open_corpus(recipe.output).manifest


def _build(job: Job, build: dict[str, Any], inputs: Inputs, given: Tokenizer | None, crew: Workers) -> None:
    """Every phase, from the sources to the corpus folder."""
    clock = Clock(crew)
    found = _texts(job, inputs, crew)
    check(job.recipe, tallies(job, tokenised=False))
    clock.lap("select")
    tokenizer = given or _trained(job, clock)
    tokenizer.save(job.folder / TOKENIZER)
    threads = 1 if crew.num > 1 else workers.num_cores()
    groups = range(layout_of(job).num_groups)
    crew.run("tokenising", finishing.tokenise, [(job, job.folder / TOKENIZER, group, threads) for group in groups])
    with files.atomic_folder(job.recipe.output) as folder:
        _assemble(job, build, tokenizer, crew, clock, found, folder)


def _texts(job: Job, inputs: Inputs, crew: Workers) -> dict[str, Any]:
    """Every phase up to the texts that stay; what the report says of all sources."""
    recipe = job.recipe
    _read(job, inputs, crew)
    check_readable(job)
    layout = lay_out(job)
    groups = [(job, group) for group in range(layout.num_groups)]
    crew.run("gathering", gathering.gather, groups)
    select(job, crew)
    learn_boilerplate(job, crew)
    found: dict[str, Any] = {}
    if recipe.deduplicate.exact:
        found["distinct_documents_by_occurrences"] = selected(job)["occurrences"]
    if recipe.deduplicate.sentences is not None:
        calls = [(job, bucket) for bucket in range(layout.num_buckets)]
        counts = frequencies(crew.run("sentences", drop_sentences, calls))
        found["distinct_sentences_by_occurrences"] = dict(sorted(counts.items(), key=lambda item: int(item[0])))
    if recipe.decontaminate is not None:
        index = Index(load(recipe.decontaminate.tasks), recipe.decontaminate.n)
        overlaps = index.report(found_ngrams(job))
        refuse_changes(inputs.tasks)
        found["evaluation_sets"] = {name: vars(overlap) for name, overlap in overlaps.items()}
    crew.run("keeping", finishing.keep, groups)
    return found


def _read(job: Job, inputs: Inputs, crew: Workers) -> None:
    """Read every source, in the files that were hashed and as they were then; later on they may change."""
    try:
        crew.run("reading", read_lane, list(_lanes(job, inputs.sources, crew.num)))
    except UserError:
        refuse_changes((*inputs.sources, *inputs.tasks))  # what happened to them explains more
        raise
    refuse_changes((*inputs.sources, *inputs.tasks))


def _lanes(job: Job, sources: Sequence[Input], num_workers: int) -> Iterator[tuple[Any, ...]]:
    """Who reads what: of each source a worker a part, or where parts are fewer than workers a share of its blocks."""
    for number, source in enumerate(sources):
        parts = source.parts()
        num_lanes = -(-num_workers // len(parts))
        for part, names in enumerate(parts):
            yield from ((job, number, part, names, lane, num_lanes) for lane in range(num_lanes))


def _num_workers(recipe: Prepare, inputs: Inputs) -> int:
    size = sum(source.num_bytes for source in inputs.sources)
    return recipe.num_workers or max(1, min(workers.num_cores(), size // _BYTES_A_WORKER))


def _given(folder: Path) -> Tokenizer:
    """The tokenizer of a folder; what would end a build of hours is refused before it begins."""
    tokenizer = load_tokenizer(folder)
    # Of CamemBERT's own every file that transformers reads is written by `save`.
    if tokenizer.vocabulary.kind != "sentencepiece":
        agree_with_transformers(folder, tokenizer, _EARLY_TEXTS)
    return tokenizer


def _trained(job: Job, clock: Clock) -> Tokenizer:
    """A tokenizer trained on the sentences of the training split, or the one that an earlier try trained."""
    if (job.folder / TOKENIZER / "config.json").is_file():
        return load_tokenizer(job.folder / TOKENIZER)
    options = job.recipe.tokenizer.train
    assert options is not None, "a recipe gives a path or asks for training"
    sample = SentenceSample(options.sample_bytes, options.seed)
    for block in layout_of(job).spread(_SAMPLED_BLOCKS):
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
    crew: Workers,
    clock: Clock,
    found: dict[str, Any],
    folder: Path,
) -> None:
    """Every file of the corpus folder."""
    recipe = job.recipe
    clock.lap(None)
    tokenizer.save(folder / TOKENIZER)
    tokenizer.vocabulary.save(folder / VOCABULARY)
    agreement = agree_with_transformers(folder / TOKENIZER, tokenizer, _probe(job))
    clock.lap("compare with transformers")
    written = _shards(job, len(tokenizer.vocabulary), crew, folder)
    clock.lap("write")
    _report(job, written, tokenizer, crew, clock, {**found, "tokenizer": agreement}, folder)
    Manifest(
        format=manifest.FORMAT,
        tokenizer_kind=tokenizer.vocabulary.kind,
        tokenizer_sha256=files.sha256_file(folder / TOKENIZER / tokenizer_file(tokenizer.vocabulary.kind)),
        vocabulary_sha256=files.sha256_file(folder / VOCABULARY),
        vocab_size=len(tokenizer.vocabulary),
        build=build,
        sources={
            source.name: manifest.Source(source.licence, sharding.splits(number, written), source.weight)
            for number, source in enumerate(recipe.sources)
        },
        paths=paths(recipe),
        tokenizer_files=manifest.hash_tokenizer_files(folder),
    ).save(folder)


def _report(
    job: Job,
    written: list[sharding.Written],
    tokenizer: Tokenizer,
    crew: Workers,
    clock: Clock,
    found: dict[str, Any],
    folder: Path,
) -> None:
    """Write the reports, and which documents are in quarantine."""
    _write_quarantine(job, folder / QUARANTINE)
    given, vocabulary = job.recipe.tokenizer.path, tokenizer.vocabulary
    origin = str(given) if given else "trained on this corpus"
    about = {"kind": vocabulary.kind, "vocab_size": len(vocabulary), "origin": origin, **found["tokenizer"]}
    counted = tallies(job)
    for one in written:
        if one.cut.split == TRAIN:
            counted[job.recipe.sources[one.cut.source].name].fill(one.num_windows, one.num_positions)
    _add_worker_seconds(job, crew, clock)
    report.write(folder, counted, clock, {**found, "tokenizer": about})


def _write_quarantine(job: Job, path: Path) -> None:
    """One JSON line for each document in quarantine; no file without any."""
    with open(path, "w", encoding="utf-8") as file:
        for line in quarantine(job):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    if not path.stat().st_size:
        path.unlink()


def _add_worker_seconds(job: Job, crew: Workers, clock: Clock) -> None:
    """Give the clock what tasks noted of their parts, and of the other phases what they took as a whole."""
    for phase in (READ, KEPT_TEXTS, TOKENS):
        for block in layout_of(job).blocks:
            for stage, seconds in config.read_json(job.path(phase, block, ".json"))["seconds"].items():
                clock.add(stage, seconds)
    for stage in ("gathering", "duplicates", "near-duplicates", "boilerplate", "sentences", "writing"):
        clock.add(stage, crew.cpu_s[stage])


def _shards(job: Job, vocab_size: int, crew: Workers, folder: Path) -> list[sharding.Written]:
    """Write the shards, in the corpus' order."""
    dtype = dtype_for(vocab_size)
    for source in job.recipe.sources:
        (folder / source.name).mkdir()
    planned = [
        cut
        for number in range(len(job.recipe.sources))
        for split in (TRAIN, VALIDATION)
        for cut in sharding.cuts(job, number, split, dtype)
    ]
    return crew.run("writing", sharding.write, [(job, folder, dtype, cut) for cut in planned])


def _probe(job: Job) -> list[str]:
    """The beginnings of the texts with the smallest digests: what tokenizers are compared on."""
    sample = TextSample(_PROBED)
    for block in layout_of(job).spread(_PROBED_BLOCKS):
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
