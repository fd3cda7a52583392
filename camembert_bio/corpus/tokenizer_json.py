"""Tokenizers of a `tokenizer.json`: WordPiece, byte-level BPE and others, run by the library `tokenizers`.

Special tokens are never read in a text: `[SEP]`, which French doctors write for multiple sclerosis, is three pieces.

Shape letters: B texts of a batch, V ids.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camembert_bio import config, files
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.format import Ids, dtype_for
from camembert_bio.shards.vocabulary import SPACE, TOKENIZER_JSON, Kind, Mask, Vocabulary

BESIDE = ("tokenizer_config.json", "special_tokens_map.json")
"""The files beside it that name its special tokens."""

# What of a model's configuration decides which class of transformers reads its tokenizer.
_CONFIG = ("model_type", "model_name", "tokenizer_class")

# Under the names that BERT's and RoBERTa's kin have them, for many folders leave them to transformers' classes.
_USUAL = {"pad_token": ("[PAD]", "<pad>"), "unk_token": ("[UNK]", "<unk>"), "mask_token": ("[MASK]", "<mask>")}

# BERT keeps rows free for tokens to come; its own splitting never yields them.
_UNUSED = re.compile(r"\[unused\d+\]")

# Characters of a call. One takes about 100 bytes until the ids are taken over: a text of 20 million 2 GB.
_BATCH_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class JsonTokenizer:
    """A checked `tokenizer.json` with what stands beside it."""

    vocabulary: Vocabulary
    _contents: Mapping[str, bytes]
    """The files of its folder, by name."""
    _tokenizer: Any
    _forbidden: Mask
    """[V]: special ids that no text may yield: all but `unk_id`."""

    def encode(self, texts: Sequence[str], num_threads: int = 1) -> list[Ids]:
        """B arrays of ids, without special tokens, `uint16` or `uint32` by the vocabulary's size.

        A piece that is spelt like a special token becomes `unk_id`. About 1.6 MB of text per second; `num_threads` is
        without effect, for `prepare` runs as many processes. Raises `RunError`, without text, when the library fails.
        """
        cut = [list(_parts(text)) if self.vocabulary.marks_words else [text] for text in texts]
        ids = self._encode(list(itertools.chain.from_iterable(cut)))
        return [np.concatenate(list(itertools.islice(ids, len(parts)))) for parts in cut]

    def _encode(self, texts: Sequence[str]) -> Iterator[Ids]:
        """The ids of one text after the other."""
        dtype = dtype_for(len(self.vocabulary))
        for batch in _batches(texts):
            try:
                encodings = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            except Exception as error:  # noqa: BLE001 (a binding's message may quote its arguments: the texts)
                raise RunError(f"tokenizers failed on {len(batch)} texts ({type(error).__name__})") from None
            for encoding in encodings:
                ids = np.array(encoding.ids, dtype=dtype)
                yield np.where(self._forbidden[ids], dtype.type(self.vocabulary.unk_id), ids)

    def decode(self, ids: Ids) -> str:
        """The text of ids that `encode` gave, as far as the tokenizer keeps it."""
        return str(self._tokenizer.decode(ids.tolist(), skip_special_tokens=False))

    def save(self, folder: Path) -> None:
        """Write the files by which `AutoTokenizer.from_pretrained` loads it, as they were given."""
        for name, content in self._contents.items():
            files.write_atomic(folder / name, content)


def load_tokenizer_json(folder: Path) -> JsonTokenizer:
    """The tokenizer of a folder with `tokenizer.json`, checked.

    Raises `UserError` for one that cannot be read, draws pieces at random, lacks a special token, or does not put one
    special token before a text and one behind it.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_JSON
    values = config.read_json(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        if values["model"].get("dropout"):
            raise UserError(f"{path} drops merges at random (dropout); set its dropout to null")
        kind = _kind(values)
        special = {token["id"] for token in values.get("added_tokens", []) if token["special"]}
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 (the library raises plain exceptions)
        raise UserError(f"{path} is not a tokenizer of transformers ({type(error).__name__}); fetch it again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    around = tokenizer.encode("").ids
    if len(around) != 2 or around[0] == around[1]:
        raise UserError(
            f"{path} puts {len(around)} special tokens around a text, a segment has one before and another behind; "
            "give the tokenizer of a BERT, a RoBERTa or their kin"
        )
    tokenizer.encode_special_tokens = True
    vocabulary = _vocabulary(tokenizer, kind, special, around, _named(folder, tokenizer))
    forbidden = vocabulary.is_special.copy()
    forbidden[vocabulary.unk_id] = False
    return JsonTokenizer(vocabulary, _contents(folder), tokenizer, forbidden)


def _vocabulary(
    tokenizer: Any, kind: Kind, special: set[int], around: Sequence[int], named: Mapping[str, int]
) -> Vocabulary:
    """Every piece by id, an empty one where no piece has the id."""
    by_id = {id: piece for piece, id in tokenizer.get_vocab(with_added_tokens=True).items()}
    pieces = tuple(by_id.get(id, "") for id in range(max(by_id) + 1))
    special |= {*around, *named.values(), *(id for id, piece in enumerate(pieces) if not piece)}
    if kind == "wordpiece":
        special |= {id for id, piece in enumerate(pieces) if _UNUSED.fullmatch(piece)}
    return Vocabulary(
        pieces=pieces,
        bos_id=around[0],
        eos_id=around[1],
        pad_id=named["pad_token"],
        unk_id=named["unk_token"],
        mask_id=named["mask_token"],
        special_ids=tuple(sorted(special)),
        kind=kind,
    )


def _contents(folder: Path) -> dict[str, bytes]:
    """The files that `AutoTokenizer` reads, by name; of `config.json` what it needs of a model's."""
    contents = {name: (folder / name).read_bytes() for name in (TOKENIZER_JSON, *BESIDE) if (folder / name).is_file()}
    if (folder / "config.json").is_file():
        values = config.read_json(folder / "config.json")
        contents["config.json"] = json.dumps({name: values[name] for name in _CONFIG if name in values}).encode()
    return contents


def _kind(values: Mapping[str, Any]) -> Kind:
    """How the pieces of a `tokenizer.json` show where a word begins."""
    model, splitting = values["model"], list(_steps(values.get("pre_tokenizer"), "pretokenizers"))
    if model["type"] == "WordPiece" and model["continuing_subword_prefix"] == "##":
        return "wordpiece"
    if model["type"] == "BPE" and any(step["type"] == "ByteLevel" for step in splitting):
        return "byte-level"
    if model["type"] in ("BPE", "Unigram") and any(
        step["type"] == "Metaspace" and step["replacement"] == SPACE for step in splitting
    ):
        return "metaspace"
    return "other"


def _steps(part: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """A part of a `tokenizer.json`, or each of its sequence."""
    if part is not None and part["type"] == "Sequence":
        for inner in part[name]:
            yield from _steps(inner, name)
    elif part is not None:
        yield part


def _named(folder: Path, tokenizer: Any) -> dict[str, int]:
    """The ids of the special tokens that the folder names, or that have the usual name."""
    told: dict[str, Any] = {}
    for file in reversed(BESIDE):
        if (folder / file).is_file():
            told |= config.read_json(folder / file)
    found = {}
    for name, usual in _USUAL.items():
        token = told.get(name)
        content = token.get("content") if isinstance(token, dict) else token
        ids = [tokenizer.token_to_id(piece) for piece in ([content] if isinstance(content, str) else usual)]
        known = [id for id in ids if id is not None]
        if not known:
            raise UserError(
                f"{folder} has no {name}: neither {' nor '.join(BESIDE)} names one of {TOKENIZER_JSON}; "
                "give the tokenizer of a masked language model"
            )
        found[name] = known[0]
    return found


def _parts(text: str) -> Iterator[str]:
    """A clean text in parts of at most `_BATCH_CHARACTERS`, or one word, each but the first beginning with a space.

    Every kind that marks words begins a new piece there, so that the parts have the ids of the whole.
    """
    start = 0
    while len(text) - start > _BATCH_CHARACTERS:
        end = text.rfind(" ", start + 1, start + _BATCH_CHARACTERS + 1)
        if end < 0:
            end = text.find(" ", start + _BATCH_CHARACTERS)
        if end < 0:
            break
        yield text[start:end]
        start = end
    yield text[start:]


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in batches of at most `_BATCH_CHARACTERS`, or one text."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
