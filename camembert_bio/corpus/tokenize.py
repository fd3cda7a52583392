"""The tokenizer of a corpus, whatever its kind: loaded from a folder, and compared with transformers' reading of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from camembert_bio import files
from camembert_bio.corpus.tokenizer_json import BESIDE, load_tokenizer_json
from camembert_bio.corpus.unigram import KNOWN_SENTENCE, load_unigram
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.format import Ids
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, TOKENIZER_JSON, Vocabulary

_PASSAGE_CHARACTERS = 200
_MIN_AGREEMENT = 0.95
"""Of passages, below which the build stops. Equal scores of two segmentations make about 0.2 % of lines differ
(8 of 5,000 measured on one corpus, 0 of 2,611 passages of biomed-raw-fr); a wrong id leaves none equal."""


class Tokenizer(Protocol):
    """What turns texts into ids."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The pieces by id."""

    def encode(self, texts: Sequence[str], num_threads: int = 1) -> list[Ids]:
        """An array of ids for each text, without special tokens, `uint16` or `uint32` by the vocabulary's size."""

    def decode(self, ids: Ids) -> str:
        """The text of ids that `encode` gave, as far as the tokenizer keeps it."""

    def save(self, folder: Path) -> None:
        """Write the folder that `AutoTokenizer.from_pretrained` loads."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a transformers folder, checked: of `sentencepiece.bpe.model` if it has one, the faster, else of
    `tokenizer.json`.

    Raises `UserError` for a folder without either, and for one that transformers would read as `<unk>` in silence.
    """
    if not folder.is_dir():
        raise UserError(f"tokenizer folder {folder} does not exist; check the path")
    if (folder / SENTENCEPIECE_MODEL).is_file():
        return load_unigram(folder)
    if not (folder / TOKENIZER_JSON).is_file():
        others = sorted(path.name for path in folder.iterdir() if path.suffix == ".model" or path.stem == "vocab")
        found = f"it holds {', '.join(others)}" if others else "it holds no tokenizer"
        raise UserError(
            f"{folder} has neither {SENTENCEPIECE_MODEL} nor {TOKENIZER_JSON} ({found}); a SentencePiece model must "
            "have exactly that name; AutoTokenizer.from_pretrained(folder).save_pretrained(folder) makes the latter of "
            "other files"
        )
    tokenizer = load_tokenizer_json(folder)
    (known,) = tokenizer.encode([KNOWN_SENTENCE])
    if tokenizer.vocabulary.unk_id in known:
        raise UserError(f"{folder / TOKENIZER_JSON} reads plain French as unknown; take the folder of another model")
    return tokenizer


def tokenizer_fingerprint(folder: Path) -> str | None:
    """The hash of the files that `load_tokenizer` reads; None when there are none."""
    if (folder / SENTENCEPIECE_MODEL).is_file():
        return files.sha256_file(folder / SENTENCEPIECE_MODEL)
    present = [name for name in (TOKENIZER_JSON, *BESIDE) if (folder / name).is_file()]
    return files.sha256_json({name: files.sha256_file(folder / name) for name in present}) if present else None


def agree_with_transformers(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, int]:
    """Compare with `AutoTokenizer.from_pretrained(folder)`: the layout, and the ids of passages of `texts`.

    Returns the number of passages (of at most 200 characters, cut between words) and of those with equal ids.
    Raises `RunError` when the layouts differ or fewer than 95 % of the passages are equal (one may always
    differ: segmentations of equal score).
    """
    from transformers import AutoTokenizer

    try:
        theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"transformers cannot load the tokenizer of {folder} ({reason}); fetch it again") from error
    ours = tokenizer.vocabulary
    special = [theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id]
    expected = [ours.pad_id, ours.unk_id, ours.bos_id, ours.eos_id, ours.mask_id]
    pieces = theirs.convert_ids_to_tokens(list(range(max(len(theirs), len(ours)))))
    if special != expected or [piece or "" for piece in pieces] != list(ours.pieces):
        raise RunError(
            f"transformers reads the tokenizer with {len(theirs)} ids and special ids {special}, "
            f"expected {len(ours)} ids and {expected}; check that sentencepiece and protobuf are installed, and that "
            "the folder's files belong together"
        )
    passages = [passage for text in texts for passage in _passages(text)]
    found = [ids.tolist() for ids in tokenizer.encode(passages)]
    # Special tokens split: in a corpus that speaks of SEP, every fourth passage may have its literal.
    read = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    wanted = theirs(passages, **read)["input_ids"] if passages else []
    num_equal = sum(a == b for a, b in zip(found, wanted, strict=True))
    if num_equal < min(_MIN_AGREEMENT * len(passages), len(passages) - 1):
        raise RunError(
            f"{num_equal} of {len(passages)} passages have the same ids in transformers, expected at least "
            f"{_MIN_AGREEMENT:.0%}; the tokenizer's files do not fit each other or the versions of sentencepiece and "
            "transformers; AutoTokenizer.from_pretrained(folder).save_pretrained(folder) makes the files anew"
        )
    return {"passages": len(passages), "equal": num_equal}


def _passages(text: str) -> list[str]:
    """A text cut between words into passages of at most 200 characters (or one word)."""
    passages: list[str] = []
    for word in text.split():
        if passages and len(passages[-1]) + len(word) < _PASSAGE_CHARACTERS:
            passages[-1] += f" {word}"
        else:
            passages.append(word)
    return passages
