from __future__ import annotations

from typing import Any

import pytest

from camembert_bio.model.encoder import build_encoder

OPTIONS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "bos_token_id": 5,
    "eos_token_id": 6,
}


@pytest.fixture
def encoder() -> Any:
    """A tiny encoder of 120 ids in evaluation mode; read only its outputs."""
    return build_encoder(OPTIONS, vocab_size=120, seed=1).eval()
