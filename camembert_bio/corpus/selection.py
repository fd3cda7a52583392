"""The second phase: which documents and sentences stay, decided over the whole corpus from hashes alone.

Each decision is made bucket by bucket, a bucket being a range of hashes, so that memory depends on the bucket and
not on the corpus: 90 bytes a document and 60 a sentence of one bucket. What is kept for all documents is one byte
each, and the pairs of near-duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from camembert_bio import config
from camembert_bio.corpus import near
from camembert_bio.corpus.decontaminate import union
from camembert_bio.corpus.documents import read
from camembert_bio.corpus.reading import READ
from camembert_bio.corpus.sentences import Occurrences
from camembert_bio.corpus.work import Block, Job, read_arrays, write_arrays
from camembert_bio.corpus.workers import Workers

KEPT, DUPLICATE, CONTAMINATED, NEAR = range(4)
"""Why a document goes, in the order in which it is asked."""
_BUCKET_DOCUMENTS = 1 << 22
_LOW = np.uint64(0xFFFFFFFF)

Fates = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Selection:
    """The blocks of a corpus, and the fate of each of its documents."""

    blocks: tuple[Block, ...]
    offsets: npt.NDArray[np.int64]
    """Block b holds the documents offsets[b] : offsets[b + 1] of the corpus."""
    fates: Fates

    def of(self, block: int) -> Fates:
        """The fates of one block's documents."""
        return self.fates[self.offsets[block] : self.offsets[block + 1]]


def select(job: Job, blocks: list[Block], workers: Workers, num_buckets: int) -> Selection:
    """Decide the fate of every document.

    Raises `UserError` when a source gives an id twice.
    """
    sizes = [config.read_json(job.path(READ, block, ".json"))["num_documents"] for block in blocks]
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    selection = Selection(tuple(blocks), offsets, np.zeros(offsets[-1], np.uint8))
    _check_ids(job, blocks)
    options, against = job.recipe.deduplicate, job.recipe.decontaminate
    if options.exact:
        _mark(selection, _later_copies(job, selection), DUPLICATE)
    if against is not None and against.remove:
        contained = [read_arrays(job.path(READ, block, ".npz"), "contained")["contained"] for block in blocks]
        _mark(selection, np.flatnonzero(np.concatenate(contained) >= against.threshold), CONTAMINATED)
    if options.near is not None:
        calls = [(job, selection, bucket) for bucket in range(num_buckets)]
        pairs = near.merged(workers.run("near-duplicates", near_pairs, calls))
        signatures = _signatures(job, selection)
        _mark(selection, near.drop(near.similar(pairs, signatures, options.near)), NEAR)
    return selection


def near_pairs(job: Job, selection: Selection, bucket: int) -> near.Pairs:
    """The pairs of documents worth comparing in one bucket of bands, of those that stay so far."""
    hashes, documents = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for number, block in enumerate(selection.blocks):
        arrays = read_arrays(job.path(READ, block, ".npz"), "bands", "band_rows", "band_bounds")
        begin, end = arrays["band_bounds"][bucket : bucket + 2]
        rows = arrays["band_rows"][begin:end]
        stays = selection.of(number)[rows] == KEPT
        hashes.append(arrays["bands"][begin:end][stays])
        documents.append(selection.offsets[number] + rows[stays])
    return near.candidates(np.concatenate(hashes), np.concatenate(documents))


def drop_sentences(job: Job, selection: Selection, bucket: int) -> dict[str, int]:
    """Write which sentences of one bucket go, in the documents that stay; how many sentences occur how often."""
    hashes, positions = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, block in enumerate(selection.blocks):
        arrays = read_arrays(
            job.path(READ, block, ".npz"), "sentences", "sentence_places", "sentence_offsets", "sentence_bounds"
        )
        begin, end = arrays["sentence_bounds"][bucket : bucket + 2]
        places = arrays["sentence_places"][begin:end]
        rows = np.searchsorted(arrays["sentence_offsets"], places, side="right") - 1
        stays = selection.of(number)[rows] == KEPT
        hashes.append(arrays["sentences"][begin:end][stays])
        positions.append(np.uint64(number) << np.uint64(32) | places[stays].astype(np.uint64))
    assert job.recipe.deduplicate.sentences is not None
    found = Occurrences(job.recipe.deduplicate.sentences)
    dropped = found.beyond(np.concatenate(hashes), np.concatenate(positions))
    numbers = np.arange(len(selection.blocks) + 1, dtype=np.uint64) << np.uint64(32)
    bounds = np.searchsorted(dropped, numbers)
    write_arrays(
        job.folder / "sentences" / f"{bucket:05d}.npz", places=(dropped & _LOW).astype(np.uint32), bounds=bounds
    )
    return {str(times): count for times, count in found.frequencies.items()}


def dropped_sentences(job: Job, block: int) -> npt.NDArray[np.int64]:
    """The sentences of one block that go, over all buckets, ascending."""
    found = [np.empty(0, np.int64)]
    for path in sorted((job.folder / "sentences").glob("*.npz")):
        arrays = read_arrays(path)
        begin, end = arrays["bounds"][block : block + 2]
        found.append(arrays["places"][begin:end].astype(np.int64))
    return np.sort(np.concatenate(found))


def found_ngrams(job: Job, blocks: list[Block]) -> npt.NDArray[np.uint64]:
    """The n-grams of evaluation sets that stand in the corpus as it was read."""
    return union(read_arrays(job.path(READ, block, ".npz"), "hits")["hits"] for block in blocks)


def _check_ids(job: Job, blocks: list[Block]) -> None:
    """Raise `UserError` when a source gives an id twice: 64 bits of hash suspect it, reading again shows it."""
    for number, source in enumerate(job.recipe.sources):
        mine = [block for block in blocks if block.source == number]
        count = _count_equal(lambda block: read_arrays(job.path(READ, block, ".npz"), "ids")["ids"], mine)
        if count:
            for _ in read(source, rejected=lambda _: None):
                pass


def _count_equal(load: Callable[[Block], npt.NDArray[np.uint64]], blocks: list[Block]) -> int:
    """Hashes that stand somewhere before."""
    total = sum(len(load(block)) for block in blocks)
    num_buckets = 1 + total // _BUCKET_DOCUMENTS
    return sum(
        len(hashes) - len(np.unique(hashes))
        for bucket in range(num_buckets)
        for hashes in [np.concatenate([np.empty(0, np.uint64), *(_in(load(b), bucket, num_buckets) for b in blocks)])]
    )


def _in(hashes: npt.NDArray[np.uint64], bucket: int, num_buckets: int) -> npt.NDArray[np.uint64]:
    mine: npt.NDArray[np.uint64] = hashes[hashes % np.uint64(num_buckets) == bucket]
    return mine


def _later_copies(job: Job, selection: Selection) -> npt.NDArray[np.int64]:
    """The documents whose digest an earlier one has, bucket by bucket."""
    num_buckets = 1 + len(selection.fates) // _BUCKET_DOCUMENTS
    copies = [np.empty(0, np.int64)]
    for bucket in range(num_buckets):
        keys, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
        for number, block in enumerate(selection.blocks):
            some = read_arrays(job.path(READ, block, ".npz"), "keys")["keys"]
            rows = np.flatnonzero(some[:, 0] % np.uint64(num_buckets) == bucket)
            keys.append(some[rows])
            numbers.append(selection.offsets[number] + rows)
        together, documents = np.concatenate(keys), np.concatenate(numbers)
        order = np.lexsort((documents, together[:, 1], together[:, 0]))
        is_copy = np.zeros(len(order), bool)
        is_copy[1:] = np.all(together[order[1:]] == together[order[:-1]], axis=1)
        copies.append(documents[order[is_copy]])
    return np.concatenate(copies)


def _signatures(job: Job, selection: Selection) -> near.Signatures:
    """The signatures of all documents, on the disk."""
    path = job.folder / "signatures.bin"
    shape = (max(1, len(selection.fates)), near.NUM_VALUES)
    together: near.Signatures = np.memmap(path, np.uint32, "w+", shape=shape)
    for number, block in enumerate(selection.blocks):
        begin, end = selection.offsets[number : number + 2]
        together[begin:end] = read_arrays(job.path(READ, block, ".npz"), "signatures")["signatures"]
    return together


def _mark(selection: Selection, documents: npt.NDArray[np.int64], fate: int) -> None:
    """Give documents a fate, those that have none yet."""
    selection.fates[documents[selection.fates[documents] == KEPT]] = fate


def frequencies(counts: list[dict[str, int]]) -> Counter[str]:
    """The counts of several buckets together."""
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return total
