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


def test_a_broken_tokenizer_file(copy):
    (copy / "sentencepiece.bpe.model").write_bytes(b"none")
    with pytest.raises(UserError, match=r"model tiny: the tokenizer of .* cannot be loaded"):
        open_model("tiny", str(copy), 64)


def test_broken_weights(copy):
    (copy / "model.safetensors").write_bytes(b"none")
    with pytest.raises(UserError, match=r"model tiny: .* cannot be loaded"):
        open_model("tiny", str(copy), 64)


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
