import json
from dataclasses import asdict

import pytest

from camembert_bio.errors import UserError
from camembert_bio.shards.vocabulary import (
    SENTENCEPIECE_MODEL,
    TOKENIZER_JSON,
    Vocabulary,
    load_vocabulary,
    tokenizer_file,
)

PIECES = (
    "<s>NOTUSED",
    "<pad>",
    "</s>NOTUSED",
    "<unk>",
    "<unk>NOTUSED",
    "<s>",
    "</s>",
    "▁",
    "▁le",
    "s",
    ".",
    "▁a.",
    "<mask>",
)
VOCABULARY = Vocabulary(PIECES, 5, 6, 1, 3, 12, (0, 1, 2, 3, 4, 5, 6, 12), "sentencepiece")


def names(mask):
    return [piece for piece, flag in zip(PIECES, mask, strict=True) if flag]


def test_masks():
    special = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"]
    assert names(VOCABULARY.is_special) == special
    assert names(VOCABULARY.opens_word) == [*special[:-1], "▁", "▁le", "▁a.", "<mask>"]
    assert names(VOCABULARY.is_lone_space) == ["▁"]
    assert names(VOCABULARY.ends_sentence) == [".", "▁a."]


def of_kind(kind, *pieces):
    """Pieces after two special ones, by kind."""
    return Vocabulary(("<s>", "<unk>", *pieces), 0, 0, 0, 1, 0, (0, 1), kind)


def flagged(vocabulary, mask):
    return [piece for piece, flag in zip(vocabulary.pieces, mask, strict=True) if flag and piece[0] != "<"]


def test_wordpiece():
    vocabulary = of_kind("wordpiece", "le", "##s", ".", "##!", "é", "▁")
    assert flagged(vocabulary, vocabulary.opens_word) == ["le", ".", "é", "▁"]
    assert flagged(vocabulary, vocabulary.ends_sentence) == [".", "##!"]
    assert flagged(vocabulary, vocabulary.is_single) == ["##s", ".", "##!", "é", "▁"]
    assert not vocabulary.is_lone_space.any() and not vocabulary.shows_white_space


def test_byte_level():
    """`Ã©` is é, `Ã` a part of it; `âĢ¦` is …; a token that was added whole stands as text."""
    vocabulary = of_kind("byte-level", "Ġ", "ĠÃ©t", "Ã©", "Ã", "Ċ", "ĊĊ", "âĢ¦", "Ġ.", "le", "  ", "œ")
    assert flagged(vocabulary, vocabulary.opens_word) == ["Ġ", "ĠÃ©t", "Ċ", "ĊĊ", "Ġ.", "  "]
    assert flagged(vocabulary, vocabulary.is_lone_space) == ["Ġ", "Ċ", "ĊĊ", "  "]
    assert flagged(vocabulary, vocabulary.ends_sentence) == ["âĢ¦", "Ġ."]
    assert flagged(vocabulary, vocabulary.is_single) == ["Ã©", "Ã", "âĢ¦", "Ġ.", "œ"]


def test_the_letters_of_bytes_are_gpt2s():
    from tokenizers import pre_tokenizers

    from camembert_bio.shards.vocabulary import _BYTES

    assert _BYTES.keys() == set(pre_tokenizers.ByteLevel.alphabet()) and sorted(_BYTES.values()) == list(range(256))
    for text in ("é…\n\t 東", "".join(map(chr, range(0x80)))):
        ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert bytes(_BYTES[letter] for letter in letters).decode() == text


def test_pieces_that_mark_no_words():
    vocabulary = of_kind("other", "le", "s.")
    assert flagged(vocabulary, vocabulary.opens_word) == ["le", "s."]
    assert not vocabulary.marks_words and not vocabulary.shows_white_space
    assert all(of_kind(kind).marks_words for kind in ("sentencepiece", "metaspace", "wordpiece", "byte-level"))


def test_the_file_of_each_kind():
    assert tokenizer_file("sentencepiece") == SENTENCEPIECE_MODEL
    kinds = ("metaspace", "wordpiece", "byte-level", "other")
    assert {tokenizer_file(kind) for kind in kinds} == {TOKENIZER_JSON}


def test_round_trip(tmp_path):
    VOCABULARY.save(tmp_path / "vocabulary.json")
    assert load_vocabulary(tmp_path / "vocabulary.json") == VOCABULARY


@pytest.mark.parametrize("content", [None, "{", "{}", '{"pieces": 3}', "[]"])
def test_unreadable(tmp_path, content):
    if content is not None:
        (tmp_path / "v.json").write_text(content)
    with pytest.raises(UserError, match="is not a readable vocabulary; run prepare again"):
        load_vocabulary(tmp_path / "v.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_id": 13},
        {"bos_id": -1},
        {"pad_id": "1"},
        {"eos_id": 6.0},
        {"special_ids": [0, 13]},
        {"special_ids": [0, True]},
        {"special_ids": [[0]]},
        {"pieces": [*PIECES[:-1], None]},
        {"kind": "runes"},
    ],
)
def test_ids_outside_the_vocabulary_and_pieces_that_are_no_text(tmp_path, changes):
    (tmp_path / "v.json").write_text(json.dumps({**asdict(VOCABULARY), **changes}))
    with pytest.raises(UserError, match="is not a readable vocabulary; run prepare again"):
        load_vocabulary(tmp_path / "v.json")
