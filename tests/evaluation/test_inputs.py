"""Rows of texts and pairs hold every sub-word, however long the texts are."""

import pytest

from camembert_bio.evaluation.inputs import template_of, text_rows

from .conftest import make_documents

LONG = " ".join(text for text, _ in make_documents(12, seed=3))
SHORT = "L'aspirine soulage"


def windows_of(rows, tokenizer):
    """The sub-words of the texts of each row, without special ones."""
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    return [[token for token in row.input_ids.tolist() if token not in special] for row in rows]


@pytest.mark.parametrize("texts", [(LONG,), (SHORT, LONG), (LONG, SHORT), (LONG, LONG[: len(LONG) // 2])])
def test_nothing_is_cut(tokenizer, texts):
    rows = text_rows(texts, tokenizer, template_of(tokenizer), 40, 8)
    assert len(rows) > 1
    assert max(len(row.input_ids) for row in rows) == 40
    seen = windows_of(rows, tokenizer)
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for place in range(len(ids) - 2):  # windows overlap, so that every stretch of three is whole in one
            assert any(ids[place : place + 3] == row[k : k + 3] for row in seen for k in range(len(row))), place


def test_what_fits_is_one_row_as_the_tokenizer_makes_it(tokenizer):
    template = template_of(tokenizer)
    (row,) = text_rows((SHORT, SHORT), tokenizer, template, 64, 16)
    assert row.input_ids.tolist() == tokenizer(SHORT, SHORT)["input_ids"]
    room = len(row.input_ids)
    assert len(text_rows((SHORT, SHORT), tokenizer, template, room, 4)) == 1
    assert len(text_rows((SHORT, SHORT), tokenizer, template, room - 1, 4)) > 1


def test_a_text_of_nothing_that_the_tokenizer_knows_is_a_row(tokenizer):
    (row,) = text_rows(("\u200b",), tokenizer, template_of(tokenizer), 16, 4)
    assert len(row.input_ids) >= 2


@pytest.mark.parametrize("seq_length", [8, 9, 12])
def test_the_shortest_rows(tokenizer, seq_length):
    rows = text_rows((LONG[:60], LONG[:50]), tokenizer, template_of(tokenizer), seq_length, 6)
    assert {len(row.input_ids) for row in rows} == {seq_length}
