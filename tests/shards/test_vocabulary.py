import json
from dataclasses import asdict

import pytest

from camembert_bio.errors import UserError
from camembert_bio.shards.vocabulary import Vocabulary, load_vocabulary

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
VOCABULARY = Vocabulary(PIECES, 5, 6, 1, 3, 12, (0, 1, 2, 3, 4, 5, 6, 12))


def names(mask):
    return [piece for piece, flag in zip(PIECES, mask, strict=True) if flag]


def test_masks():
    special = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"]
    assert names(VOCABULARY.is_special) == special
    assert names(VOCABULARY.opens_word) == [*special[:-1], "▁", "▁le", "▁a.", "<mask>"]
    assert names(VOCABULARY.is_lone_space) == ["▁"]
    assert names(VOCABULARY.ends_sentence) == [".", "▁a."]


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
    ],
)
def test_ids_outside_the_vocabulary_and_pieces_that_are_no_text(tmp_path, changes):
    (tmp_path / "v.json").write_text(json.dumps({**asdict(VOCABULARY), **changes}))
    with pytest.raises(UserError, match="is not a readable vocabulary; run prepare again"):
        load_vocabulary(tmp_path / "v.json")
