"""Documents as model input: windows of sub-words and their tags.

Shape letters: L sub-words of a window, special ones included, T tokens of a document, M layers of tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camembert_bio.errors import UserError
from camembert_bio.evaluation import align
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.layers import IGNORED, Layers, encode, spread
from camembert_bio.evaluation.metrics import IntArray
from camembert_bio.evaluation.models import ModelFolder
from camembert_bio.evaluation.recipe import Finetune, Policy
from camembert_bio.evaluation.tasks import TaskData


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


def encode_parts(data: TaskData, model: ModelFolder, recipe: Finetune) -> tuple[Encoded, Encoded, Encoded]:
    """Training, validation and test documents. Raises `UserError` where the first give nothing to learn from."""
    train, validation, test = (
        encode_documents(documents, model.tokenizer, recipe.seq_length, recipe.window_overlap)
        for documents in (data.train, data.validation, data.test)
    )
    if not train.windows:
        raise UserError(
            f"task {data.name}: the tokenizer of model {model.name} gives no sub-word of any of {len(data.train)} "
            "training documents; give documents with text, or another tokenizer"
        )
    return train, validation, test


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
