"""Whether a model folder's tokenizer is the one that a corpus was built with.

An equal number of ids says little: two tokenizers of one size give the same ids to other pieces, and
the model would train on noise without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import sentencepiece

from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import Corpus
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

FAST = "tokenizer.json"

_NUM_BEFORE = 5
"""Ids of CamemBERT's layout before the pieces, with SentencePiece's own unknown (its id 0) the last of them."""


def check_tokenizer(folder: Path, corpus: Corpus) -> None:
    """Refuse a model folder whose tokenizer has other pieces than the corpus', in the order of ids.

    Reads `sentencepiece.bpe.model`, or without it the Unigram vocabulary of `tokenizer.json`. Raises
    `UserError` when the pieces differ, or when neither file says which they are.
    """
    ours = corpus.vocabulary.pieces
    if (folder / SENTENCEPIECE_MODEL).is_file():
        if files.sha256_file(folder / SENTENCEPIECE_MODEL) == corpus.manifest.tokenizer_sha256:
            return
        # The ids around the pieces are the layout's, the same for every SentencePiece model.
        theirs: Sequence[str | None] = [
            *ours[:_NUM_BEFORE],
            *_sentencepiece_pieces(folder / SENTENCEPIECE_MODEL)[1:],
            ours[-1],
        ]
    elif (folder / FAST).is_file():
        theirs = _fast_pieces(folder / FAST)
    else:
        raise UserError(
            f"model.path {folder} has neither {SENTENCEPIECE_MODEL} nor {FAST}: whether the corpus {corpus.folder} was "
            "built with its tokenizer cannot be told; copy the tokenizer that the model was trained with into it"
        )
    different = [id for id, (a, b) in enumerate(zip_longest(theirs, ours)) if a != b]
    if different:
        raise UserError(
            f"the tokenizer of model.path {folder} ({len(theirs)} ids) is not that of the corpus {corpus.folder} "
            f"({len(ours)} ids): {len(different)} ids differ, the first is {different[0]}; "
            f"prepare the corpus with tokenizer.path = {folder}"
        )


def _sentencepiece_pieces(path: Path) -> list[str]:
    """The pieces of a SentencePiece model by its own ids."""
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(path.read_bytes())
    except RuntimeError:
        raise UserError(f"{path} is not a SentencePiece model; fetch it again") from None
    return [processor.id_to_piece(id) for id in range(processor.get_piece_size())]


def _fast_pieces(path: Path) -> Sequence[str | None]:
    """The pieces of a `tokenizer.json` by id, its added tokens among them."""
    values = config.read_json(path)
    try:
        if values["model"]["type"] != "Unigram":
            raise UserError(
                f"{path} holds a {values['model']['type']} tokenizer, corpora are built with SentencePiece's Unigram; "
                "give the folder of a CamemBERT"
            )
        pieces = {id: piece for id, (piece, _) in enumerate(values["model"]["vocab"])}
        pieces |= {token["id"]: token["content"] for token in values.get("added_tokens", [])}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a tokenizer of transformers; fetch it again") from error
    return [pieces.get(id) for id in range(max(pieces, default=-1) + 1)]
