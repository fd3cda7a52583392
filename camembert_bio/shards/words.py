"""Where words begin, read from the ids alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from camembert_bio.errors import UserError
from camembert_bio.shards.vocabulary import Vocabulary

Flags = npt.NDArray[np.bool_]
Kinds = npt.NDArray[np.uint8]

SPECIAL = 1
OPENS = 2
LONE = 4
ENDS = 8


def kinds_of(vocabulary: Vocabulary) -> Kinds:
    """[V]: the bits `SPECIAL`, `OPENS` (a word), `LONE` (white space alone), `ENDS` (a sentence)."""
    special = vocabulary.is_special
    return (
        special * np.uint8(SPECIAL)
        + (vocabulary.opens_word & ~special) * np.uint8(OPENS)
        + vocabulary.is_lone_space * np.uint8(LONE)
        + vocabulary.ends_sentence * np.uint8(ENDS)
    ).astype(np.uint8)


def check_marks_words(vocabulary: Vocabulary) -> None:
    """Raise `UserError` when the pieces do not show where words begin, so that no whole word can be masked."""
    if not vocabulary.marks_words:
        raise UserError(
            "objective.whole_word: the corpus' tokenizer shows in no known way (by ▁, by ## or by the byte of a space) "
            "where a word begins; set objective.whole_word to false to mask single pieces"
        )


def word_starts(kinds: Kinds) -> Flags:
    """Whether a word begins at each position, for kinds of any shape [..., L]; the first never does.

    A piece that opens a word (`Vocabulary.opens_word`) does, unless the piece before is white space alone, which
    belongs to the word that follows it.
    """
    starts = np.zeros(kinds.shape, dtype=bool)
    np.greater(kinds[..., 1:] & OPENS, (kinds[..., :-1] & LONE) >> 1, out=starts[..., 1:])
    return starts


def sentence_starts(kinds: Kinds) -> Flags:
    """Whether a word begins at each position [..., L] and the piece before ends a sentence."""
    starts = word_starts(kinds)
    starts[..., 1:] &= (kinds[..., :-1] & ENDS) > 0
    return starts
