"""SentencePiece's unigram model in the layouts of CamemBERT and XLM-R: trained, checked on load, run on texts.

Both put ids of their own before the pieces, and `<mask>` last:

- CamemBERT: `<s>NOTUSED` 0, `<pad>` 1, `</s>NOTUSED` 2, `<unk>` 3, `<unk>NOTUSED` 4, `<s>` 5, `</s>` 6, then the pieces
  that text yields: SentencePiece's id + 4.
- XLM-R: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the pieces: SentencePiece's id + 1.

SentencePiece's own first three ids are `<unk>`, `<s>` and `</s>`; it emits no control piece.

Shape letters: B texts of a batch, P pieces of the SentencePiece model, V ids: P + 5 or P + 2.
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


@dataclass(frozen=True)
class Layout:
    """Where a model type puts SentencePiece's pieces among its ids."""

    model_type: str
    tokenizer_class: str
    before: tuple[str, ...]
    """The ids before the first piece that text yields, which is SentencePiece's id 3."""
    bos_id: int
    eos_id: int
    pad_id: int = 1
    unk_id: int = 3

    @property
    def offset(self) -> int:
        """What is added to SentencePiece's id."""
        return len(self.before) - _OWN

    def vocab_size(self, num_pieces: int) -> int:
        """V for P pieces."""
        return num_pieces + self.offset + 1


_OWN = 3
CAMEMBERT = Layout(
    model_type="camembert",
    tokenizer_class="CamembertTokenizer",
    before=("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"),
    bos_id=5,
    eos_id=6,
)
XLM_R = Layout(
    model_type="xlm-roberta",
    tokenizer_class="XLMRobertaTokenizer",
    before=("<s>", "<pad>", "</s>", "<unk>"),
    bos_id=0,
    eos_id=2,
)
LAYOUTS = (CAMEMBERT, XLM_R)
_EXTRA = CAMEMBERT.vocab_size(0)

KNOWN_SENTENCE = "le patient est venu pour une douleur"
"""French of which a fit tokenizer knows every character."""

# Rounding in SentencePiece's training depends on the number of threads: another number, another model.
_TRAINING_THREADS = 16


@dataclass(frozen=True)
class SentencePiece:
    """A checked SentencePiece model with the ids of a layout."""

    vocabulary: Vocabulary
    layout: Layout
    model_bytes: bytes
    """The content of `sentencepiece.bpe.model`."""
    _processor: Any
    _ids: Ids
    """The layout's id of each piece: [P]."""

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
        pieces = np.where(ids == self.layout.unk_id, 0, ids.astype(np.int64) - self.layout.offset)
        return str(self._processor.decode(pieces.tolist()))

    def save(self, folder: Path) -> None:
        """Write the folder that `AutoTokenizer.from_pretrained` loads, in transformers 4.57 and 5.x.

        `config.json` describes the tokenizer's side of a model alone: a model brings its own sizes.
        """
        files.write_atomic(folder / SENTENCEPIECE_MODEL, self.model_bytes)
        tokenizer_config = {"tokenizer_class": self.layout.tokenizer_class, "model_max_length": 512}
        files.write_json(folder / "tokenizer_config.json", tokenizer_config)
        ids = {
            "pad_token_id": self.layout.pad_id,
            "bos_token_id": self.layout.bos_id,
            "eos_token_id": self.layout.eos_id,
            "vocab_size": len(self.vocabulary),
        }
        sizes = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
        files.write_json(folder / "config.json", {"model_type": self.layout.model_type, **ids, **sizes})

    @property
    def _is_forbidden(self) -> Any:
        """[V]: special ids that no text may yield: all but `<unk>`."""
        flags = self.vocabulary.is_special.copy()
        flags[self.layout.unk_id] = False
        return flags


def load_unigram(folder: Path) -> SentencePiece:
    """The tokenizer of a folder with `sentencepiece.bpe.model`, checked; the layout is the one of `config.json`'s size.

    Raises `UserError` for a file that transformers would turn into a tokenizer of `<unk>` in silence: no
    SentencePiece model, or in no known layout.
    """
    model = folder / SENTENCEPIECE_MODEL
    model_bytes = model.read_bytes()
    processor = _read(model_bytes, str(model))
    num_pieces = processor.get_piece_size()
    layout = CAMEMBERT
    if (folder / "config.json").is_file():
        # The size, not the type: CamemBERT's pieces serve models of other types too.
        vocab_size = config.read_json(folder / "config.json").get("vocab_size")
        fitting = [known for known in LAYOUTS if known.vocab_size(num_pieces) == vocab_size]
        if not fitting:
            ways = " or ".join(f"{way.vocab_size(num_pieces)} in the layout of {way.model_type}" for way in LAYOUTS)
            raise UserError(
                f"{folder}: config.json has vocab_size {vocab_size!r}, {SENTENCEPIECE_MODEL} makes {ways}; "
                "the two belong to different models, take both from one"
            )
        layout = fitting[0]
    return _tokenizer(processor, model_bytes, layout)


def train_tokenizer(sentences: Sequence[str], options: TrainTokenizer) -> SentencePiece:
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
    name = "the tokenizer trained on this corpus"
    return _tokenizer(_read(model.content, name), model.content, CAMEMBERT)


class _ModelFile:
    """Takes the trained model from SentencePiece, which wants a file."""

    content = b""

    def write(self, content: bytes) -> None:
        self.content = content


def _read(model_bytes: bytes, name: str) -> Any:
    """SentencePiece's processor of a unigram model whose first pieces are `<unk>`, `<s>` and `</s>`."""
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model_bytes)
    except RuntimeError:
        raise UserError(f"{name} is not a SentencePiece model; fetch it again") from None
    _check_unigram(model_bytes, name)
    first = processor.id_to_piece(list(range(min(_OWN, processor.get_piece_size()))))
    if first != ["<unk>", "<s>", "</s>"] or _unused(processor)[:_OWN] != list(range(_OWN)):
        raise UserError(
            f"{name} is not in CamemBERT's layout (<unk>, <s>, </s>, then the pieces): it begins with "
            f"{', '.join(first)}; take the folder of a CamemBERT or an XLM-R"
        )
    if 0 in processor.encode(KNOWN_SENTENCE):
        raise UserError(f"{name} reads plain French as <unk>; take the folder of a French CamemBERT or more text")
    return processor


def _tokenizer(processor: Any, model_bytes: bytes, layout: Layout) -> SentencePiece:
    """The tokenizer of a processor's pieces in a layout."""
    num_pieces = processor.get_piece_size()
    ids = np.arange(num_pieces) + layout.offset
    ids[:_OWN] = layout.unk_id, layout.bos_id, layout.eos_id
    vocab_size = layout.vocab_size(num_pieces)
    vocabulary = Vocabulary(
        pieces=(*layout.before, *processor.id_to_piece(list(range(_OWN, num_pieces))), "<mask>"),
        bos_id=layout.bos_id,
        eos_id=layout.eos_id,
        pad_id=layout.pad_id,
        unk_id=layout.unk_id,
        mask_id=vocab_size - 1,
        special_ids=(
            *range(len(layout.before)),
            *(i + layout.offset for i in _unused(processor)[_OWN:]),
            vocab_size - 1,
        ),
        kind="sentencepiece",
    )
    return SentencePiece(vocabulary, layout, model_bytes, processor, ids.astype(dtype_for(vocab_size)))


def _unused(processor: Any) -> list[int]:
    """SentencePiece's ids that no text yields."""
    return [
        id
        for id in range(processor.get_piece_size())
        if processor.is_control(id) or processor.is_unknown(id) or processor.is_unused(id)
    ]


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
