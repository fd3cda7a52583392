import re

import pytest
import torch

from camembert_bio.errors import UserError
from camembert_bio.model.encoder import (
    build_encoder,
    check_encoder,
    load_encoder,
    rebuild_encoder,
)

from .conftest import OPTIONS


def test_new_weights_are_a_function_of_the_seed(encoder):
    torch.manual_seed(99)
    again = build_encoder(OPTIONS, vocab_size=120, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in encoder.state_dict().items())
    other = build_encoder(OPTIONS, vocab_size=120, seed=2)
    assert not torch.equal(other.get_input_embeddings().weight, encoder.get_input_embeddings().weight)


def test_a_saved_encoder_loads_with_the_same_weights(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.dtype == torch.float32
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())
    check_encoder(loaded, seq_length=64, vocab_size=120)
    rebuilt = rebuild_encoder(tmp_path / "config.json")
    assert rebuilt.state_dict().keys() == weights.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, r"model\.config is refused by transformers \(ValueError"),
        ({"hidden_size": "wide"}, r"model\.config is refused by transformers .*hidden_size"),
        ({"num_attention_heads": 0}, r"model\.config is refused by transformers \(ZeroDivisionError"),
        ({"hidden_act": "gleu"}, r"model\.config is refused by transformers \(KeyError: 'gleu'"),
        ({"max_position_embeddings": 1}, r"model\.config is refused by transformers \(AssertionError"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        build_encoder({**OPTIONS, **options}, vocab_size=120, seed=0)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json; give a transformers model folder"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("content", ["{}", '{"model_type": "roberta", "hidden_size": "wide"}'])
def test_a_configuration_that_cannot_be_read_is_refused(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"model\.path .*: config\.json is refused \(\w+Error: "):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not readable JSON"):
        load_encoder(tmp_path)


def test_a_folder_without_weights_is_refused(encoder, tmp_path):
    encoder.config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"model.path {tmp_path} cannot be loaded")):
        load_encoder(tmp_path)


def test_a_folder_without_the_head_is_refused(encoder, tmp_path):
    encoder.base_model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"lacks weights: lm_head.*give a masked-LM model folder"):
        load_encoder(tmp_path)


def test_what_would_train_the_wrong_thing_is_refused(encoder):
    check_encoder(encoder, seq_length=64, vocab_size=120)
    with pytest.raises(UserError, match="the model has 120 embeddings, the corpus' tokenizer 121 ids"):
        check_encoder(encoder, seq_length=64, vocab_size=121)
    with pytest.raises(UserError, match="seq_length 65 is over the model's 64 positions; use at most 64"):
        check_encoder(encoder, seq_length=65, vocab_size=120)
    with pytest.raises(UserError, match=r"(?s)does not fit:.*embeddings.*positions"):
        check_encoder(encoder, seq_length=65, vocab_size=121)
    untied = build_encoder({**OPTIONS, "tie_word_embeddings": False}, vocab_size=120, seed=0)
    with pytest.raises(UserError, match="the masked-LM head is not tied"):
        check_encoder(untied, seq_length=64, vocab_size=120)
