import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.models import check_tokenizer, load_tagger, open_model


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def change_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_folder_is_known_by_its_content(model_folder, copy):
    first, second = open_model("a", str(model_folder), 64), open_model("b", str(copy), 64)
    assert (first.weights_sha256, first.tokenizer_sha256) == (second.weights_sha256, second.tokenizer_sha256)
    change_weights(copy, lambda weights: weights["lm_head.bias"].add_(1))
    changed = open_model("b", str(copy), 64)
    assert changed.weights_sha256 != first.weights_sha256
    assert changed.tokenizer_sha256 == first.tokenizer_sha256
    change_config(copy, hidden_dropout_prob=0.5)
    assert open_model("b", str(copy), 64).weights_sha256 != changed.weights_sha256


def test_the_head_is_drawn_from_the_seed_and_the_encoder_is_the_folders(model_folder):
    model = open_model("a", str(model_folder), 64)
    torch.manual_seed(5)
    first = load_tagger(model, ["O", "B-X", "I-X"], seed=1)
    again, other = load_tagger(model, ["O", "B-X", "I-X"], seed=1), load_tagger(model, ["O", "B-X", "I-X"], seed=2)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert first.classifier.weight.std().item() == pytest.approx(first.config.initializer_range, rel=0.3)
    stored = load_file(model_folder / "model.safetensors")
    encoder = {name: value for name, value in first.state_dict().items() if name.startswith("roberta.")}
    assert all(torch.equal(value, stored[name]) for name, value in encoder.items())
    assert first.config.id2label == {0: "O", 1: "B-X", 2: "I-X"}


def test_weights_that_published_folders_carry_besides_are_passed_over(copy):
    change_weights(copy, lambda weights: weights.update({"roberta.pooler.dense.bias": torch.zeros(64)}))
    open_model("a", str(copy), 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "model tiny: .* has no config.json"),
        ("model.safetensors", r"model tiny: .* has no \.safetensors weights"),
        ("sentencepiece.bpe.model", r"model tiny: .* has no tokenizer \(none of sentencepiece.bpe.model,"),
    ],
)
def test_a_missing_file(copy, name, message):
    (copy / name).unlink()
    with pytest.raises(UserError, match=message):
        open_model("tiny", str(copy), 64)


@pytest.mark.parametrize("size", [0, 4, 900, -1])
def test_a_sentencepiece_file_that_is_cut(copy, size):
    path = copy / "sentencepiece.bpe.model"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        UserError, match=r"model tiny: .*bpe\.model is not a SentencePiece model, or is cut; fetch it"
    ) as it:
        open_model("tiny", str(copy), 64)
    assert "tiktoken" not in str(it.value)


@pytest.mark.parametrize("content", [b"none", b"", None])
def test_broken_weights(copy, content):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    message = (
        r"model tiny: .*config\.json and the weights beside it cannot be loaded \(SafetensorError: .*\); restore the"
    )
    with pytest.raises(UserError, match=message):
        open_model("tiny", str(copy), 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": ["x"]}, r"is a \['x'\]; give one of camembert"),
        (
            {"hidden_act": "nope"},
            r"config\.json and the weights beside it cannot be loaded \(KeyError: 'nope'\); restore",
        ),
        (
            {"hidden_act": 5},
            r"config\.json is refused \(Strict\w+: Validation error for field 'hidden_act': .*; restore",
        ),
        ({"hidden_size": "abc"}, r"config\.json is refused \(Strict.*'hidden_size'"),
        ({"hidden_size": 33}, r"config\.json and the weights .*\(ValueError: The hidden size \(33\) is not a multiple"),
        ({"num_attention_heads": 0}, r"config\.json and the weights .*\(ZeroDivisionError"),
        ({"vocab_size": -1}, r"config\.json and the weights .*\(AssertionError"),
        ({"vocab_size": 50}, r"weights of other shapes than its config\.json says \(1: roberta\.embeddings\.word_emb"),
        ({"pad_token_id": None}, r"config\.json has pad_token_id None, which is none of its 95 ids; give that of the"),
        ({"pad_token_id": -1}, r"config\.json has pad_token_id -1, which is none of its 95 ids"),
        ({"pad_token_id": 500}, r"config\.json and the weights .*\(AssertionError"),
        ({"dtype": "nope"}, r"config\.json is refused \(AttributeError"),
        ({"id2label": 5}, r"config\.json is refused \(AttributeError"),
        ({"num_labels": "x"}, r"config\.json is refused \(TypeError"),
        ({"initializer_range": -1.0}, r"config\.json and the weights .*\(RuntimeError: normal expects std >= 0"),
        ({"output_attentions": True}, r"config\.json and the weights .*\(Strict.*output_attentions"),
    ],
)
def test_a_configuration_that_transformers_refuses(copy, values, message):
    change_config(copy, **values)
    with pytest.raises(UserError, match=rf"^model tiny: {copy}.*{message}"):
        open_model("tiny", str(copy), 64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", r"tokenizer_config\.json holds list, not a mapping"),
        ("{", r"tokenizer_config\.json is not readable JSON"),
        (
            '{"tokenizer_class": 5}',
            r"the tokenizer of .* cannot be loaded from sentencepiece.* \(AttributeError: .*restore",
        ),
        (
            '{"tokenizer_class": "NopeTokenizer"}',
            r"the tokenizer of .* cannot be loaded from .*, tokenizer_config\.json",
        ),
        ('{"model_max_length": "x"}', r"the tokenizer of .* cannot be loaded from .* \(TypeError"),
        ('{"added_tokens_decoder": 5}', r"the tokenizer of .* cannot be loaded from .* \(AttributeError"),
    ],
)
def test_settings_of_a_tokenizer_that_transformers_refuses(copy, content, message):
    (copy / "tokenizer_config.json").write_text(content)
    with pytest.raises(UserError, match=message):
        open_model("tiny", str(copy), 64)


def test_answers_of_a_model_have_names_whatever_its_configuration_says(copy):
    change_config(copy, return_dict=False)
    tagger = load_tagger(open_model("a", str(copy), 64), ["O", "B-X"], seed=0)
    assert tagger(torch.tensor([[5, 6]])).logits.shape == (1, 2, 2)


def test_weights_of_the_encoder_are_missing(copy):
    change_weights(copy, lambda weights: weights.pop("roberta.encoder.layer.1.output.dense.weight"))
    with pytest.raises(UserError, match=r"lacks weights of its encoder \(1: roberta\.encoder\.layer\.1\.output"):
        open_model("tiny", str(copy), 64)


def test_weights_that_the_model_does_not_have(copy):
    change_weights(copy, lambda weights: weights.update({"roberta.encoder.layer.9.extra": torch.zeros(2)}))
    with pytest.raises(
        UserError, match=r"has weights that no model of its type has \(1: roberta\.encoder\.layer\.9\.extra"
    ):
        open_model("tiny", str(copy), 64)


def test_more_positions_than_the_model_has(model_folder):
    with pytest.raises(UserError, match="seq_length 513 is over its 512 positions; use at most 512"):
        open_model("tiny", str(model_folder), 513)


def test_a_tokenizer_of_another_model(copy):
    def cut(weights):
        for name in ("roberta.embeddings.word_embeddings.weight", "lm_head.bias", "lm_head.decoder.bias"):
            if name in weights:
                weights[name] = weights[name][:80].clone()

    change_weights(copy, cut)
    change_config(copy, vocab_size=80)
    with pytest.raises(UserError, match="its tokenizer has 95 ids, its embeddings 80"):
        open_model("tiny", str(copy), 64)


def test_a_tokenizer_that_knows_nothing_of_the_task(copy):
    model = open_model("tiny", str(copy), 64)
    check_tokenizer(model, "drugs", [Document("a", "L'aspirine soulage la migraine.", ())])
    with pytest.raises(UserError, match=r"model tiny: .* reads \d+% of the sub-words of task drugs as <unk>") as caught:
        check_tokenizer(model, "drugs", [Document("a", "ЖЖЖ ЩЩЩ", ())])
    assert "ЖЖЖ" not in str(caught.value)


def test_a_sentencepiece_file_under_another_name_is_refused(copy):
    # What transformers makes of it is a tokenizer of eight tokens, and no error.
    (copy / "sentencepiece.bpe.model").rename(copy / "spm.model")
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"the tokenizer of .* cannot be loaded|reads 100%"):
        model = open_model("tiny", str(copy), 64)
        check_tokenizer(model, "drugs", [Document("a", "L'aspirine", ())])
