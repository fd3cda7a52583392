"""What the data layer must know of a tokenizer: its pieces, and which ids are special.

A corpus folder holds it as `vocabulary.json`, so that batches are made without a tokenizer library.
Shape letter: V the size of the vocabulary.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camembert_bio import files
from camembert_bio.errors import UserError

SENTENCEPIECE_MODEL = "sentencepiece.bpe.model"
"""The one name under which transformers finds the model in a CamemBERT folder."""

SPACE = "▁"
_SENTENCE_END = (".", "!", "?", "…")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Vocabulary:
    """The pieces by id, and the special ids."""

    pieces: tuple[str, ...]
    bos_id: int
    eos_id: int
    pad_id: int
    unk_id: int
    mask_id: int
    special_ids: tuple[int, ...]
    """Every id that no text yields, the unused ones of CamemBERT's layout and `<unk>` among them."""

    def __len__(self) -> int:
        return len(self.pieces)

    @functools.cached_property
    def is_special(self) -> Mask:
        """[V]: ids never masked and never drawn as a random token."""
        flags = np.zeros(len(self), dtype=bool)
        flags[list(self.special_ids)] = True
        return flags

    @functools.cached_property
    def opens_word(self) -> Mask:
        """[V]: pieces that begin with `▁`, and special ids (a word never runs across one)."""
        return np.array([piece.startswith(SPACE) for piece in self.pieces]) | self.is_special

    @functools.cached_property
    def is_lone_space(self) -> Mask:
        """[V]: the piece `▁` alone, which belongs to the word that follows it."""
        return np.array([piece == SPACE for piece in self.pieces])

    @functools.cached_property
    def ends_sentence(self) -> Mask:
        """[V]: pieces that end with `.`, `!`, `?` or `…`."""
        return np.array([piece.endswith(_SENTENCE_END) for piece in self.pieces]) & ~self.is_special

    def save(self, path: Path) -> None:
        """Write the vocabulary as JSON, atomically."""
        files.write_json(path, asdict(self))


def load_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary that `Vocabulary.save` wrote.

    Raises `UserError` when it cannot be read, a piece is no string, or an id is outside the vocabulary.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        read = Vocabulary(**{**values, "pieces": tuple(values["pieces"]), "special_ids": tuple(values["special_ids"])})
        ids = (*read.special_ids, read.bos_id, read.eos_id, read.pad_id, read.unk_id, read.mask_id)
        if not all(isinstance(piece, str) for piece in read.pieces) or any(
            type(id_) is not int or id_ not in range(len(read)) for id_ in ids
        ):
            raise ValueError("pieces are strings, ids are below their number")
        return read
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a readable vocabulary; run prepare again") from error
