"""Tiny models and tokenizers of each family as the hub keeps them: the same files, options and names of weights.

The weights are drawn wide (standard deviation 0.2), so that a position, a segment or a head that is not the model's
own shows in the fourth digit, and biases are not zero.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TYPES = ("camembert", "roberta", "xlm-roberta", "bert", "modernbert")

_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_WIDE = {"initializer_range": 0.2, "tie_word_embeddings": True}
_ROBERTA = {
    "architectures": ["RobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 66,
    "output_past": True,
    "position_embedding_type": "absolute",
    "type_vocab_size": 1,
    "use_cache": True,
}

# What stands in the `config.json` of camembert-base, roberta-base, xlm-roberta-base, bert-base-uncased and
# ModernBERT-base, with a tiny shape; ids are those of each layout in a vocabulary of 120.
CONFIGS: dict[str, dict[str, Any]] = {
    "camembert": {**_ROBERTA, "pad_token_id": 1, "bos_token_id": 5, "eos_token_id": 6},
    "roberta": {**_ROBERTA, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "xlm-roberta": {**_ROBERTA, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "bert": {
        **_ROBERTA,
        "architectures": ["BertForMaskedLM"],
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "type_vocab_size": 2,
    },
    "modernbert": {
        "architectures": ["ModernBertForMaskedLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 2,
        "classifier_activation": "gelu",
        "classifier_bias": False,
        "classifier_dropout": 0.0,
        "classifier_pooling": "mean",
        "cls_token_id": 2,
        "decoder_bias": True,
        "deterministic_flash_attn": False,
        "embedding_dropout": 0.0,
        "eos_token_id": 3,
        "global_attn_every_n_layers": 2,
        "global_rope_theta": 160000.0,
        "gradient_checkpointing": False,
        "hidden_activation": "gelu",
        "initializer_cutoff_factor": 2.0,
        "layer_norm_eps": 1e-05,
        "local_attention": 8,
        "local_rope_theta": 10000.0,
        "max_position_embeddings": 64,
        "mlp_bias": False,
        "mlp_dropout": 0.0,
        "norm_bias": False,
        "norm_eps": 1e-05,
        "num_hidden_layers": 4,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "sep_token_id": 3,
        "sparse_pred_ignore_index": -100,
        "sparse_prediction": False,
    },
}


def write_model(model_type: str, folder: Path, vocab_size: int = 120, seed: int = 0, **changes: Any) -> Path:
    """A folder with `config.json` and `model.safetensors` of a type."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForMaskedLM

    folder.mkdir(parents=True, exist_ok=True)
    options = _configure(model_type, folder, vocab_size, **changes)
    torch.manual_seed(seed)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0.0, 0.2)
    weights = model.state_dict()
    for tied in model.all_tied_weights_keys:
        del weights[tied]
    if model_type == "bert":
        weights = _as_published_by_bert(weights)
    elif model_type != "modernbert":
        weights["roberta.embeddings.position_ids"] = torch.arange(options["max_position_embeddings"])[None]
        weights |= _pooler("roberta")
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


def _configure(model_type: str, folder: Path, vocab_size: int, **changes: Any) -> dict[str, Any]:
    """Write `config.json`; its options."""
    options = {**_TINY, **_WIDE, **CONFIGS[model_type], "model_type": model_type, "vocab_size": vocab_size, **changes}
    (folder / "config.json").write_text(json.dumps(options))
    return options


def _as_published_by_bert(weights: dict[str, Any]) -> dict[str, Any]:
    """BERT's own names, from before `LayerNorm.weight`, with the head of its other task."""
    import torch

    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        weights = {key.replace(new, name): value for key, value in weights.items()}
    task = {"cls.seq_relationship.weight": torch.randn(2, 32), "cls.seq_relationship.bias": torch.randn(2)}
    return weights | _pooler("bert") | task


def _pooler(prefix: str) -> dict[str, Any]:
    import torch

    return {f"{prefix}.pooler.dense.weight": torch.randn(32, 32), f"{prefix}.pooler.dense.bias": torch.randn(32)}


Made = tuple[Tokenizer, dict[str, Any], dict[str, bytes]]
"""A tokenizer, its `tokenizer_config.json` and other files by name."""

# Each with the special tokens in the order of their ids, as the published tokenizer has them.
SPECIAL = {
    "roberta": ["<s>", "<pad>", "</s>", "<unk>"],
    "xlm-roberta": ["<s>", "<pad>", "</s>", "<unk>"],
    "bert": ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "modernbert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
}


def write_tokenizer(model_type: str, folder: Path, texts: Sequence[str], vocab_size: int = 400) -> Path:
    """A folder without weights, its tokenizer trained on texts; not CamemBERT's, which `prepare` trains."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = {"bert": _bert, "roberta": _roberta, "xlm-roberta": _xlm_roberta, "modernbert": _modernbert}
    tokenizer, options, others = makers[model_type](list(texts), vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in others.items():
        (folder / name).write_bytes(content)
    _configure(model_type, folder, tokenizer.get_vocab_size())
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    if model_type == "modernbert":
        names = {name: value for name, value in options.items() if name.endswith("_token")}
        whole = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        (folder / "special_tokens_map.json").write_text(
            json.dumps({name: {"content": value, **whole} for name, value in names.items()})
        )
    return folder


def _bert(texts: list[str], vocab_size: int) -> Made:
    """As bert-base-uncased: its options name neither the class nor one special token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    special = SPECIAL["bert"]
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    )
    tokenizer = _without_added(tokenizer, [token for token in special if token.startswith("[unused")])
    tokenizer.post_processor = _template(tokenizer, "[CLS]", "[SEP]")
    return tokenizer, {"do_lower_case": True, "model_max_length": 512}, {}


def _roberta(texts: list[str], vocab_size: int) -> Made:
    """As roberta-base: `<mask>` is the last id and takes the space before it."""
    tokenizer = _byte_level(texts, vocab_size - 1, SPECIAL["roberta"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer, {"model_max_length": 512}, {}


def _modernbert(texts: list[str], vocab_size: int) -> Made:
    """As ModernBERT-base: NFC, no class of its own, every special token named; runs of spaces are ordinary tokens."""
    tokenizer = _byte_level(texts, vocab_size - 1, SPECIAL["modernbert"])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken("  ", normalized=True)])
    tokenizer.post_processor = _template(tokenizer, "[CLS]", "[SEP]")
    names = {f"{name.lower()[1:-1]}_token": name for name in SPECIAL["modernbert"]}
    return tokenizer, {**names, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192}, {}


def _xlm_roberta(texts: list[str], vocab_size: int) -> Made:
    """As xlm-roberta-base: SentencePiece's pieces and its own table of characters, `<mask>` the last id."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=vocab_size - 2, hard_vocab_limit=False,
        minloglevel=2, num_threads=1,
    )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[3:]]
    special = [(token, 0.0) for token in SPECIAL["xlm-roberta"]]
    tokenizer = Tokenizer(models.Unigram([*special, *pieces, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(SPECIAL["xlm-roberta"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = _template(tokenizer, "<s>", "</s>")
    return tokenizer, {"model_max_length": 512}, {"sentencepiece.bpe.model": model.getvalue()}


def _byte_level(texts: list[str], vocab_size: int, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def _template(tokenizer: Tokenizer, bos: str, eos: str) -> Any:
    ids = [(name, tokenizer.token_to_id(name)) for name in (bos, eos)]
    return processors.TemplateProcessing(
        single=f"{bos} $A {eos}", pair=f"{bos} $A {eos} $B:1 {eos}:1", special_tokens=ids
    )


def _without_added(tokenizer: Tokenizer, pieces: list[str]) -> Tokenizer:
    """The tokenizer with pieces that stand in its vocabulary alone, as BERT's unused ones do."""
    values = json.loads(tokenizer.to_str())
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] not in pieces]
    return Tokenizer.from_str(json.dumps(values))
