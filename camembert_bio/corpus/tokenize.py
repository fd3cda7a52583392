"""SentencePiece in CamemBERT's layout: trained, checked on load, and run on batches of texts.

A CamemBERT id is a SentencePiece id + 4, between five ids before and one after:
`<s>NOTUSED` 0, `<pad>` 1, `</s>NOTUSED` 2, `<unk>` 3, `<unk>NOTUSED` 4 (SentencePiece's own unknown),
`<s>` 5, `</s>` 6, the pieces that text yields, and `<mask>` last. So the vocabulary counts five more than the
pieces. Text yields the ids from 7 to the last but one, and `<unk>`: SentencePiece emits no control piece.

Shape letters: B texts of a batch, P pieces of the SentencePiece model, V = P + 5 ids.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from camembert_bio import config, files
from camembert_bio.corpus.recipe import TrainTokenizer
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.format import Ids, dtype_for
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, Vocabulary

_OFFSET = 4
_EXTRA = 5
_BEFORE = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")
_PAD, _UNK, _BOS, _EOS = 1, 3, 5, 6
_KNOWN_SENTENCE = "le patient est venu pour une douleur"

# Rounding in SentencePiece's training depends on the number of threads: another number, another model.
_TRAINING_THREADS = 16

_PASSAGE_CHARACTERS = 200
_MIN_AGREEMENT = 0.95
"""Of passages, below which the build stops. Equal scores of two segmentations make about 0.2 % of lines differ
(8 of 5,000 measured on one corpus, 0 of 2,611 passages of biomed-raw-fr); a wrong id leaves none equal."""


@dataclass(frozen=True)
class Tokenizer:
    """A checked SentencePiece model with CamemBERT's ids."""

    vocabulary: Vocabulary
    model_bytes: bytes
    """The content of `sentencepiece.bpe.model`."""
    _processor: Any
    _ids: Ids
    """CamemBERT id of each piece: [P]."""

    def encode(self, texts: Sequence[str], num_threads: int = 1) -> list[Ids]:
        """B arrays of ids, without special tokens, `uint16` or `uint32` by the vocabulary's size.

        The arrays are views of one buffer. About 9 MB of text per second and thread.
        Raises `RunError`, without text, when SentencePiece fails.
        """
        if not texts:
            return []
        try:
            pieces = self._processor.encode(list(texts), out_type="numpy", num_threads=num_threads)
        except Exception as error:  # noqa: BLE001 (a binding's message quotes its arguments: the texts)
            raise RunError(
                f"SentencePiece failed on {len(texts)} texts with {num_threads} threads ({type(error).__name__})"
            ) from None
        flat = self._ids[np.concatenate(pieces)]
        assert not np.any(self._is_forbidden[flat]), "a text yielded a special id"
        bounds = np.cumsum([0, *map(len, pieces)]).tolist()
        return [flat[start:end] for start, end in itertools.pairwise(bounds)]

    def decode(self, ids: Ids) -> str:
        """The text of ids that `encode` gave; an unknown character shows as ` ⁇ `."""
        pieces = np.where(ids == _UNK, 0, ids.astype(np.int64) - _OFFSET)
        return str(self._processor.decode(pieces.tolist()))

    def save(self, folder: Path) -> None:
        """Write the folder that `AutoTokenizer.from_pretrained` loads, in transformers 4.57 and 5.x.

        `config.json` describes the tokenizer's side of a CamemBERT alone: a model brings its own sizes.
        """
        files.write_atomic(folder / SENTENCEPIECE_MODEL, self.model_bytes)
        tokenizer_config = {"tokenizer_class": "CamembertTokenizer", "model_max_length": 512}
        files.write_json(folder / "tokenizer_config.json", tokenizer_config)
        ids = {"pad_token_id": _PAD, "bos_token_id": _BOS, "eos_token_id": _EOS, "vocab_size": len(self.vocabulary)}
        sizes = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
        files.write_json(folder / "config.json", {"model_type": "camembert", **ids, **sizes})

    @property
    def _is_forbidden(self) -> Any:
        """[V]: special ids that no text may yield: all but `<unk>`."""
        flags = self.vocabulary.is_special.copy()
        flags[_UNK] = False
        return flags


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a CamemBERT folder, checked.

    Raises `UserError` for a folder that transformers would turn into a tokenizer of `<unk>` in silence:
    the model file is missing or misnamed, no SentencePiece model, or not in CamemBERT's layout.
    """
    model = folder / SENTENCEPIECE_MODEL
    if not folder.is_dir():
        raise UserError(f"tokenizer folder {folder} does not exist; check the path")
    if not model.is_file():
        others = sorted(
            path.name for path in folder.iterdir() if path.suffix == ".model" or path.name == "tokenizer.json"
        )
        found = f"it holds {', '.join(others)}" if others else "it holds no SentencePiece model"
        raise UserError(f"{model} is missing ({found}); the SentencePiece model must have exactly that name")
    tokenizer = _from_bytes(model.read_bytes(), str(model))
    if (folder / "config.json").is_file():
        vocab_size = config.read_json(folder / "config.json").get("vocab_size")
        if vocab_size != len(tokenizer.vocabulary):
            raise UserError(
                f"{folder}: config.json has vocab_size {vocab_size!r}, {SENTENCEPIECE_MODEL} makes "
                f"{len(tokenizer.vocabulary)} (its pieces and five more); the two belong to different models, "
                "take both from one"
            )
    return tokenizer


def train_tokenizer(sentences: Sequence[str], options: TrainTokenizer) -> Tokenizer:
    """A unigram model with `options.vocab_size` ids, trained on clean sentences. Deterministic.

    Raises `UserError` when the sentences do not hold that many pieces.
    """
    model = _ModelFile()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=options.vocab_size - _EXTRA,
            character_coverage=options.character_coverage,
            max_sentence_length=1 << 16,
            num_threads=_TRAINING_THREADS,
            minloglevel=2,  # at 0, its default, it prints sentences that it skips
        )
    except RuntimeError as error:
        raise UserError(_describe(str(error), options)) from None
    return _from_bytes(model.content, "the tokenizer trained on this corpus")


def agree_with_transformers(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, int]:
    """Compare with `AutoTokenizer.from_pretrained(folder)`: the layout, and the ids of passages of `texts`.

    Returns the number of passages (of at most 200 characters, cut between words) and of those with equal ids.
    Raises `RunError` when the layouts differ or fewer than 95 % of the passages are equal (one may always
    differ: segmentations of equal score).
    """
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    size = len(tokenizer.vocabulary)
    special = [theirs.pad_token_id, theirs.unk_token_id, theirs.bos_token_id, theirs.eos_token_id, theirs.mask_token_id]
    same_pieces = theirs.convert_ids_to_tokens(list(range(len(theirs)))) == list(tokenizer.vocabulary.pieces)
    if special != [_PAD, _UNK, _BOS, _EOS, size - 1] or not same_pieces:
        raise RunError(
            f"transformers reads the tokenizer with {len(theirs)} ids and special ids {special}, "
            f"expected {size} ids and CamemBERT's layout; check that sentencepiece and protobuf are installed"
        )
    passages = [passage for text in texts for passage in _passages(text)]
    ours = [ids.tolist() for ids in tokenizer.encode(passages)]
    expected = theirs(passages, add_special_tokens=False, verbose=False)["input_ids"] if passages else []
    num_equal = sum(a == b for a, b in zip(ours, expected, strict=True))
    if num_equal < min(_MIN_AGREEMENT * len(passages), len(passages) - 1):
        raise RunError(
            f"{num_equal} of {len(passages)} passages have the same ids in transformers, expected at least "
            f"{_MIN_AGREEMENT:.0%}; the versions of sentencepiece and transformers do not fit each other"
        )
    return {"passages": len(passages), "equal": num_equal}


class _ModelFile:
    """Takes the trained model from SentencePiece, which wants a file."""

    content = b""

    def write(self, content: bytes) -> None:
        self.content = content


def _from_bytes(model_bytes: bytes, name: str) -> Tokenizer:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model_bytes)
    except RuntimeError:
        raise UserError(f"{name} is not a SentencePiece model; fetch it again") from None
    _check_unigram(model_bytes, name)
    num_pieces = processor.get_piece_size()
    pieces = processor.id_to_piece(list(range(num_pieces)))
    unused = [
        i for i in range(num_pieces) if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
    ]
    if pieces[:3] != ["<unk>", "<s>", "</s>"] or unused[:3] != [0, 1, 2]:
        raise UserError(
            f"{name} is not in CamemBERT's layout (<unk>, <s>, </s>, then the pieces): it begins with "
            f"{', '.join(pieces[:3])}; take the folder of a CamemBERT"
        )
    if 0 in processor.encode(_KNOWN_SENTENCE):
        raise UserError(f"{name} reads plain French as <unk>; take the folder of a French CamemBERT or more text")
    ids = np.arange(num_pieces) + _OFFSET
    ids[0] = _UNK
    vocab_size = num_pieces + _EXTRA
    vocabulary = Vocabulary(
        pieces=(*_BEFORE, *pieces[1:], "<mask>"),
        bos_id=_BOS,
        eos_id=_EOS,
        pad_id=_PAD,
        unk_id=_UNK,
        mask_id=vocab_size - 1,
        special_ids=(*range(_OFFSET), *(i + _OFFSET for i in unused), vocab_size - 1),
    )
    return Tokenizer(vocabulary, model_bytes, processor, ids.astype(dtype_for(vocab_size)))


def _check_unigram(model_bytes: bytes, name: str) -> None:
    """transformers reads a CamemBERT's model as a unigram model, and fails on another after the whole build."""
    spec = sentencepiece_model_pb2.ModelProto.FromString(model_bytes).trainer_spec
    if spec.model_type != spec.UNIGRAM:
        kind = spec.ModelType.Name(spec.model_type)
        raise UserError(f"{name} is a SentencePiece model of type {kind}, not UNIGRAM; take the folder of a CamemBERT")


def _describe(failure: str, options: TrainTokenizer) -> str:
    """The remedy for a failed training; SentencePiece's own message is not passed on."""
    if most := re.search(r"value <= (\d+)", failure):
        return (
            f"tokenizer.train.vocab_size {options.vocab_size} is more than the text gives, "
            f"set it to {int(most[1]) + _EXTRA} or less, or give more text"
        )
    if least := re.search(
        r"vocab(?:ulary)?[ _]size is smaller than required_chars\D*\d+ vs (\d+)", failure, re.IGNORECASE
    ):
        return (
            f"tokenizer.train.vocab_size {options.vocab_size} does not hold the characters of the text, "
            f"set it to {int(least[1]) + _EXTRA} or more"
        )
    return f"the tokenizer cannot be trained with vocab_size {options.vocab_size}; give more text or another vocab_size"


def _passages(text: str) -> list[str]:
    """A text cut between words into passages of at most 200 characters (or one word)."""
    passages: list[str] = []
    for word in text.split():
        if passages and len(passages[-1]) + len(word) < _PASSAGE_CHARACTERS:
            passages[-1] += f" {word}"
        else:
            passages.append(word)
    return passages
