"""Where words and sentences begin in each kind of vocabulary, against the text's own white space and BERT's rule."""

from __future__ import annotations

import numpy as np
import pytest
from families import write_tokenizer

from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.data.masking import masking
from camembert_bio.errors import UserError
from camembert_bio.shards import words
from camembert_bio.shards.vocabulary import SENTENCEPIECE_MODEL, Vocabulary

TEXTS = [
    "L'anémie (5,3 g/dl) s'aggrave… Une fièvre à 39 °C !",
    "Conclusion\n\nPas d'œdème. Suivi à J3\nMotif : douleur ?",
    "le patient est venu pour une plaie, sans signe de gravité.",
]
TRAINED = [*TEXTS * 5, *(f"la patiente numéro {i} est hospitalisée pour une douleur" for i in range(60))]


@pytest.fixture(scope="module", params=["roberta", "modernbert", "xlm-roberta", "xlm-roberta-json"])
def tokenizer(request, tmp_path_factory):
    name = request.param.removesuffix("-json")
    folder = write_tokenizer(name, tmp_path_factory.mktemp(name), TRAINED)
    if name != request.param:
        (folder / SENTENCEPIECE_MODEL).unlink()
    return load_tokenizer(folder)


def words_of(tokenizer, text):
    """The words that the ids show, each decoded by itself."""
    (ids,) = tokenizer.encode([text])
    starts = words.word_starts(words.kinds_of(tokenizer.vocabulary).take(ids))
    return [tokenizer.decode(part).strip() for part in np.split(ids, np.flatnonzero(starts))]


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_what_stands_between_white_space(tokenizer, text):
    if tokenizer.vocabulary.kind != "byte-level":
        text = text.replace("…", "...")  # NFKC does
    assert words_of(tokenizer, text) == text.split()


def test_words_of_wordpiece_are_those_of_berts_splitting(tmp_path):
    """Whole words of `create_pretraining_data.py`: a piece without `##` opens one, and a sign is one by itself."""
    tokenizer = load_tokenizer(write_tokenizer("bert", tmp_path, TRAINED, 130))
    vocabulary = tokenizer.vocabulary
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    split = 0
    for text in TEXTS:
        (ids,) = tokenizer.encode([text])
        numbers = library.encode(text, add_special_tokens=False).word_ids
        starts = words.word_starts(words.kinds_of(vocabulary).take(ids))
        ordinary = ids != vocabulary.unk_id  # an unknown word opens none, and is never masked
        expected = np.diff(numbers) > 0
        assert np.array_equal(starts[1:][ordinary[1:]], expected[ordinary[1:]])
        split += np.count_nonzero(~expected)
    assert split > 20
    (ids,) = tokenizer.encode(["une plaie, une douleur"])
    assert [vocabulary.pieces[id][0] for id in ids if vocabulary.opens_word[id]] == ["u", "p", ",", "u", "d"]


def of_kind(kind, *pieces):
    """A vocabulary of some ordinary pieces."""
    special = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    return Vocabulary((*special, *pieces), 0, 1, 2, 3, 4, (0, 1, 2, 3, 4), kind)


@pytest.mark.parametrize(
    ("kind", "pieces", "expected"),
    [
        ("metaspace", ["▁Fin", ".", "▁Le", "▁", "pa", "▁5.", "3"], [0, 0, 1, 0, 0, 0, 0]),
        ("byte-level", ["ĠFin", "âĢ¦", "ĠLe", ".", "Ċ", "pa", "Ġ5", ".", "3"], [0, 0, 1, 0, 1, 0, 0, 0, 0]),
        ("wordpiece", ["fin", ".", "le", "##s", "?", "##!", "5"], [0, 0, 1, 0, 0, 0, 1]),
        ("other", ["fin", ".", "le", "s"], [0, 0, 1, 0]),
    ],
)
def test_a_sentence_begins_where_a_word_follows_its_end(kind, pieces, expected):
    vocabulary = of_kind(kind, *pieces)
    ids = np.arange(len(pieces)) + 5
    assert words.sentence_starts(words.kinds_of(vocabulary).take(ids)).tolist() == [bool(flag) for flag in expected]


def test_a_vocabulary_that_marks_no_words_has_no_whole_word_masking():
    unmarked = of_kind("other", "a", "b")
    message = r"objective\.whole_word: the corpus' tokenizer shows in no known way .*set objective\.whole_word to false"
    with pytest.raises(UserError, match=message):
        masking(unmarked, seed=0, whole_word=True)
    tokens = masking(unmarked, seed=0, whole_word=False)
    rows = np.full((4, 64), 5, np.uint16)
    corrupted, chosen = tokens.apply(rows, np.zeros(4, np.int64), np.arange(4), 0.5)
    assert 0 < len(chosen) < 256 and set(np.unique(corrupted)) <= {4, 5, 6}
