import random
from pathlib import Path

import numpy as np
import pytest

from camembert_bio.evaluation import align
from camembert_bio.evaluation.align import IGNORED, Tokens
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.metrics import strict_scores

QUAERO = Path(__file__).parents[3] / "shared/data/quaero-brat/corpus"


def span(start, end, label="CHEM"):
    return Span(((start, end),), label)


def spans_of(text, *parts):
    return tuple(sorted(span(text.index(part), text.index(part) + len(part)) for part in parts))


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
def test_there_and_back_is_exact(tokenizer, text, parts):
    spans = spans_of(text, *parts)
    tokens = align.tokenize(text, tokenizer)
    perfect, ledger = align.perfect_spans(Document("a", text, spans), tokens, "flat-outermost", ["CHEM"])
    assert tuple(perfect) == spans
    assert ledger["boundary"] == 0


def test_both_offset_behaviours_give_the_same_tokens():
    text = "le  mal é 😀"
    ids = [9, 4, 10, 4, 11, 4, 12]
    without_space = [(0, 2), (4, 5), (4, 7), (8, 9), (8, 9), (10, 11), (10, 11)]
    with_space = [(0, 2), (3, 4), (3, 7), (7, 8), (8, 9), (9, 10), (10, 11)]
    found = [align.tokens_from_offsets(text, ids, offsets, 4) for offsets in (without_space, with_space)]
    for tokens in found:
        visible = tokens.is_visible
        assert visible.tolist() == [True, False, True, False, True, False, True]
        assert tokens.starts[visible].tolist() == [0, 4, 8, 10]
        assert tokens.ends[visible].tolist() == [2, 7, 9, 11]


def test_the_real_tokenizer_has_lone_spaces_which_cover_nothing(tokenizer):
    tokens = align.tokenize("😀 Zzz 😀", tokenizer)
    lone = tokens.input_ids == tokenizer.convert_tokens_to_ids("▁")
    assert lone.any()
    assert not tokens.is_visible[lone].any()
    assert tokens.is_visible[~lone].all()


def test_outermost_and_longest():
    outer, inner, crossing = span(0, 10), span(2, 5), span(8, 20)
    split = Span(((0, 2), (4, 6)), "CHEM")
    spans = [inner, crossing, outer, split]
    assert align.flatten(spans, "flat-outermost") == [outer]
    assert align.flatten(spans, "flat-longest") == [inner, crossing]
    assert align.flatten([span(0, 4, "B"), span(0, 4, "A")], "flat-outermost") == [span(0, 4, "A")]
    # What is nested in a span that a crossing one displaces is not brought back: it is no outermost one.
    assert align.flatten([outer, crossing, span(12, 15)], "flat-outermost") == [outer]


def test_the_ledger_says_what_is_lost(tokenizer):
    text = "Le patient prend l'aspirine matin et soir."
    start = text.index("aspirine")
    spans = (
        span(start, start + 8),
        span(start, start + 4),
        span(11, 16, "NEW"),
        Span(((0, 2), (11, 16)), "CHEM"),
        span(2, 10),
    )
    tokens = align.tokenize(text, tokenizer)
    perfect, ledger = align.perfect_spans(Document("a", text, spans), tokens, "flat-outermost", ["CHEM"])
    # (2, 10) begins with a space, so that no token begins where it does.
    assert perfect == [span(3, 10), span(start, start + 8)]
    assert ledger == {"gold": 5, "unknown_label": 1, "discontinuous": 1, "nested": 1, "boundary": 1}


def test_a_shared_token_belongs_to_the_first_span():
    tokens = Tokens(np.array([7, 8, 9]), np.array([0, 4, 8]), np.array([4, 8, 12]))
    tags = align.encode(tokens, [span(0, 5), span(6, 12)], ["CHEM"])
    assert tags.tolist() == [1, 2, 1]
    assert align.encode(tokens, [span(0, 7), span(7, 8)], ["CHEM"]).tolist() == [1, 2, 0]


def test_invisible_tokens_neither_carry_nor_break_an_entity():
    tokens = Tokens(np.array([7, 4, 9]), np.array([0, 3, 3]), np.array([2, 3, 5]))
    tags = align.encode(tokens, [span(0, 5)], ["CHEM"])
    assert tags.tolist() == [1, IGNORED, 2]
    for middle in (0, 1, 2, IGNORED):
        assert align.decode(tokens, np.array([1, middle, 2]), ["CHEM"]) == [span(0, 5)]


@pytest.mark.parametrize(
    ("num_tokens", "size", "overlap", "expected"),
    [
        (0, 10, 4, []),
        (7, 10, 4, [(0, 7)]),
        (10, 10, 4, [(0, 10)]),
        (11, 10, 4, [(0, 10), (1, 11)]),
        (22, 10, 4, [(0, 10), (6, 16), (12, 22)]),
        (23, 10, 4, [(0, 10), (6, 16), (12, 22), (13, 23)]),
        (25, 10, 0, [(0, 10), (10, 20), (15, 25)]),
    ],
)
def test_windows(num_tokens, size, overlap, expected):
    assert align.windows(num_tokens, size, overlap) == expected


def test_every_token_is_read_where_it_is_farthest_from_a_cut():
    rng = random.Random(0)
    for _ in range(200):
        num_tokens, size = rng.randint(1, 200), rng.randint(6, 60)
        overlap = rng.randint(0, size - 1)
        spans = align.windows(num_tokens, size, overlap)
        owner = align.most_central(num_tokens, spans)
        for token, chosen in enumerate(owner):
            distances = []
            for start, end in spans:
                cuts = [start - 1] * (start > 0) + [end] * (end < num_tokens)
                inside = start <= token < end
                distances.append(min([abs(token - cut) for cut in cuts], default=10**6) if inside else -1)
            assert distances[chosen] == max(distances) >= 0


@pytest.mark.skipif(not QUAERO.is_dir(), reason="../shared/data/quaero-brat is absent")
def test_on_quaero_the_ledger_explains_the_ceiling(tokenizer):
    documents = read_brat(QUAERO / "test/EMEA")
    labels = sorted({entity.label for document in documents for entity in document.spans})
    gold, found, lost = [], [], 0
    for document in documents:
        tokens = align.tokenize(document.text, tokenizer)
        perfect, ledger = align.perfect_spans(document, tokens, "flat-outermost", labels)
        gold += [(document.id, entity.fragments, entity.label) for entity in document.spans]
        found += [(document.id, entity.fragments, entity.label) for entity in perfect]
        lost += ledger["nested"] + ledger["discontinuous"] + ledger["boundary"]
    scores = strict_scores(gold, found)
    assert scores.micro.true_positives == scores.micro.gold - lost
    assert 0.89 < scores.micro.f1 < 0.92
