"""Entities keep their characters, whatever stands around them and however the tokenizer counts its offsets.

transformers 5.23 splits at white space before it marks words, 4.57 marked them in the whole text: the same pieces,
whose offsets begin after the space, or with it.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from camembert_bio.evaluation import align
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import encode_documents
from camembert_bio.evaluation.layers import decode, encode

CHEM = (("CHEM",),)
WORDS = ["aspirine", "he\u0301parine", "héparine", "👩\u200d⚕️", "😀", "½", "ﬁèvre", "insuffisance rénale", "e\u0301"]
GAPS = [" ", "  ", "\r\n", "\n\n", "\t", "\u00a0", "'", "’", ", ", ".", " l'", " d’", " \r\n l’", "\u2009"]


@pytest.fixture(scope="module")
def old_tokenizer(tokenizer):
    """(ids, offsets) of a text through the stages that transformers 4.57 gave the same model."""
    old = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    stages = [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    old.normalizer = normalizers.Sequence([tokenizer.backend_tokenizer.normalizer, *stages])
    old.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")

    def tokens(text):
        found = old.encode(text, add_special_tokens=False)
        return align.tokens_from_offsets(text, found.ids, found.offsets, tokenizer.convert_tokens_to_ids("▁"))

    return tokens


@st.composite
def annotated(draw):
    """A text of words and gaps, with a span on some of the words."""
    text, spans = draw(st.sampled_from(["", *GAPS])), []
    for word in draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)):
        if draw(st.booleans()):
            spans.append(Span(((len(text), len(text) + len(word)),), "CHEM"))
        text += word + draw(st.sampled_from(GAPS))
    return Document("a", text, tuple(spans))


def there_and_back(tokens, spans):
    return decode(tokens, encode(tokens, [spans], CHEM), CHEM)


def test_the_two_behaviours_are_those_of_the_two_versions(tokenizer, old_tokenizer):
    text = "  le mal"
    new = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert new["offset_mapping"][0][0] == 2
    tokens = old_tokenizer(text)
    assert tokens.input_ids.tolist() == new["input_ids"]
    assert tokens.starts[0] == 2


@settings(max_examples=150, deadline=None, derandomize=True)
@given(document=annotated())
def test_both_versions_give_the_spans_back(tokenizer, old_tokenizer, document):
    new = align.tokenize(document.text, tokenizer)
    assert there_and_back(new, document.spans) == list(document.spans)
    assert there_and_back(old_tokenizer(document.text), document.spans) == list(document.spans)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(document=annotated())
def test_brat_gives_the_document_back(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("brat")
    (folder / "a.txt").write_bytes(document.text.encode())
    marks = [(span.start, span.end, document.text[span.start : span.end]) for span in document.spans]
    lines = [f"T{n}\tCHEM {start} {end}\t{surface}\r\n" for n, (start, end, surface) in enumerate(marks, 1)]
    (folder / "a.ann").write_bytes("".join(lines).encode())
    assert read_brat(folder) == [document]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prendre l'aspirine.", ["aspirine"]),
        ("prendre l’aspirine.", ["aspirine"]),
        ("fin\r\n\r\naspirine\r\nà jeun", ["aspirine", "jeun"]),
        ("oui 😀 aspirine 👩\u200d⚕️ morphine", ["aspirine", "morphine", "👩\u200d⚕️"]),
        ("he\u0301parine et le\u0301pirudine\u0301", ["he\u0301parine", "le\u0301pirudine\u0301"]),
        ("  aspirine\u00a0: ½ dose ", ["aspirine", "½"]),
        ("a\tb\u200bmorphine\n", ["morphine"]),
        ("ﬁn d'aspirine", ["ﬁn", "aspirine"]),
    ],
)
def test_awkward_texts_are_exact(tokenizer, old_tokenizer, text, parts):
    spans = sorted(Span(((text.index(part), text.index(part) + len(part)),), "CHEM") for part in parts)
    encoded = encode_documents([Document("a", text, tuple(spans))], tokenizer, 64, 16)
    perfect, ledger = perfect_spans(encoded, "flat-outermost", CHEM)
    assert perfect == [spans]
    assert ledger["boundary"] == 0
    assert there_and_back(old_tokenizer(text), spans) == spans
