"""The third phase: which documents and sentences stay, decided over the whole corpus from hashes alone.

    documents: copies → contaminated → near-duplicates;  sentences of those that stay: boilerplate → repeated

Each decision is made bucket by bucket, so that a worker's memory depends on the bucket and not on the corpus: 90 bytes
a document and 100 a sentence of one bucket. The coordinator keeps for all documents one byte each, and the pairs of
near-duplicates (about 1.2 KB a document that has one, at the peak).
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camembert_bio import config
from camembert_bio.corpus import boilerplate, near
from camembert_bio.corpus.decontaminate import union
from camembert_bio.corpus.documents import read
from camembert_bio.corpus.gathering import Signatures, bucket_rows, group_file
from camembert_bio.corpus.layout import COPIES, READ, SENTENCES, layout_of
from camembert_bio.corpus.partitions import I64, U64, read_bucket, write_partition, write_rows
from camembert_bio.corpus.sentences import Occurrences
from camembert_bio.corpus.work import Job, read_arrays, readable, write_arrays, write_bytes, write_counts
from camembert_bio.corpus.workers import Workers

KEPT, DUPLICATE, CONTAMINATED, NEAR = range(4)
"""Why a document goes, in the order in which it is asked."""

Fates = npt.NDArray[np.uint8]

_BEFORE_NEAR, _FINAL = "before-near", "final"


def select(job: Job, workers: Workers) -> None:
    """Decide the fate of every document, for `fates` to read; what is counted on the way is for `selected`.

    Raises `UserError` when a source gives an id twice.
    """
    layout = layout_of(job)
    options, against = job.recipe.deduplicate, job.recipe.decontaminate
    decided = np.zeros(layout.num_documents, np.uint8)
    buckets = [(job, bucket) for bucket in range(layout.num_buckets)]
    none = [0] * len(job.recipe.sources)
    counted: dict[str, Any] = {"copies_of_earlier_sources": none, "near_of_earlier_sources": none}
    if sum(workers.run("duplicates", find_copies, buckets)):
        _refuse_repeated_ids(job)
    if options.exact:
        counted |= _mark_copies(job, decided)
    if against is not None and against.remove:
        first = layout.first_documents()
        for group in range(layout.num_groups):
            contained = read_arrays(group_file(job, group, "hits"), "contained")["contained"]
            _mark(decided, first[group] + np.flatnonzero(contained >= against.threshold), CONTAMINATED)
    if options.near is not None:
        _save(job, _BEFORE_NEAR, decided)
        documents, stay = near.drop(near.merged(workers.run("near-duplicates", similar_pairs, buckets)))
        _mark(decided, documents, NEAR)
        counted["near_of_earlier_sources"] = _across(job, documents, stay).tolist()
    _save(job, _FINAL, decided)
    write_counts(_selected(job), counted)


def selected(job: Job) -> dict[str, Any]:
    """What `select` counted, by name.

    For each source, `copies_of_earlier_sources` and `near_of_earlier_sources`: of its documents that went, those for
    which one of an earlier source stays. With `deduplicate.exact`, `occurrences`: how many distinct documents there
    are once, twice, ...
    """
    return config.read_json(_selected(job))


def _mark_copies(job: Job, decided: Fates) -> dict[str, Any]:
    """Mark the documents whose text an earlier one has; what `selected` says of them."""
    occurrences: Counter[int] = Counter()
    across = np.zeros(len(job.recipe.sources), np.int64)
    for bucket in range(layout_of(job).num_buckets):
        found = read_arrays(_copies(job, bucket))
        _mark(decided, found["documents"], DUPLICATE)
        occurrences.update(dict(found["occurrences"].tolist()))
        across += found["across"]
    return {"occurrences": dict(sorted(occurrences.items())), "copies_of_earlier_sources": across.tolist()}


def fates(job: Job, documents: npt.NDArray[np.integer] | slice, stage: str = _FINAL) -> Fates:
    """The fates of some documents, [N], without reading those of the others."""
    num_documents = layout_of(job).num_documents
    if not num_documents:
        return np.empty(0, np.uint8)
    with readable(_fates(job, stage)):
        return np.array(np.memmap(_fates(job, stage), np.uint8, "r", shape=(num_documents,))[documents])


def find_copies(job: Job, bucket: int) -> int:
    """Write the documents of one bucket of digests whose text an earlier one has; how many ids occur again."""
    ids = bucket_rows(job, "ids", bucket)
    num_repeated = len(ids) - len(np.unique(ids))
    if job.recipe.deduplicate.exact and not _copies(job, bucket).is_file():
        rows = bucket_rows(job, "keys", bucket)
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        is_copy = np.zeros(len(rows), bool)
        is_copy[1:] = np.all(rows[1:, :2] == rows[:-1, :2], axis=1)
        starts = np.flatnonzero(~is_copy)
        sizes = np.diff(starts, append=len(rows))
        documents = rows[:, 2].astype(np.int64)
        write_arrays(
            _copies(job, bucket),
            documents=documents[is_copy],
            occurrences=np.column_stack(np.unique(sizes, return_counts=True)),
            across=_across(job, documents[is_copy], np.repeat(documents[starts], sizes)[is_copy]),
        )
    return num_repeated


def similar_pairs(job: Job, bucket: int) -> near.Pairs:
    """The pairs of similar documents that one bucket of bands finds, of those that stay so far."""
    threshold = job.recipe.deduplicate.near
    assert threshold is not None
    rows = bucket_rows(job, "bands", bucket)
    documents = rows[:, 1].astype(np.int64)
    stays = fates(job, documents, _BEFORE_NEAR) == KEPT
    pairs = near.candidates(rows[stays, 0], documents[stays])
    return near.similar(pairs, Signatures(job), threshold)


def learn_boilerplate(job: Job, workers: Workers) -> None:
    """Learn the boilerplate of every source from the documents that stay, for `learnt` to read."""
    share = job.recipe.clean.boilerplate
    if share is None:
        return
    layout = layout_of(job)
    bounds = layout.source_bounds(len(job.recipe.sources)).tolist()
    num_documents = np.array([np.count_nonzero(fates(job, slice(*pair)) == KEPT) for pair in pairwise(bounds)])
    workers.run("boilerplate", count_boilerplate, [(job, group) for group in range(layout.num_groups)])
    calls = [(job, bucket, num_documents, share) for bucket in range(layout.num_buckets)]
    rows = np.concatenate(workers.run("boilerplate", frequent_sentences, calls))
    write_arrays(_learnt(job), rows=rows[np.lexsort((rows[:, 0], rows[:, 1]))])


def count_boilerplate(job: Job, group: int) -> None:
    """Write in how many documents that stay each sentence of a group stands, except when that is there."""
    path = group_file(job, group, "boilerplate")
    if path.is_file():
        return
    layout = layout_of(job)
    parts = []
    for number in layout.members(group):
        block = layout.blocks[number]
        arrays = read_arrays(job.path(READ, block, ".npz"), "all_sentences", "sentence_offsets")
        lengths = np.diff(arrays["sentence_offsets"])
        stays = np.repeat(fates(job, slice(*layout.offsets[number : number + 2])) == KEPT, lengths)
        documents = np.repeat(np.arange(len(lengths)), lengths)
        hashes, counts = boilerplate.count(arrays["all_sentences"][stays], documents[stays])
        parts.append(np.column_stack([hashes, np.full(len(hashes), block.source, np.uint64), counts.astype(np.uint64)]))
    write_partition(path, boilerplate.total(np.concatenate(parts)), layout.num_buckets)


def frequent_sentences(job: Job, bucket: int, num_documents: I64, share: float) -> U64:
    """The boilerplate that one bucket holds: hash and source, [N, 2]; `num_documents` stay of each source."""
    return boilerplate.frequent(boilerplate.total(bucket_rows(job, "boilerplate", bucket)), num_documents, share)


def learnt(job: Job) -> list[U64]:
    """The hashes of the boilerplate of each source; none when it is not asked for."""
    sources = range(len(job.recipe.sources))
    if job.recipe.clean.boilerplate is None:
        return [np.empty(0, np.uint64) for _ in sources]
    rows: U64 = read_arrays(_learnt(job))["rows"]
    return [rows[rows[:, 1] == source, 0] for source in sources]


def drop_sentences(job: Job, bucket: int) -> dict[str, int]:
    """Write which sentences of one bucket go, in the documents that stay; how many sentences occur how often.

    Boilerplate of a source neither goes here nor counts: else it could be an earlier source that keeps a sentence, and
    nothing of it stay.
    """
    layout = layout_of(job)
    rows = bucket_rows(job, "sentences", bucket)
    rows = rows[fates(job, rows[:, 2].astype(np.int64)) == KEPT]
    rows = rows[~_is_boilerplate(job, rows)]
    assert job.recipe.deduplicate.sentences is not None
    found = Occurrences(job.recipe.deduplicate.sentences)
    dropped = found.beyond(rows[:, 0], rows[:, 1])
    first_blocks = np.arange(layout.num_groups + 1, dtype=np.uint64) * np.uint64(layout.group_size)
    bounds = np.searchsorted(dropped, first_blocks << np.uint64(32))
    write_rows(_sentences(job, bucket), dropped[:, None], bounds.astype(np.int64))
    return {str(times): count for times, count in found.frequencies.items()}


def dropped_sentences(job: Job, group: int) -> U64:
    """The positions of a group's sentences that go, over all buckets, ascending."""
    layout = layout_of(job)
    paths = (_sentences(job, bucket) for bucket in range(layout.num_buckets))
    return np.sort(read_bucket(paths, group, layout.num_groups, 1).ravel())


def found_ngrams(job: Job) -> U64:
    """The n-grams of evaluation sets that stand in the corpus as it was read."""
    groups = range(layout_of(job).num_groups)
    return union(read_arrays(group_file(job, group, "hits"), "hits")["hits"] for group in groups)


def frequencies(counts: list[dict[str, int]]) -> Counter[str]:
    """The counts of several buckets together."""
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return total


def _is_boilerplate(job: Job, rows: U64) -> npt.NDArray[np.bool_]:
    """Which rows of sentences, of at least `sentence_min_words` words, are boilerplate of their source."""
    sources = _sources(job, rows[:, 2].astype(np.int64))
    mask = np.zeros(len(rows), bool)
    for source, hashes in enumerate(learnt(job)):
        if len(hashes):
            mine = np.flatnonzero(sources == source)
            mask[mine] = np.isin(rows[mine, 0], hashes)
    return mask


def _across(job: Job, documents: I64, stay: I64) -> I64:
    """Of each source's documents that go, how many have the one that stays for them in another, [num_sources]."""
    sources = _sources(job, documents)
    return np.bincount(sources[sources != _sources(job, stay)], minlength=len(job.recipe.sources))


def _sources(job: Job, documents: I64) -> I64:
    """The number of each document's source."""
    return np.searchsorted(layout_of(job).source_bounds(len(job.recipe.sources)), documents, side="right") - 1


def _refuse_repeated_ids(job: Job) -> None:
    """Raise `UserError` when a source gives an id twice: 64 bits of hash suspect it, reading again shows it."""
    for source in job.recipe.sources:
        for _ in read(source, rejected=lambda _: None):
            pass


def _mark(decided: Fates, documents: I64, fate: int) -> None:
    """Give documents a fate, those that have none yet."""
    decided[documents[decided[documents] == KEPT]] = fate


def _save(job: Job, stage: str, decided: Fates) -> None:
    # Not in place: other nodes may hold pages of the file.
    write_bytes(_fates(job, stage), [decided.data])


def _fates(job: Job, stage: str) -> Path:
    return job.folder / f"fates-{stage}"


def _learnt(job: Job) -> Path:
    return job.folder / "boilerplate.npz"


def _selected(job: Job) -> Path:
    return job.folder / "selected.json"


def _copies(job: Job, bucket: int) -> Path:
    return job.folder / COPIES / f"{bucket:05d}.npz"


def _sentences(job: Job, bucket: int) -> Path:
    return job.folder / SENTENCES / f"{bucket:05d}.rows"
