"""Masked-LM corruption as a pure function of (seed, epoch, draw, position).

Shape letters: B rows of a batch, L positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from camembert_bio.data import words
from camembert_bio.data.hashing import I64, draw, key
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

    def apply(self, input_ids_BL: I64, epoch_B: I64, draw_B: I64, mlm_probability: float) -> tuple[I64, Flags]:
        """The corrupted ids [B, L] and which positions were chosen [B, L].

        Each word is chosen with `mlm_probability`, and whether its tokens become `<mask>`, random
        or stay is decided once for the word; each token of a random word is drawn on its own.
        A row is named by its length, its epoch and its draw in it, so that its masks depend on nothing else.
        Special ids, `<unk>` among them, are never chosen. A row, or a batch, may have no chosen
        position: whoever divides by the step's number of targets guards against zero.
        """
        kinds_BL = self.kinds.take(input_ids_BL)
        keys_B1 = draw(draw(key(self.seed, "mask", input_ids_BL.shape[1]), epoch_B), draw_B)[:, None]
        bits_BL = draw(keys_B1, self._word_of(kinds_BL))
        chosen_BL = (bits_BL >> _HALF) < round(mlm_probability * 2**32)
        chosen_BL &= (kinds_BL & words.SPECIAL) == 0
        rows, columns = np.nonzero(chosen_BL)
        fate = bits_BL[rows, columns] & _LOW
        corrupted_BL = input_ids_BL.copy()
        masked = fate < _MASK_BELOW
        corrupted_BL[rows[masked], columns[masked]] = self.mask_id
        random = ~masked & (fate < _RANDOM_BELOW)
        rows, columns = rows[random], columns[random]
        # Counters from L on are no word's: the token's bits are independent of its word's.
        token_bits = draw(keys_B1[rows, 0], columns + input_ids_BL.shape[1]) >> _HALF
        corrupted_BL[rows, columns] = self.ordinary_ids[(token_bits * len(self.ordinary_ids)) >> _HALF]
        return corrupted_BL, chosen_BL

    def _word_of(self, kinds_BL: words.Kinds) -> npt.NDArray[np.integer]:
        """The first position of the word that each position belongs to: [B, L].

        No word runs across a special id: it opens one, of which the pieces after it may be chosen.
        """
        positions = np.arange(kinds_BL.shape[1], dtype=np.int32)
        if not self.whole_word:
            return np.broadcast_to(positions, kinds_BL.shape)
        starts = words.word_starts(kinds_BL) | ((kinds_BL & words.SPECIAL) > 0)
        return np.maximum.accumulate(starts * positions, axis=1)


def masking(vocabulary: Vocabulary, seed: int, whole_word: bool) -> Masking:
    """The masking of a vocabulary, of whole words or of single tokens."""
    ordinary = np.flatnonzero(~vocabulary.is_special)
    return Masking(seed, whole_word, words.kinds_of(vocabulary), ordinary, vocabulary.mask_id)
