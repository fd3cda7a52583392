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
from camembert_bio.model import encoder
from camembert_bio.shards.manifest import Corpus
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, TOKENIZER_JSON, Vocabulary, tokenizer_file

_OWN = 3
"""SentencePiece's ids before the pieces that text yields."""


def check_tokenizer(folder: Path, corpus: Corpus) -> None:
    """Refuse a model folder whose tokenizer has other pieces than the corpus', in the order of ids.

    Reads the file that the corpus was built with if the folder has it, else the pieces of `tokenizer.json`. Raises
    `UserError` when the pieces differ, or when neither file says which they are.
    """
    ours = corpus.vocabulary
    same = folder / tokenizer_file(ours.kind)
    if same.is_file() and files.sha256_file(same) == corpus.manifest.tokenizer_sha256:
        return
    theirs: Sequence[str | None]
    if same.name == SENTENCEPIECE_MODEL and same.is_file():
        theirs = _with_layout(_sentencepiece_pieces(same), ours)
    elif (folder / TOKENIZER_JSON).is_file():
        theirs = _json_pieces(folder / TOKENIZER_JSON)
    else:
        names = " and no ".join(dict.fromkeys((same.name, TOKENIZER_JSON)))
        raise UserError(
            f"model.path {folder} has no {names}: whether the corpus {corpus.place} was built with its tokenizer "
            "cannot be told; copy the tokenizer that the model was trained with into it"
        )
    different = [id for id, (a, b) in enumerate(zip_longest(theirs, ours.pieces)) if (a or "") != b]
    if different:
        raise UserError(
            f"the tokenizer of model.path {folder} ({len(theirs)} ids) is not that of the corpus {corpus.place} "
            f"({len(ours)} ids, {ours.kind}): {len(different)} ids differ, the first is {different[0]}; "
            f"prepare the corpus with tokenizer.path = {folder}"
        )


def check_new_weights(corpus: Corpus) -> None:
    """Refuse new weights, which are a CamemBERT's, for a corpus that was not built with SentencePiece in its layout.

    Raises `UserError`.
    """
    ours = corpus.vocabulary
    if ours.kind != "sentencepiece" or (ours.bos_id, ours.eos_id, ours.pad_id) != encoder.CAMEMBERT_IDS:
        raise UserError(
            f"model.config makes a CamemBERT; the corpus {corpus.folder} was built with the tokenizer of another type "
            f"({ours.kind}, {ours.pieces[ours.bos_id]} is {ours.bos_id}); give model.path, the folder of its model"
        )


def _with_layout(pieces: Sequence[str], ours: Vocabulary) -> Sequence[str]:
    """SentencePiece's pieces by the ids of our layout, whose ids around them are the same for every model of it."""
    num_before = 1 + max(ours.bos_id, ours.eos_id, ours.pad_id, ours.unk_id)
    return [*ours.pieces[:num_before], *pieces[_OWN:], ours.pieces[-1]]


def _sentencepiece_pieces(path: Path) -> list[str]:
    """The pieces of a SentencePiece model by its own ids."""
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(path.read_bytes())
    except RuntimeError:
        raise UserError(f"{path} is not a SentencePiece model; fetch it again") from None
    return [processor.id_to_piece(id) for id in range(processor.get_piece_size())]


def _json_pieces(path: Path) -> Sequence[str | None]:
    """The pieces of a `tokenizer.json` by id, its added tokens among them."""
    values = config.read_json(path)
    try:
        vocabulary = values["model"]["vocab"]
        if isinstance(vocabulary, dict):
            pieces = {int(id): piece for piece, id in vocabulary.items()}
        else:
            pieces = {id: piece for id, (piece, _) in enumerate(vocabulary)}
        pieces |= {token["id"]: token["content"] for token in values.get("added_tokens", [])}
        return [pieces.get(id) for id in range(max(pieces, default=-1) + 1)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a tokenizer of transformers; fetch it again") from error
