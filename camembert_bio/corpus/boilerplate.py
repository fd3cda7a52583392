"""Boilerplate learnt per source: sentences and lines that stand in a large share of its documents, such as letterheads.

    hashes of all sentences → per block: documents that hold each → per bucket: sums by source → those of a large share

Only sums are gathered, one a hash and group of blocks, so that a line of a hundred million documents takes no more
memory than another. Learnt are at most `mean sentences of a document / share` sentences a source.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from camembert_bio.corpus.partitions import I64, NEVER, U64

MIN_DOCUMENTS = 20
"""A source of fewer documents is left alone: the half of 20 are ten documents, where half of three or four is what two
documents share by chance."""

Mask = npt.NDArray[np.bool_]


def count(hashes: U64, documents: I64) -> tuple[U64, I64]:
    """The distinct hashes of a block's sentences, ascending, and how many of its documents hold each.

    `documents` [S] are those of the sentences, ascending. Memory: 30 bytes a sentence.
    """
    order = np.argsort(hashes, kind="stable")  # so documents ascend within each hash
    ordered, owners = hashes[order], documents[order]
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]) | (owners[1:] != owners[:-1])
    distinct, counts = np.unique(ordered[is_new], return_counts=True)
    return distinct, counts.astype(np.int64)


def total(rows: U64) -> U64:
    """Rows of hash, source and number of documents, [N, 3], of several blocks or groups: one for a hash and source."""
    if not len(rows):
        return rows
    ordered = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = np.any(ordered[1:, :2] != ordered[:-1, :2], axis=1)
    starts = np.flatnonzero(is_new)
    return np.column_stack([ordered[starts, :2], np.add.reduceat(ordered[:, 2], starts)])


def frequent(rows: U64, num_documents: I64, share: float) -> U64:
    """Of the rows of `total` those of a source's boilerplate, as hash and source, [N, 2].

    `num_documents` has that of each source. Divided, not multiplied: 3 of 30 are a share of 0.1, 0.1 x 30 is above 3.
    """
    documents = num_documents[rows[:, 1].astype(np.int64)]
    is_frequent = (rows[:, 2] / np.maximum(documents, 1) >= share) & (documents >= MIN_DOCUMENTS)
    return rows[is_frequent, :2]


def marked(hashes: U64, is_short: Mask, offsets: I64, learnt: U64) -> Mask:
    """Which sentences of a block go, [S]: those learnt, but short ones only at a document's edges.

    There they are a letterhead or a signature: no sentence of the document's own stands between them and its beginning,
    or its end. Elsewhere a short line that every document has is the title of what follows (`Antécédents :`).
    Document d has the sentences offsets[d] : offsets[d + 1].
    """
    is_learnt = np.isin(hashes, learnt)
    own = np.concatenate(([0], np.cumsum(~is_learnt)))
    lengths = np.diff(offsets)
    at_begin = own[1:] == np.repeat(own[offsets[:-1]], lengths)
    at_end = own[:-1] == np.repeat(own[offsets[1:]], lengths)
    mask: Mask = is_learnt & (hashes != NEVER) & (~is_short | at_begin | at_end)
    return mask
