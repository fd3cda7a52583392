"""Tiny models of each family as the hub keeps them: the same files, options and names of weights.

The weights are drawn wide (standard deviation 0.2), so that a position, a segment or a head that is not the model's
own shows in the fourth digit, and biases are not zero.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

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
    from transformers import AutoConfig, AutoModelForMaskedLM

    folder.mkdir(parents=True, exist_ok=True)
    options = {**_TINY, **_WIDE, **CONFIGS[model_type], "model_type": model_type, "vocab_size": vocab_size, **changes}
    (folder / "config.json").write_text(json.dumps(options))
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


def _as_published_by_bert(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BERT's own names, from before `LayerNorm.weight`, with the head of its other task."""
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        weights = {key.replace(new, name): value for key, value in weights.items()}
    task = {"cls.seq_relationship.weight": torch.randn(2, 32), "cls.seq_relationship.bias": torch.randn(2)}
    return weights | _pooler("bert") | task


def _pooler(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}.pooler.dense.weight": torch.randn(32, 32), f"{prefix}.pooler.dense.bias": torch.randn(32)}
