import random

import pytest

from camembert_bio.evaluation import align


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
