"""Texts and pairs of texts as model input: rows of sub-words with the tokenizer's special ones, never cut.

A text that is longer than a row is read through windows that overlap, a pair through every window of one text beside
every window of the other: of two long texts each has half of a row, of one long text what the other leaves.

Shape letter: L sub-words of a row, special ones included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from camembert_bio.evaluation import align
from camembert_bio.evaluation.metrics import IntArray


@dataclass(frozen=True)
class Row:
    """One row of model input."""

    input_ids: IntArray
    """[L]"""
    token_types: IntArray
    """[L]: 0, or what the tokenizer gives a second text."""


@dataclass(frozen=True)
class Template:
    """The special sub-words around a text, or around and between two, and the type of the second."""

    before: IntArray
    between: IntArray
    after: IntArray
    second_type: int

    def row(self, first: IntArray, second: IntArray | None = None) -> Row:
        """The row of a text or of a pair."""
        if second is None:
            input_ids = np.concatenate([self.before, first, self.after])
            return Row(input_ids, np.zeros_like(input_ids))
        start = np.concatenate([self.before, first, self.between])
        rest = np.concatenate([second, self.after])
        types = np.concatenate([np.zeros_like(start), np.full_like(rest, self.second_type)])
        return Row(np.concatenate([start, rest]), types)


def template_of(tokenizer: Any) -> Template:
    """What the tokenizer puts around and between the texts of a pair; the type is 0 where its models take none."""
    encoded = tokenizer("a", "a")
    ids = np.array(encoded["input_ids"], dtype=np.int64)
    owners = encoded.sequence_ids(0)
    first, second = ([place for place, owner in enumerate(owners) if owner == text] for text in (0, 1))
    return Template(
        ids[: first[0]],
        ids[first[-1] + 1 : second[0]],
        ids[second[-1] + 1 :],
        int(encoded["token_type_ids"][second[0]]) if "token_type_ids" in encoded else 0,
    )


def text_rows(texts: Sequence[str], tokenizer: Any, template: Template, seq_length: int, overlap: int) -> list[Row]:
    """The rows of a text or of two; one where all of it fits into `seq_length` sub-words, else one a window."""
    parts = [align.tokenize(text, tokenizer).input_ids for text in texts]
    num_special = len(template.before) + len(template.after)
    if len(parts) == 1:
        return [template.row(window) for window in _windows(parts[0], seq_length - num_special, overlap)]
    first, second = parts
    room = seq_length - num_special - len(template.between)
    sizes = _shared(len(first), len(second), room)
    windows = (_windows(part, size, overlap) for part, size in zip(parts, sizes, strict=True))
    return [template.row(one, two) for one, two in product(*windows)]


def _shared(first: int, second: int, room: int) -> tuple[int, int]:
    """How many sub-words of each text stand in a row."""
    if first + second <= room:
        return first, second
    half = room // 2
    if first <= half:
        return first, room - first
    if second <= half:
        return room - second, second
    return half, room - half


def _windows(ids: IntArray, size: int, overlap: int) -> list[IntArray]:
    """Windows of at most `size`; an overlap that leaves less than half of it to go on is half of it."""
    spans = align.windows(len(ids), size, min(overlap, size // 2)) or [(0, 0)]
    return [ids[start:end] for start, end in spans]
