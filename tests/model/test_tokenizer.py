import json
import shutil

import pytest
import sentencepiece

from camembert_bio.corpus.recipe import TrainTokenizer
from camembert_bio.corpus.tokenize import train_tokenizer
from camembert_bio.errors import UserError
from camembert_bio.model.tokenizer import FAST, check_tokenizer
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL


@pytest.fixture
def sentencepiece_file(corpus):
    return corpus.folder / "tokenizer" / SENTENCEPIECE_MODEL


@pytest.fixture
def fast(sentencepiece_file, tmp_path):
    """The corpus' tokenizer as the `tokenizer.json` that transformers writes."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(sentencepiece_file.parent, local_files_only=True).save_pretrained(tmp_path)
    (tmp_path / SENTENCEPIECE_MODEL).unlink(missing_ok=True)
    return tmp_path / FAST


def test_the_tokenizer_of_the_corpus_passes_in_either_form(corpus, sentencepiece_file, fast, tmp_path):
    check_tokenizer(tmp_path, corpus)
    shutil.copyfile(sentencepiece_file, tmp_path / SENTENCEPIECE_MODEL)
    fast.write_text("{}")
    check_tokenizer(tmp_path, corpus)


def test_equal_pieces_in_another_file_pass(corpus, sentencepiece_file, tmp_path):
    # An empty unknown field of the protocol buffer: other bytes, the same pieces.
    (tmp_path / SENTENCEPIECE_MODEL).write_bytes(sentencepiece_file.read_bytes() + b"\xc2\x3e\x00")
    assert sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / SENTENCEPIECE_MODEL)).get_piece_size() == 595
    check_tokenizer(tmp_path, corpus)


def test_two_pieces_that_changed_places_are_refused(corpus, fast, tmp_path):
    values = json.loads(fast.read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary[100], vocabulary[200] = vocabulary[200], vocabulary[100]
    fast.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"\(600 ids\) is not that of .* 2 ids differ, the first is 100; prepare"):
        check_tokenizer(tmp_path, corpus)


def test_another_size_is_refused(corpus, fast, tmp_path):
    values = json.loads(fast.read_text())
    values["added_tokens"].append({"id": 600, "content": "<more>"})
    fast.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"\(601 ids\) is not that of the corpus .*\(600 ids\): 1 ids differ"):
        check_tokenizer(tmp_path, corpus)


def test_another_sentencepiece_model_of_the_same_size_is_refused(corpus, tmp_path):
    sentences = [f"le patient numéro {i * 7} est venu pour une douleur de {i * 13} jours" for i in range(2000)]
    other = train_tokenizer(sentences, TrainTokenizer(vocab_size=600))
    (tmp_path / SENTENCEPIECE_MODEL).write_bytes(other.model_bytes)
    with pytest.raises(UserError, match=r"tokenizer of model\.path .*\(600 ids\) is not that of .*tokenizer\.path = "):
        check_tokenizer(tmp_path, corpus)


def test_a_folder_that_cannot_tell_its_tokenizer_is_refused(corpus, fast, tmp_path):
    values = json.loads(fast.read_text())
    values["model"]["type"] = "BPE"
    fast.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"tokenizer\.json holds a BPE tokenizer"):
        check_tokenizer(tmp_path, corpus)
    fast.write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json is not a tokenizer of transformers"):
        check_tokenizer(tmp_path, corpus)
    fast.unlink()
    with pytest.raises(UserError, match=r"has neither sentencepiece\.bpe\.model nor tokenizer\.json"):
        check_tokenizer(tmp_path, corpus)
    (tmp_path / SENTENCEPIECE_MODEL).write_text("x")
    with pytest.raises(UserError, match="is not a SentencePiece model; fetch it again"):
        check_tokenizer(tmp_path, corpus)
