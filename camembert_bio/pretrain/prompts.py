"""What the model says in place of `<mask>` in sentences of the user's own, as it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from camembert_bio.data.batch import Batch
from camembert_bio.errors import Mistakes, UserError
from camembert_bio.shards.manifest import TOKENIZER, Corpus

MASK = "<mask>"
"""Written so in a recipe, whatever the tokenizer's own."""

_NUM_GUESSES = 5


@dataclass(frozen=True)
class Prompts:
    """Sentences with holes, as the tokenizer of a corpus reads them."""

    texts: tuple[str, ...]
    batch: Batch
    """One row a sentence; the targets are the holes, their labels mean nothing."""
    rows: tuple[int, ...]
    """The sentence of each hole."""
    tokenizer: Any

    def answers(self, engine: Any) -> str:
        """A Markdown table of the likeliest fillings. Collective: every rank computes all of it."""
        ids, shares = engine.predict(self.batch, _NUM_GUESSES)
        found: list[list[str]] = [[] for _ in self.texts]
        for row, guesses, probabilities in zip(self.rows, ids.tolist(), shares.tolist(), strict=True):
            words = [
                self.tokenizer.decode([guess]).strip() or self.tokenizer.convert_ids_to_tokens(guess)
                for guess in guesses
            ]
            told = [f"{_cell(word)} {share:.1%}" for word, share in zip(words, probabilities, strict=True)]
            found[row].append(", ".join(told))
        lines = [f"| {_cell(text)} | {' / '.join(told)} |" for text, told in zip(self.texts, found, strict=True)]
        return "\n".join(["| prompt | likeliest |", "|---|---|", *lines])


def read_prompts(texts: Sequence[str], corpus: Corpus, max_length: int) -> Prompts:
    """The prompts of a recipe for a model of a corpus' tokenizer.

    Raises `UserError` for those that are longer than `max_length` tokens or in which no hole is left.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(corpus.folder / TOKENIZER, local_files_only=True)
    vocabulary = corpus.vocabulary
    if tokenizer.mask_token_id != vocabulary.mask_id:
        raise UserError(f"transformers reads another mask token in {corpus.folder / TOKENIZER}; run prepare again")
    rows = [tokenizer(text.replace(MASK, tokenizer.mask_token))["input_ids"] for text in texts]
    mistakes = Mistakes()
    mistakes.messages += [
        f"evaluation.prompts: number {number} has {len(row)} tokens, the model is trained on {max_length}; shorten it"
        for number, row in enumerate(rows, 1)
        if len(row) > max_length
    ]
    mistakes.messages += [
        f"evaluation.prompts: number {number} has no {MASK} left as the tokenizer reads it; put spaces around it"
        for number, row in enumerate(rows, 1)
        if vocabulary.mask_id not in row
    ]
    mistakes.raise_any("evaluation.prompts:")
    return _prompts(tuple(texts), rows, vocabulary.pad_id, vocabulary.mask_id, tokenizer)


def _prompts(texts: tuple[str, ...], rows: list[list[int]], pad_id: int, mask_id: int, tokenizer: Any) -> Prompts:
    """The rows padded to the longest, each one segment and its padding."""
    length = max(map(len, rows))
    ids_BL = torch.tensor([row + [pad_id] * (length - len(row)) for row in rows])
    is_text_BL = torch.arange(length) < torch.tensor([[len(row)] for row in rows])
    ends = [(number * length + len(row), (number + 1) * length) for number, row in enumerate(rows)]
    bounds = sorted({0, *(end for pair in ends for end in pair)})
    holes_K = (ids_BL == mask_id).flatten().nonzero().flatten()
    batch = Batch(
        input_ids=ids_BL,
        segment_ids=is_text_BL.int(),
        cu_seqlens=torch.tensor(bounds, dtype=torch.int32),
        position_ids=torch.arange(length).expand(len(rows), length) * is_text_BL,
        target_positions=holes_K,
        target_labels=torch.zeros_like(holes_K),
        sources=torch.full((len(rows),), -1),
        causal=False,
        num_tokens=int(is_text_BL.sum()),
    )
    return Prompts(texts, batch, tuple((holes_K // length).tolist()), tokenizer)


def _cell(text: str) -> str:
    """Text inside a Markdown table; `<mask>` stays readable."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
