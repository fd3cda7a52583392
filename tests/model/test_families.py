"""Every type that is trained, loaded from a folder as the hub keeps it, against transformers' own implementation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from families import CONFIGS, TYPES, write_model
from transformers import AutoModelForMaskedLM

from camembert_bio.errors import UserError
from camembert_bio.model.encoder import assert_tied, check_encoder, load_encoder, num_positions
from camembert_bio.model.families import FAMILIES, first_position
from camembert_bio.model.objective import PackedLM

LENGTHS = (20, 3, 30)
LAYOUT = {"camembert": (5, 6, 1), "roberta": (0, 2, 1), "xlm-roberta": (0, 2, 1), "bert": (2, 3, 0)}
LAYOUT["modernbert"] = LAYOUT["bert"]


@pytest.fixture(scope="module", params=TYPES)
def folder(request, tmp_path_factory):
    return write_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def encoder(folder):
    return load_encoder(folder).eval()


def stock(folder, implementation: str = "sdpa") -> Any:
    return AutoModelForMaskedLM.from_pretrained(folder, attn_implementation=implementation).eval()


def packed_row(model_type, lengths=LENGTHS, row_length=64):
    """Ids [1, L], bounds and positions [1, L] of segments side by side in the type's layout, then padding."""
    bos, eos, pad = LAYOUT[model_type]
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((1, row_length), pad)
    positions, bounds = torch.zeros_like(ids), [0]
    first = 0
    for length in lengths:
        inner = torch.randint(7, 120, (length - 2,), generator=generator)
        ids[0, first : first + length] = torch.tensor([bos, *inner.tolist(), eos])
        positions[0, first : first + length] = torch.arange(length)
        first += length
        bounds.append(first)
    if first < row_length:
        bounds.append(row_length)
    return ids, torch.tensor(bounds, dtype=torch.int32), positions


def hidden_states(encoder, ids, bounds, positions):
    """What the head sees of a packed row: its input, taken where the objective calls it."""
    seen = []
    first = getattr(encoder, FAMILIES[encoder.config.model_type].head[0])
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        PackedLM(encoder).logits(ids, bounds, positions, torch.arange(ids.numel()))
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_packed_segment_has_the_hidden_states_that_it_has_alone(folder, encoder, implementation):
    ids, bounds, positions = packed_row(encoder.config.model_type)
    together = hidden_states(encoder, ids, bounds, positions)
    theirs = stock(folder, implementation).base_model
    first = 0
    for length in LENGTHS:
        with torch.no_grad():
            alone = theirs(ids[:, first : first + length]).last_hidden_state[0]
        torch.testing.assert_close(together[first : first + length], alone, rtol=0, atol=1e-5)
        first += length


def test_another_segment_of_the_row_changes_nothing(encoder):
    ids, bounds, positions = packed_row(encoder.config.model_type)
    other = ids.clone()
    other[0, 21] = 9 if ids[0, 21] != 9 else 10
    before, after = (hidden_states(encoder, row, bounds, positions) for row in (ids, other))
    assert torch.equal(before[:20], after[:20]) and torch.equal(before[23:], after[23:])
    assert not torch.allclose(before[20:23], after[20:23], atol=1e-3)


def test_the_test_sees_a_position_and_a_segment_that_are_not_the_models_own(folder, encoder):
    ids, bounds, positions = packed_row(encoder.config.model_type)
    good = hidden_states(encoder, ids, bounds, positions)[20:23]
    running_on = torch.arange(64)[None]
    # Rotary positions are relative: a whole segment moved is the same segment.
    moves = not torch.allclose(hidden_states(encoder, ids, bounds, running_on)[20:23], good, atol=1e-3)
    assert moves == (encoder.config.model_type != "modernbert")
    leaking = hidden_states(encoder, ids, bounds[[0, 3, 4]], positions)[20:23]
    assert not torch.allclose(leaking, good, atol=1e-3)


@pytest.mark.parametrize("length", [64, 50])
def test_loss_and_gradients_of_the_sparse_head_are_those_of_transformers_full_head(folder, encoder, length):
    ids, bounds, positions = packed_row(encoder.config.model_type, (length,))
    places = torch.tensor([2, 3, 17, 40, length - 2])
    labels = torch.full((1, 64), -100)
    labels[0, places] = torch.tensor([8, 50, 51, 100, 7])
    plain = stock(folder)
    theirs = plain(ids, attention_mask=(torch.arange(64) < length).long()[None], labels=labels).loss
    theirs.backward()
    ours = PackedLM(encoder)(ids, bounds, positions, places, labels[0, places]) / len(places)
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_head_is_tied_and_a_head_of_its_own_is_refused(folder, encoder, tmp_path):
    assert_tied(encoder)
    assert encoder.get_output_embeddings().weight is encoder.get_input_embeddings().weight
    encoder.get_output_embeddings().weight = torch.nn.Parameter(torch.zeros_like(encoder.get_input_embeddings().weight))
    with pytest.raises(UserError, match="the masked-LM head is not tied"):
        assert_tied(encoder)


def test_the_longest_segment_runs_and_one_more_is_refused(encoder):
    model_type = encoder.config.model_type
    assert num_positions(encoder.config) == 64
    assert first_position(encoder.config) == (0 if model_type in ("bert", "modernbert") else 2)
    assert torch.isfinite(hidden_states(encoder, *packed_row(model_type, (64,)))).all()
    with pytest.raises(UserError, match="seq_length 65 is over the model's 64 positions; use at most 64"):
        check_encoder(encoder, seq_length=65, vocab_size=120)


def test_local_and_global_attention_both_stand_in_the_tiny_modernbert(tmp_path):
    encoder = load_encoder(write_model("modernbert", tmp_path))
    assert encoder.config.layer_types == ["full_attention", "sliding_attention"] * 2
    assert encoder.config.sliding_window == 4


def test_the_types_of_the_tests_are_all_that_are_supported():
    assert set(TYPES) == FAMILIES.keys() == CONFIGS.keys()


@pytest.mark.parametrize(
    "model_type",
    ["deberta-v2", "albert", "longformer", "distilbert", "electra", "gpt2", "llama", "eurobert", "neobert"],
)
def test_another_type_is_refused_by_name_before_anything_is_loaded(model_type, tmp_path):
    code = {"AutoConfig": "remote.Config", "AutoModelForMaskedLM": "remote.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "auto_map": code}))
    message = (
        rf"is a '{model_type}'; packed attention is proven for camembert, roberta, xlm-roberta, bert, modernbert only"
    )
    with pytest.raises(UserError, match=message):
        load_encoder(tmp_path)


def test_code_in_a_folder_is_not_run(tmp_path):
    write_model("roberta", tmp_path)
    options = json.loads((tmp_path / "config.json").read_text())
    options["auto_map"] = {"AutoConfig": "remote.Config", "AutoModelForMaskedLM": "remote.Model"}
    (tmp_path / "config.json").write_text(json.dumps(options))
    (tmp_path / "remote.py").write_text("raise SystemExit('code of the folder ran')")
    assert type(load_encoder(tmp_path)).__name__ == "RobertaForMaskedLM"


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_an_encoder_made_a_decoder_is_refused(model_type, tmp_path):
    with pytest.raises(UserError, match=r"config\.json sets is_decoder, .*; give an encoder"):
        load_encoder(write_model(model_type, tmp_path, is_decoder=True))


def test_embeddings_padded_beyond_the_ids_are_no_mistake(encoder):
    check_encoder(encoder, seq_length=64, vocab_size=119)


def test_the_dropout_of_attention_weights_can_be_replaced(folder, encoder):
    name = FAMILIES[encoder.config.model_type].attention_dropout
    assert getattr(encoder.config, name) == CONFIGS[encoder.config.model_type][name] != 0.25
    other = load_encoder(folder, attention_dropout=0.25)
    assert getattr(other.config, name) == 0.25
    assert "0.25" in repr(other) or any(getattr(layer, "attention_dropout", 0) == 0.25 for layer in other.modules())
