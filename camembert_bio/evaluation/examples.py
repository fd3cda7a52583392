"""Documents as model input: windows of sub-words, their tags, and batches of like length.

Shape letters: B windows of a batch, L sub-words of its longest window, special ones included, T tokens of a
document, M layers of tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camembert_bio.evaluation import align
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.layers import IGNORED, Layers, encode, spread
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.recipe import Policy

# Batches per bucket: enough to fill batches with like lengths, few enough to stay near a random order.
_BATCHES_PER_BUCKET = 32


@dataclass(frozen=True)
class Window:
    """One row of model input."""

    document: int
    """Index of its document."""
    start: int
    """The document's token at which it begins."""
    input_ids: IntArray
    """[L]: `<s>` or `[CLS]`, the tokens, `</s>` or `[SEP]`."""
    is_owned: IntArray
    """[L]: 1 where this window is the one in which the token is most central; special ones are 0."""


@dataclass(frozen=True)
class Encoded:
    """Documents tokenised by one tokenizer."""

    documents: list[Document]
    tokens: list[align.Tokens]
    windows: list[Window]


def encode_documents(documents: list[Document], tokenizer: Any, seq_length: int, overlap: int) -> Encoded:
    """Tokenise documents and lay windows of at most `seq_length` sub-words over them."""
    tokens = [align.tokenize(document.text, tokenizer) for document in documents]
    bos, eos = tokenizer.cls_token_id, tokenizer.sep_token_id
    rows = []
    for index, document_tokens in enumerate(tokens):
        spans = align.windows(len(document_tokens), seq_length - 2, overlap)
        owner = align.most_central(len(document_tokens), spans)
        for number, (start, end) in enumerate(spans):
            input_ids = np.concatenate([[bos], document_tokens.input_ids[start:end], [eos]])
            is_owned = np.concatenate([[0], owner[start:end] == number, [0]])
            rows.append(Window(index, start, input_ids, is_owned))
    return Encoded(documents, tokens, rows)


def window_labels(encoded: Encoded, policy: Policy, layers: Layers) -> list[IntArray]:
    """[L, M] of each window: the tags to learn. A token is learnt once, where it is most central."""
    tags = [
        encode(tokens, spread(document.spans, policy, layers), layers)
        for document, tokens in zip(encoded.documents, encoded.tokens, strict=True)
    ]
    rows = []
    for window in encoded.windows:
        row = np.full((len(window.input_ids), len(layers)), IGNORED, dtype=np.int64)
        row[1:-1] = tags[window.document][window.start : window.start + len(row) - 2]
        rows.append(np.where(window.is_owned[:, None], row, IGNORED))
    return rows


def document_tags(encoded: Encoded, rows: Sequence[IntArray], num_layers: int) -> list[IntArray]:
    """[T, M] of each document from [L, M] of each window: a token is read where it is most central."""
    tags = [np.zeros((len(tokens), num_layers), dtype=np.int64) for tokens in encoded.tokens]
    for window, row in zip(encoded.windows, rows, strict=True):
        owned = np.flatnonzero(window.is_owned)
        tags[window.document][window.start + owned - 1] = row[owned]
    return tags


def shuffled_batches(lengths: Sequence[int], batch_size: int, seed: int) -> Iterator[IntArray]:
    """Endless batches of indices: each epoch shows every index once, in an order drawn from (seed, epoch).

    Within buckets of 32 batches indices are sorted by length, so that little is padded. The last
    batch of an epoch may be smaller.
    """
    sizes = np.asarray(lengths)
    epoch = 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(sizes))
        batches = []
        for first in range(0, len(order), batch_size * _BATCHES_PER_BUCKET):
            bucket = order[first : first + batch_size * _BATCHES_PER_BUCKET]
            bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
            batches += [bucket[start : start + batch_size] for start in range(0, len(bucket), batch_size)]
        for index in rng.permutation(len(batches)):
            yield batches[index]
        epoch += 1


def pad(rows: Sequence[IntArray], value: int) -> IntArray:
    """[B, L] or [B, L, M] of rows of unequal length, filled with `value` at their end."""
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
