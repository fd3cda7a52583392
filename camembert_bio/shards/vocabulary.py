"""What the data layer must know of a tokenizer: its pieces, and which ids are special.

A corpus folder holds it as `vocabulary.json`, so that batches are made without a tokenizer library.
Shape letter: V the size of the vocabulary.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from camembert_bio import files
from camembert_bio.errors import UserError

Kind = Literal["sentencepiece", "metaspace", "wordpiece", "byte-level", "other"]
"""How pieces show where a word begins: by `▁` (`sentencepiece` of its own file, `metaspace` of `tokenizer.json`); by
no `##`; by the byte of a space, `Ġ`, or of a line end; `other`: in no known way."""

SENTENCEPIECE_MODEL = "sentencepiece.bpe.model"
"""The one name under which transformers finds the model in a CamemBERT folder."""
TOKENIZER_JSON = "tokenizer.json"
"""The file of every other tokenizer."""

SPACE = "▁"
_INNER = "##"
_SENTENCE_END = (".", "!", "?", "…")

Mask = npt.NDArray[np.bool_]


def _letters_of_bytes() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary: itself, or one from U+0100 on where it shows
    nothing (Radford et al. 2019, GPT-2's `bytes_to_unicode`)."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _letters_of_bytes()


def tokenizer_file(kind: Kind) -> str:
    """The file of a tokenizer's folder that says which pieces a text yields."""
    return SENTENCEPIECE_MODEL if kind == "sentencepiece" else TOKENIZER_JSON


@dataclass(frozen=True)
class Vocabulary:
    """The pieces by id, and the special ids."""

    pieces: tuple[str, ...]
    bos_id: int
    """Before each segment: `<s>` or `[CLS]`."""
    eos_id: int
    """Behind each segment: `</s>` or `[SEP]`."""
    pad_id: int
    unk_id: int
    mask_id: int
    special_ids: tuple[int, ...]
    """Every id that no text yields, the unused ones of the layout and `<unk>` among them."""
    kind: Kind

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def marks_words(self) -> bool:
        """Whether the pieces show where a word begins."""
        return self.kind != "other"

    @property
    def shows_white_space(self) -> bool:
        """Whether the ids tell where white space stood, so that words can be counted as in the text."""
        return self.kind not in ("wordpiece", "other")

    @functools.cached_property
    def is_special(self) -> Mask:
        """[V]: ids never masked and never drawn as a random token."""
        flags = np.zeros(len(self), dtype=bool)
        flags[list(self.special_ids)] = True
        return flags

    @functools.cached_property
    def opens_word(self) -> Mask:
        """[V]: pieces that open a word, and special ids (a word never runs across one).

        Of WordPiece all that do not continue one by `##`, punctuation too, as BERT's whole-word masking has it
        (`create_pretraining_data.py`); of a kind that marks no words, all.
        """
        if self.kind == "wordpiece":
            opens = [not piece.startswith(_INNER) for piece in self.pieces]
        elif self.kind == "other":
            opens = [True] * len(self)
        else:
            opens = [text[:1].isspace() for text in self._texts]
        return np.array(opens) | self.is_special

    @functools.cached_property
    def is_lone_space(self) -> Mask:
        """[V]: pieces of white space alone, which belong to the word that follows them."""
        return np.array([text.isspace() for text in self._texts])

    @functools.cached_property
    def ends_sentence(self) -> Mask:
        """[V]: pieces that end with `.`, `!`, `?` or `…`."""
        return np.array([text.endswith(_SENTENCE_END) for text in self._texts]) & ~self.is_special

    @functools.cached_property
    def is_single(self) -> Mask:
        """[V]: pieces of one character, or of a part of one."""
        return np.array([len(text.strip()) == 1 for text in self._texts]) & ~self.is_special

    @functools.cached_property
    def _texts(self) -> list[str]:
        """What each piece stands for in a text, white space included; a part of a character is `\ufffd`."""
        if self.kind == "wordpiece":
            return [piece.removeprefix(_INNER) for piece in self.pieces]
        if self.kind == "byte-level":
            return [_text_of_bytes(piece) for piece in self.pieces]
        return [piece.replace(SPACE, " ") for piece in self.pieces]

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
        if read.kind not in get_args(Kind):
            raise ValueError("the kind is one of this version's")
        return read
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a readable vocabulary; run prepare again") from error


def _text_of_bytes(piece: str) -> str:
    """The text of a byte-level piece; one that was added whole, as text, stands for itself."""
    if not all(letter in _BYTES for letter in piece):
        return piece
    return bytes(_BYTES[letter] for letter in piece).decode(errors="replace")
