"""Between characters and sub-words: a document is tokenised once, uncut, and read through windows.

Shape letter: T tokens of a document.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camembert_bio.evaluation.metrics import IntArray

LONE_SPACE = "▁"
_JOINER = "\u200d"


@dataclass(frozen=True)
class Tokens:
    """A document's sub-words, without special ones.

    `starts` and `ends` are code points, end exclusive, without white space at either side; they are
    equal for a token that covers no character of its own (a lone `▁`).
    """

    input_ids: IntArray
    """[T]"""
    starts: IntArray
    """[T]"""
    ends: IntArray
    """[T]"""

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def is_visible(self) -> npt.NDArray[np.bool_]:
        """[T]: the token covers a character; the others carry no tag."""
        return self.ends > self.starts


def tokenize(text: str, tokenizer: Any) -> Tokens:
    """Tokenise a text whole with a fast transformers tokenizer."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return tokens_from_offsets(text, encoded["input_ids"], encoded["offset_mapping"], lone_space_id(tokenizer))


def lone_space_id(tokenizer: Any) -> int:
    """The id of a lone `▁`; -1 when the tokenizer has none, which transformers reads as unknown."""
    found = tokenizer.convert_tokens_to_ids(LONE_SPACE)
    return -1 if found is None or found == tokenizer.unk_token_id else int(found)


def tokens_from_offsets(
    text: str, input_ids: Sequence[int], offsets: Sequence[tuple[int, int]], lone_space_id: int
) -> Tokens:
    """Tokens whose offsets are the same for every tokenizer's idea of them.

    transformers 4.57 includes the space before a word, 5.23 does not and gives a lone `▁` (whose id
    is `lone_space_id`) the first character of the next piece. A combining mark that the tokenizer
    composed with the letter before it is given back to that letter.
    """
    starts, ends = [], []
    for position, (token_id, (start, end)) in enumerate(zip(input_ids, offsets, strict=True)):
        if token_id == lone_space_id:
            end = start  # noqa: PLW2901
        while start < end and text[start].isspace():
            start += 1  # noqa: PLW2901
        while start < end and text[end - 1].isspace():
            end -= 1  # noqa: PLW2901
        limit = offsets[position + 1][0] if position + 1 < len(offsets) else len(text)
        while start < end < limit and _belongs_to_letter_before(text[end]):
            end += 1  # noqa: PLW2901
        starts.append(start)
        ends.append(end)
    return Tokens(*(np.array(values, dtype=np.int64) for values in (input_ids, starts, ends)))


def _belongs_to_letter_before(character: str) -> bool:
    return character == _JOINER or unicodedata.category(character).startswith("M")


def windows(num_tokens: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """(start, end) of windows of at most `size` tokens that share `overlap` with the one before.

    The last one is moved back so that it is full too, and has all the context there is.
    """
    if num_tokens <= size:
        return [(0, num_tokens)] if num_tokens else []
    starts = [*range(0, num_tokens - size, size - overlap), num_tokens - size]
    return [(start, start + size) for start in starts]


def most_central(num_tokens: int, spans: Sequence[tuple[int, int]]) -> IntArray:
    """[T]: for each token the index of the window in which it is farthest from a cut.

    The document's own ends are no cuts. Of two windows the first wins a tie.
    """
    best = np.full(num_tokens, -1)
    owner = np.zeros(num_tokens, dtype=np.int64)
    for index, (start, end) in enumerate(spans):
        position = np.arange(start, end)
        left = position - start if start > 0 else np.full(end - start, num_tokens)
        right = end - 1 - position if end < num_tokens else np.full(end - start, num_tokens)
        distance = np.minimum(left, right)
        owner[start:end][distance > best[start:end]] = index
        best[start:end] = np.maximum(best[start:end], distance)
    return owner
