"""Between characters and sub-words: tokens, tags, windows, and what the way there and back loses.

A document is tokenised once, uncut. Spans become IOB2 tags by overlap, tags become spans again by
the tokens' offsets; `ceiling` says what a perfect tagger would lose on the way.
Shape letter: T tokens of a document.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.metrics import IntArray, iob2_spans

Policy = Literal["flat-outermost", "flat-longest"]

IGNORED = -100
"""The tag of a token that is neither learnt nor read."""

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
    lone_space_id = tokenizer.convert_tokens_to_ids(LONE_SPACE)
    return tokens_from_offsets(text, encoded["input_ids"], encoded["offset_mapping"], lone_space_id)


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


def flatten(spans: Sequence[Span], policy: Policy) -> list[Span]:
    """The spans, none overlapping another, that one layer of tags can hold; in text order.

    Discontinuous spans are left out. `flat-outermost` leaves out each span that another contains,
    then, of two that cross, the later one. `flat-longest` keeps the longest first. Of two spans with
    the same extent the label first in the alphabet stays.
    """
    continuous = [span for span in spans if span.is_continuous]
    by_length = sorted(continuous, key=lambda span: (span.start - span.end, span))
    if policy == "flat-longest":
        return sorted(_without_overlap(by_length))
    outermost: list[Span] = []
    for span in by_length:
        if not any(other.start <= span.start and span.end <= other.end for other in outermost):
            outermost.append(span)
    return _without_overlap(sorted(outermost))


def _without_overlap(spans: Sequence[Span]) -> list[Span]:
    """The spans that overlap none kept before them, in the given order."""
    kept: list[Span] = []
    for span in spans:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return kept


def encode(tokens: Tokens, spans: Sequence[Span], labels: Sequence[str]) -> IntArray:
    """IOB2 tags [T] of flat spans: a token that overlaps a span belongs to it, the first is B.

    A token that two spans share belongs to the first of them. Tags are those of
    `metrics.iob2_spans`, with the label's index in `labels`; `IGNORED` where nothing is visible.
    """
    tags = np.where(tokens.is_visible, 0, IGNORED)
    for span in spans:
        overlaps = (tokens.starts < span.end) & (tokens.ends > span.start) & (tags == 0)
        positions = np.flatnonzero(overlaps)
        if len(positions):
            label = labels.index(span.label)
            tags[positions] = 2 + 2 * label
            tags[positions[0]] = 1 + 2 * label
    return tags


def decode(tokens: Tokens, tags: IntArray, labels: Sequence[str]) -> list[Span]:
    """The spans of IOB2 tags [T], read strictly; the tags of invisible tokens are passed over."""
    visible = np.flatnonzero(tokens.is_visible)
    starts, ends = tokens.starts[visible], tokens.ends[visible]
    return [
        Span(((int(starts[first]), int(ends[end - 1])),), labels[label])
        for first, end, label in iob2_spans(tags[visible])
    ]


def perfect_spans(
    document: Document, tokens: Tokens, policy: Policy, labels: Sequence[str]
) -> tuple[list[Span], Counter[str]]:
    """What a perfect tagger would predict, and the loss ledger: why it misses gold spans.

    The ledger counts `gold` spans, `unknown_label` (not in `labels`), `discontinuous`, `nested` (or
    crossing: left out by `policy`) and `boundary` (an end inside a sub-word, or at white space).
    """
    known = [span for span in document.spans if span.label in labels]
    continuous = [span for span in known if span.is_continuous]
    flat = flatten(continuous, policy)
    perfect = decode(tokens, encode(tokens, flat, labels), labels)
    ledger = Counter(
        gold=len(document.spans),
        unknown_label=len(document.spans) - len(known),
        discontinuous=len(known) - len(continuous),
        nested=len(continuous) - len(flat),
        boundary=len(set(flat) - set(perfect)),
    )
    return perfect, ledger


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
    position = np.arange(num_tokens)
    best = np.full(num_tokens, -1)
    owner = np.zeros(num_tokens, dtype=np.int64)
    for index, (start, end) in enumerate(spans):
        left = position - start if start > 0 else np.full(num_tokens, num_tokens)
        right = end - 1 - position if end < num_tokens else np.full(num_tokens, num_tokens)
        distance = np.where((position >= start) & (position < end), np.minimum(left, right), -1)
        owner[distance > best] = index
        best = np.maximum(best, distance)
    return owner
