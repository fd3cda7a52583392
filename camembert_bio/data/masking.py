"""Masked-LM corruption as a pure function of (seed, epoch, draw, position).

Shape letters: B rows of a batch, L positions, W words, K chosen tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from camembert_bio.data.hashing import I64, draw, key
from camembert_bio.shards import words
from camembert_bio.shards.format import Ids
from camembert_bio.shards.vocabulary import Vocabulary

Flags = npt.NDArray[np.bool_]

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
# Devlin et al. 2019, section 3.1: of the chosen, 80 % become <mask>, 10 % a random token, 10 % stay.
_MASK_BELOW = int(0.8 * 2**32)
_RANDOM_BELOW = int(0.9 * 2**32)


@dataclass(frozen=True)
class Masking:
    """The tables that masking reads; `apply` is the masking."""

    seed: int
    whole_word: bool
    kinds: words.Kinds
    """[V]: see `words.kinds_of`."""
    ordinary_ids: I64
    """Ids that a random token is drawn from: all but the special ones."""
    mask_id: int

    def apply(self, input_ids_BL: Ids, epoch_B: I64, draw_B: I64, mlm_probability: float) -> tuple[Ids, I64]:
        """The corrupted ids [B, L], and where a token was chosen: places [K] in the flattened [B * L], ascending.

        Each word is chosen with `mlm_probability`, and whether its tokens become `<mask>`, random
        or stay is decided once for the word; each token of a random word is drawn on its own.
        A row is named by its length, its epoch and its draw in it, so that its masks depend on nothing else.
        Special ids, `<unk>` among them, are never chosen. A row, or a batch, may have no chosen
        position: whoever divides by the step's number of targets guards against zero.
        """
        seq_length = input_ids_BL.shape[1]
        kinds_BL = self.kinds.take(input_ids_BL)
        keys_B = draw(draw(key(self.seed, "mask", seq_length), epoch_B), draw_B)
        first_W = np.flatnonzero(self._word_starts(kinds_BL))
        row_W, column_W = np.divmod(first_W, seq_length)
        bits_W = draw(keys_B[row_W], column_W)
        chosen = np.flatnonzero((bits_W >> _HALF) < round(mlm_probability * 2**32))
        places_K, of_K = _tokens(first_W, input_ids_BL.size, chosen)
        ordinary = (kinds_BL.reshape(-1)[places_K] & words.SPECIAL) == 0
        places_K, fate_K = places_K[ordinary], bits_W[of_K[ordinary]] & _LOW
        corrupted_BL = input_ids_BL.copy()
        flat = corrupted_BL.reshape(-1)
        masked = fate_K < _MASK_BELOW
        flat[places_K[masked]] = self.mask_id
        random = places_K[~masked & (fate_K < _RANDOM_BELOW)]
        rows, columns = np.divmod(random, seq_length)
        # Counters from L on are no word's: the token's bits are independent of its word's.
        token_bits = draw(keys_B[rows], columns + seq_length) >> _HALF
        flat[random] = self.ordinary_ids[(token_bits * len(self.ordinary_ids)) >> _HALF]
        return corrupted_BL, places_K

    def _word_starts(self, kinds_BL: words.Kinds) -> Flags:
        """Whether a word, or without `whole_word` a token, begins at each position: [B, L].

        No word runs across a special id: it opens one, of which the pieces after it may be chosen.
        """
        if not self.whole_word:
            return np.ones(kinds_BL.shape, dtype=bool)
        starts = words.word_starts(kinds_BL) | ((kinds_BL & words.SPECIAL) > 0)
        starts[:, 0] = True
        return starts


def _tokens(first_W: I64, size: int, chosen: I64) -> tuple[I64, I64]:
    """The places of the tokens of chosen words, and the word of each: both [K]. Words end where the next begins."""
    counts = np.append(first_W, size)[chosen + 1] - first_W[chosen]
    before = np.cumsum(counts) - counts
    places = np.arange(counts.sum()) + np.repeat(first_W[chosen] - before, counts)
    return places, np.repeat(chosen, counts)


def masking(vocabulary: Vocabulary, seed: int, whole_word: bool) -> Masking:
    """The masking of a vocabulary, of whole words or of single tokens.

    Raises `UserError` when whole words are asked for and the pieces do not show them.
    """
    if whole_word:
        words.check_marks_words(vocabulary)
    ordinary = np.flatnonzero(~vocabulary.is_special)
    return Masking(seed, whole_word, words.kinds_of(vocabulary), ordinary, vocabulary.mask_id)
