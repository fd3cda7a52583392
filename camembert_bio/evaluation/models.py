"""Model folders under evaluation: their identity, their tokenizer, a fresh tagger of their weights.

Everything is read from the folder; nothing asks the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from sentencepiece import SentencePieceProcessor
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.align import lone_space_id
from camembert_bio.evaluation.documents import Text
from camembert_bio.model.encoder import num_positions, quiet_transformers
from camembert_bio.model.families import FAMILIES
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

_VOCABULARIES = (SENTENCEPIECE_MODEL, "tokenizer.json", "vocab.json")
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_TOKENIZER_FILES = (*_VOCABULARIES, "merges.txt", *_TOKENIZER_SETTINGS)

# Heads of masked language models; the poolers that are published with some, and BERT's other head, no tagger uses.
_UNUSED_WEIGHTS = ("lm_head.", "roberta.pooler.", "cls.", "bert.pooler.", "decoder.")
_NEW_WEIGHTS = ("classifier.", "roberta.pooler.", "bert.pooler.")
_OUTPUT_BIASES = ("classifier.out_proj.bias", "classifier.bias")

HeadKind = Literal["tokens", "texts", "choices"]
"""What a head gives logits for: each token, a text (or a pair), a choice."""
_HEADS: dict[HeadKind, Any] = {
    "tokens": AutoModelForTokenClassification,
    "texts": AutoModelForSequenceClassification,
    "choices": AutoModelForMultipleChoice,
}

_MAX_UNKNOWN = 0.5
_REASON = 200
"""Characters of what transformers says that a message repeats; no document is read while a model is loaded."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder that was opened and checked, and the hashes that name its content."""

    name: str
    path: Path
    tokenizer: Any
    """The folder's fast tokenizer."""
    weights_sha256: str
    """Of the weights and `config.json`."""
    tokenizer_sha256: str


def open_model(name: str, folder: str, seq_length: int) -> ModelFolder:
    """Open a model folder and check all that can be checked before a run.

    Raises `UserError` on a file that is missing, a tokenizer or weights that do not load, ids or
    positions that the embeddings do not have.
    """
    quiet_transformers()
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise UserError(f"model {name}: {path} has no config.json; give a transformers model folder")
    model_type = config.read_json(path / "config.json").get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UserError(f"model {name}: {path} is a {model_type!r}; give one of {', '.join(FAMILIES)}")
    with _loading(name, f"{path / 'config.json'} is refused"):
        AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise UserError(f"model {name}: {path} has no .safetensors weights; save the model with save_pretrained")
    tokenizer_files = [path / file for file in _TOKENIZER_FILES if (path / file).is_file()]
    model = ModelFolder(
        name,
        path,
        load_tokenizer(name, path),
        _sha256_of([path / "config.json", *weights]),
        _sha256_of(tokenizer_files),
    )
    with torch.random.fork_rng(devices=[]):
        tagger = load_tagger(model, ["O"], seed=0)
    _check_fits(model, tagger.config, seq_length)
    return model


def load_tokenizer(name: str, path: Path) -> Any:
    """The fast tokenizer of a folder. Raises `UserError`, which calls it model `name`, when there is none."""
    if not any((path / file).is_file() for file in _VOCABULARIES):
        raise UserError(
            f"model {name}: {path} has no tokenizer (none of {', '.join(_VOCABULARIES)}); "
            "copy the files of the tokenizer that the model was trained with"
        )
    if (pieces := path / SENTENCEPIECE_MODEL).is_file():
        _check_sentencepiece(name, pieces)
    for file in _TOKENIZER_SETTINGS:
        if (path / file).is_file():
            config.read_json(path / file)
    found = ", ".join(file for file in _TOKENIZER_FILES if (path / file).is_file())
    with _loading(name, f"the tokenizer of {path} cannot be loaded from {found}"):
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        tokenizer("a")
    if not tokenizer.is_fast:
        raise UserError(f"model {name}: the tokenizer of {path} gives no offsets; save a fast one")
    return tokenizer


@contextmanager
def _loading(name: str, fact: str) -> Iterator[None]:
    """`UserError` for whatever the block raises: what a folder's files make transformers raise has no end."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:_REASON]
        raise UserError(
            f"model {name}: {fact} ({type(error).__name__}: {reason}); restore the file, or give another folder"
        ) from error


def _check_sentencepiece(name: str, path: Path) -> None:
    """Raise `UserError` for a file that is cut or no SentencePiece model, which transformers takes for tiktoken's."""
    data = path.read_bytes()
    try:
        SentencePieceProcessor(model_proto=data)
    except RuntimeError:
        data = b""
    if not data:
        raise UserError(f"model {name}: {path} is not a SentencePiece model, or is cut; fetch it again")


def check_tokenizer(model: ModelFolder, task: str, documents: Iterable[Text]) -> None:
    """Raise `UserError` when most sub-words of a task's texts are `<unk>`.

    That is what transformers makes of a SentencePiece file under another name than
    `sentencepiece.bpe.model`: eight tokens and no error.
    """
    tokenizer = model.tokenizer
    texts = [document.text for document in documents]
    ids = [token for row in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] for token in row]
    # A lone space stands before each word that begins with an unknown character: it says nothing.
    num_pieces = len(ids) - ids.count(lone_space_id(tokenizer))
    unknown = ids.count(tokenizer.unk_token_id) / max(num_pieces, 1)
    if unknown > _MAX_UNKNOWN:
        raise UserError(
            f"model {model.name}: its tokenizer reads {unknown:.0%} of the sub-words of task {task} as "
            f"{tokenizer.unk_token} ({len(tokenizer)} tokens in all); check the tokenizer files of {model.path}"
        )


def load_tagger(model: ModelFolder, tags: list[str], seed: int) -> Any:
    """A token classifier, one output a tag, as `load_headed` loads it."""
    return load_headed(model, "tokens", seed, tags)


def load_headed(
    model: ModelFolder,
    kind: HeadKind,
    seed: int,
    labels: Sequence[str],
    problem_type: str | None = None,
    bias: float = 0.0,
) -> Any:
    """An fp32 model: the folder's encoder under transformers' own new head of a kind, one output a label.

    The head's weights are normal with the configuration's `initializer_range`, drawn from `seed`; biases are 0, the
    outputs' `bias`. transformers draws from torch's own generator too while it loads.
    Raises `UserError` when the encoder's weights are not all there, or others are.
    """
    with _loading(model.name, f"{model.path / 'config.json'} and the weights beside it cannot be loaded"):
        headed, report = _HEADS[kind].from_pretrained(
            model.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type=problem_type,
            return_dict=True,
            ignore_mismatched_sizes=True,  # the report has them, and transformers' error names none
            output_loading_info=True,
        )
    _check_weights(model, report)
    with _loading(model.name, f"{model.path / 'config.json'} gives no head"):
        _draw_head(headed, report["missing_keys"], seed, bias)
    return headed


def _draw_head(headed: Any, names: Iterable[str], seed: int, bias: float) -> None:
    """Draw the parameters that no file gives."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(headed.named_parameters())
    with torch.no_grad():
        for name in sorted(names, reverse=True):  # weights before biases
            if name.endswith("weight"):
                parameters[name].normal_(0.0, headed.config.initializer_range, generator=generator)
            else:
                parameters[name].fill_(bias if name in _OUTPUT_BIASES else 0.0)


def _check_fits(model: ModelFolder, model_config: Any, seq_length: int) -> None:
    padding = model_config.pad_token_id
    if padding is None or not 0 <= padding < model_config.vocab_size:
        raise UserError(
            f"model {model.name}: {model.path / 'config.json'} has pad_token_id {padding!r}, which is none of its "
            f"{model_config.vocab_size} ids; give that of the tokenizer's padding"
        )
    if len(model.tokenizer) > model_config.vocab_size:
        raise UserError(
            f"model {model.name}: its tokenizer has {len(model.tokenizer)} ids, its embeddings "
            f"{model_config.vocab_size}; use the tokenizer that the model was trained with"
        )
    positions = num_positions(model_config)
    if seq_length > positions:
        raise UserError(
            f"model {model.name}: seq_length {seq_length} is over its {positions} positions; use at most {positions}"
        )


def _check_weights(model: ModelFolder, report: dict[str, Any]) -> None:
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(_NEW_WEIGHTS))
    unexpected = sorted(key for key in report["unexpected_keys"] if not key.startswith(_UNUSED_WEIGHTS))
    mismatched = sorted(key for key, *_ in report["mismatched_keys"])
    for keys, fact in (
        (missing, "lacks weights of its encoder"),
        (unexpected, "has weights that no model of its type has"),
        (mismatched, "has weights of other shapes than its config.json says"),
    ):
        if keys:
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            raise UserError(
                f"model {model.name}: {model.path} {fact} ({len(keys)}: {shown}); give a folder that "
                "AutoModelForMaskedLM saved"
            )


def _sha256_of(paths: list[Path]) -> str:
    lines = [f"{path.name} {files.sha256_file(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
