import shutil
import traceback

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings

from camembert_bio import files
from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.recipe import TrainTokenizer
from camembert_bio.corpus.tokenize import agree_with_transformers, load_tokenizer
from camembert_bio.corpus.unigram import train_tokenizer
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL

from .conftest import sentences
from .test_clean import AWKWARD, LITERALS

OPTIONS = TrainTokenizer(vocab_size=80)
TEXTS = sentences(60)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="module")
def auto(tokenizer_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


def test_the_layout_is_camemberts_in_transformers(tokenizer, tokenizer_folder, auto):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer_folder / SENTENCEPIECE_MODEL))
    assert type(auto).__name__ == "CamembertTokenizer"
    assert len(auto) == len(pieces) + 5 == len(tokenizer.vocabulary) == 80
    names = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"]
    assert auto.convert_tokens_to_ids(names) == [0, 1, 2, 3, 4, 5, 6, 79]
    assert [auto.pad_token_id, auto.unk_token_id, auto.cls_token_id, auto.sep_token_id] == [1, 3, 5, 6]
    assert auto.mask_token_id == 79 == tokenizer.vocabulary.mask_id
    for piece_id in range(3, len(pieces)):
        piece = pieces.id_to_piece(piece_id)
        assert auto.convert_tokens_to_ids(piece) == piece_id + 4
        assert tokenizer.vocabulary.pieces[piece_id + 4] == piece
    assert tokenizer.vocabulary.special_ids == (0, 1, 2, 3, 4, 5, 6, 79)
    assert auto.model_max_length == 512


def test_the_folder_has_the_configuration_that_camembert_needs(tokenizer_folder):
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(tokenizer_folder)
    assert (config.model_type, config.vocab_size, config.max_position_embeddings) == ("camembert", 80, 514)
    assert (config.type_vocab_size, config.layer_norm_eps) == (1, 1e-5)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (1, 5, 6)


def test_encode_equals_transformers_and_decodes(tokenizer, auto):
    encoded = tokenizer.encode(TEXTS, num_threads=2)
    assert [ids.tolist() for ids in encoded] == auto(TEXTS, add_special_tokens=False)["input_ids"]
    assert {ids.dtype for ids in encoded} == {np.dtype(np.uint16)}
    assert [tokenizer.decode(ids) for ids in encoded] == TEXTS
    assert tokenizer.encode([]) == []


def test_an_unknown_character_is_unk_in_both(tokenizer, auto):
    (ids,) = tokenizer.encode(["une 猫 venue"])
    assert 3 in ids
    assert ids.tolist() == auto("une 猫 venue", add_special_tokens=False)["input_ids"]


@given(AWKWARD)
@settings(max_examples=200)
def test_cleaned_text_yields_no_special_id(tokenizer, auto, text):
    cleaned = clean(text)
    forbidden = set(tokenizer.vocabulary.special_ids) - {3}
    assert not forbidden & set(tokenizer.encode([cleaned])[0].tolist())
    assert not forbidden & set(auto(cleaned, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("literal", LITERALS)
def test_literals_would_yield_special_ids_without_cleaning(auto, literal):
    special = {0, 1, 2, 3, 4, 5, 6, 79}
    raw = auto(f"un {literal} patient", add_special_tokens=False)["input_ids"]
    # `<unk>` may also stand for the brackets, which this tokenizer does not know.
    assert special & set(raw)
    assert not (special - {3}) & set(auto(clean(f"un {literal} patient"), add_special_tokens=False)["input_ids"])


def test_training_is_deterministic():
    assert train_tokenizer(TEXTS, OPTIONS).model_bytes == train_tokenizer(TEXTS, OPTIONS).model_bytes


def test_threads_do_not_change_the_ids(tokenizer):
    one, two = (np.concatenate(tokenizer.encode(TEXTS, num_threads=n)) for n in (1, 2))
    assert np.array_equal(one, two)


def test_a_failure_of_sentencepiece_shows_no_text(tokenizer):
    secret = "Dupont-Martin"
    message = r"SentencePiece failed on 1 texts with 9{17} threads \(TypeError\)"
    with pytest.raises(RunError, match=message) as raised:
        tokenizer.encode([secret], num_threads=99999999999999999)
    assert secret not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_a_model_that_is_no_unigram_is_refused(tmp_path, kind):
    texts = [text.replace("'", " ") for text in TEXTS]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(tmp_path / "sentencepiece.bpe"),
        vocab_size=70,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    message = rf"sentencepiece.bpe.model is a SentencePiece model of type {kind.upper()}, not UNIGRAM; take"
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)


def test_vocab_sizes_that_the_text_does_not_allow():
    with pytest.raises(
        UserError, match=r"vocab_size 9000 is more than the text gives, set it to (\d+) or less"
    ) as raised:
        train_tokenizer(TEXTS, TrainTokenizer(vocab_size=9000))
    most = int(str(raised.value).split("set it to ")[1].split()[0])
    assert len(train_tokenizer(TEXTS, TrainTokenizer(vocab_size=most)).vocabulary) == most
    with pytest.raises(UserError, match=r"does not hold the characters of the text, set it to (\d+) or more") as raised:
        train_tokenizer(TEXTS, TrainTokenizer(vocab_size=32))
    least = int(str(raised.value).split("set it to ")[1].split()[0])
    assert len(train_tokenizer(TEXTS, TrainTokenizer(vocab_size=least)).vocabulary) == least


def test_nothing_to_train_on():
    with pytest.raises(UserError, match="cannot be trained with vocab_size 80; give more text"):
        train_tokenizer([], OPTIONS)


def test_training_prints_no_text(capfd):
    secret = "Dupont-Martin"
    train_tokenizer([*TEXTS, f"{secret} ▅ caractère réservé", f"{secret} " * 9000], OPTIONS)
    printed = capfd.readouterr()
    assert secret not in printed.out + printed.err


def test_a_text_that_is_not_french_enough():
    with pytest.raises(UserError, match="reads plain French as <unk>"):
        train_tokenizer([f"{i} {j}" for i in range(9) for j in range(90)], TrainTokenizer(vocab_size=28))


def test_folders_that_transformers_would_load_as_unk(tmp_path, tokenizer_folder):
    with pytest.raises(UserError, match="does not exist"):
        load_tokenizer(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has neither .* nor tokenizer\.json \(it holds no tokenizer\)"):
        load_tokenizer(tmp_path / "empty")
    misnamed = shutil.copytree(tokenizer_folder, tmp_path / "misnamed")
    (misnamed / SENTENCEPIECE_MODEL).rename(misnamed / "spiece.model")
    with pytest.raises(UserError, match=r"\(it holds spiece\.model\); .* exactly that name"):
        load_tokenizer(misnamed)
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "vocab.txt").write_text("[PAD]")
    with pytest.raises(UserError, match=r"it holds vocab\.txt.*save_pretrained\(folder\) makes the latter"):
        load_tokenizer(tmp_path / "slow")


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / SENTENCEPIECE_MODEL).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match="is not a SentencePiece model") as raised:
        load_tokenizer(tmp_path)
    assert "git-lfs" not in "".join(traceback.format_exception(raised.value))


def test_a_model_of_another_layout(tmp_path):
    with open(tmp_path / SENTENCEPIECE_MODEL, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS), model_writer=file, vocab_size=80, minloglevel=2,
            pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        )  # fmt: skip
    with pytest.raises(UserError, match=r"not in CamemBERT's layout .* begins with <pad>, <s>, </s>"):
        load_tokenizer(tmp_path)


def test_a_configuration_of_another_model(tmp_path, tokenizer_folder):
    folder = shutil.copytree(tokenizer_folder, tmp_path / "folder")
    files.write_json(folder / "config.json", {"model_type": "camembert", "vocab_size": 32005})
    with pytest.raises(UserError, match=r"config.json has vocab_size 32005, .* makes 80"):
        load_tokenizer(folder)


def test_agreement(tokenizer, tokenizer_folder):
    counts = agree_with_transformers(tokenizer_folder, tokenizer, TEXTS)
    assert counts["equal"] == counts["passages"] >= len(TEXTS)


def test_a_folder_of_another_tokenizer_does_not_agree(tmp_path, tokenizer):
    other = train_tokenizer(sentences(60, seed=5), TrainTokenizer(vocab_size=80, character_coverage=0.99))
    other.save(tmp_path)
    with pytest.raises(RunError, match="transformers reads the tokenizer with 80 ids"):
        agree_with_transformers(tmp_path, tokenizer, TEXTS)


def test_texts_that_transformers_reads_otherwise_stop_the_build(tokenizer, tokenizer_folder):
    with pytest.raises(RunError, match="0 of 10 passages have the same ids in transformers, expected at least 95%"):
        agree_with_transformers(tokenizer_folder, tokenizer, ["un <mask> patient"] * 10)
