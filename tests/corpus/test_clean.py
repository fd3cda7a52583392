import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camembert_bio.corpus.clean import clean, num_words

LITERALS = [
    "<s>",
    "</s>",
    "<pad>",
    "<unk>",
    "<mask>",
    "<s>NOTUSED",
    "</s>NOTUSED",
    "<unk>NOTUSED",
    "＜s＞",
    "﹤ｍａｓｋ﹥",
]
AWKWARD = st.lists(
    st.one_of(st.characters(), st.sampled_from([*LITERALS, *" \n\r\t<>/s\u00a0\u0301\u200b\u2028e", "\u0338"])),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("e\u0301te\u0301", "été"),
        ("5\u00a0mg\u202f: dose\u2009;\u3000fin", "5 mg : dose ; fin"),
        ("a\r\nb\rc\u2028d\x85e", "a\nb\nc\nd\ne"),
        ("a \t b  \n\n \n\n c", "a b\n\nc"),
        ("a \n b", "a\nb"),
        ("\x00in\x07vi\u200bsi\u00adble\ufeff\x7f\u202e", "invisible"),
        ("half \ud800 pair", "half pair"),
        ("▁a\ufffdb", "a b"),
        (" \n\u00a0 ", ""),
        ("5 < 6 > 4, <b>gras</b>, <sss>", "5 < 6 > 4, <b>gras</b>, <sss>"),
        ("<mask>", "< mask >"),
        ("x</s>y", "x< /s >y"),
        ("<\u200bs>", "< s >"),
        ("<s>NOTUSED", "< s >NOTUSED"),
        ("＜Ｍａｓｋ＞", "< mask >"),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected


@given(AWKWARD)
@settings(max_examples=300)
def test_cleaning_twice_changes_nothing_and_leaves_no_literal(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    cleaned.encode()
    assert num_words(cleaned) == len(cleaned.split())
    # What the tokenizer's normaliser makes of it:
    assert not any(literal in unicodedata.normalize("NFKC", cleaned) for literal in LITERALS[:5])


def test_no_other_character_becomes_an_angle_bracket():
    signs = [chr(i) for i in range(sys.maxunicode + 1) if set("<>") & set(unicodedata.normalize("NFKC", chr(i)))]
    assert sorted(signs) == sorted("<>＜＞﹤﹥")
