import json
import shutil

import pytest
import sentencepiece
from families import write_tokenizer

from camembert_bio import files
from camembert_bio.corpus.recipe import TrainTokenizer
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.corpus.unigram import train_tokenizer
from camembert_bio.errors import UserError
from camembert_bio.model.tokenizer import check_new_weights, check_tokenizer
from camembert_bio.shards.manifest import FORMAT, TOKENIZER, VOCABULARY, Manifest, open_corpus
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, TOKENIZER_JSON, tokenizer_file

TEXTS = [f"le patient numéro {i * 7} est venu pour une douleur de {i * 13} jours" for i in range(60)]


@pytest.fixture
def sentencepiece_file(corpus):
    return corpus.folder / "tokenizer" / SENTENCEPIECE_MODEL


@pytest.fixture
def fast(sentencepiece_file, tmp_path):
    """The corpus' tokenizer as the `tokenizer.json` that transformers writes."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(sentencepiece_file.parent, local_files_only=True).save_pretrained(tmp_path)
    (tmp_path / SENTENCEPIECE_MODEL).unlink(missing_ok=True)
    return tmp_path / TOKENIZER_JSON


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
    with pytest.raises(
        UserError, match=r"\(601 ids\) is not that of the corpus .*\(600 ids, sentencepiece\): 1 ids differ"
    ):
        check_tokenizer(tmp_path, corpus)


def test_another_sentencepiece_model_of_the_same_size_is_refused(corpus, tmp_path):
    sentences = [f"le patient numéro {i * 7} est venu pour une douleur de {i * 13} jours" for i in range(2000)]
    other = train_tokenizer(sentences, TrainTokenizer(vocab_size=600))
    (tmp_path / SENTENCEPIECE_MODEL).write_bytes(other.model_bytes)
    with pytest.raises(UserError, match=r"tokenizer of model\.path .*\(600 ids\) is not that of .*tokenizer\.path = "):
        check_tokenizer(tmp_path, corpus)


def test_a_folder_that_cannot_tell_its_tokenizer_is_refused(corpus, fast, tmp_path):
    fast.write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json is not a tokenizer of transformers"):
        check_tokenizer(tmp_path, corpus)
    fast.unlink()
    with pytest.raises(UserError, match=r"has no sentencepiece\.bpe\.model and no tokenizer\.json"):
        check_tokenizer(tmp_path, corpus)
    (tmp_path / SENTENCEPIECE_MODEL).write_text("x")
    with pytest.raises(UserError, match="is not a SentencePiece model; fetch it again"):
        check_tokenizer(tmp_path, corpus)


def corpus_of(folder, target):
    """A corpus without shards, built with the tokenizer of a folder."""
    tokenizer = load_tokenizer(folder)
    (target / TOKENIZER).mkdir(parents=True)
    tokenizer.save(target / TOKENIZER)
    tokenizer.vocabulary.save(target / VOCABULARY)
    kind = tokenizer.vocabulary.kind
    hashes = (files.sha256_file(path) for path in (target / TOKENIZER / tokenizer_file(kind), target / VOCABULARY))
    Manifest(FORMAT, kind, *hashes, len(tokenizer.vocabulary), {}, {}, {}).save(target)
    return open_corpus(target)


@pytest.fixture(scope="module", params=["bert", "roberta", "xlm-roberta", "modernbert"])
def folder(request, tmp_path_factory):
    return write_tokenizer(request.param, tmp_path_factory.mktemp(request.param), TEXTS, 120)


def test_the_tokenizer_of_each_kind_passes_whole_or_written_anew(folder, tmp_path):
    corpus = corpus_of(folder, tmp_path / "corpus")
    check_tokenizer(folder, corpus)
    (tmp_path / "anew").mkdir()
    values = json.loads((folder / TOKENIZER_JSON).read_text())
    (tmp_path / "anew" / TOKENIZER_JSON).write_text(json.dumps(values))
    check_tokenizer(tmp_path / "anew", corpus)


def test_two_pieces_of_each_kind_that_changed_places_are_refused(folder, tmp_path):
    corpus = corpus_of(folder, tmp_path / "corpus")
    values = json.loads((folder / TOKENIZER_JSON).read_text())
    pieces = values["model"]["vocab"]
    if isinstance(pieces, dict):
        first, second = [piece for piece, id in pieces.items() if id in (50, 60)]
        pieces[first], pieces[second] = pieces[second], pieces[first]
    else:
        pieces[50], pieces[60] = pieces[60], pieces[50]
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped" / TOKENIZER_JSON).write_text(json.dumps(values))
    kind = corpus.vocabulary.kind
    with pytest.raises(UserError, match=rf"is not that of the corpus .*, {kind}\): 2 ids differ, the first is 50; "):
        check_tokenizer(tmp_path / "swapped", corpus)


def test_a_tokenizer_of_another_kind_is_refused(corpus, folder, tmp_path):
    with pytest.raises(UserError, match=r"is not that of the corpus .*\(600 ids, sentencepiece\): \d+ ids differ"):
        check_tokenizer(folder, corpus)
    with pytest.raises(UserError, match=r"has no tokenizer\.json: whether the corpus|\(597 ids\) is not that of"):
        check_tokenizer(corpus.folder / TOKENIZER, corpus_of(folder, tmp_path / "corpus"))


def test_new_weights_are_for_camemberts_ids_alone(corpus, folder, tmp_path):
    check_new_weights(corpus)
    other = corpus_of(folder, tmp_path / "corpus")
    message = rf"makes a CamemBERT; .* another type \({other.vocabulary.kind}, (<s>|\[CLS\]) is \d\); give model\.path"
    with pytest.raises(UserError, match=message):
        check_new_weights(other)
