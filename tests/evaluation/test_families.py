"""Taggers of every type: folders as the hub has them are opened, aligned without loss, and trained."""

from __future__ import annotations

import json

import pytest
from families import write_model, write_tokenizer

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.align import lone_space_id
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.examples import encode_documents
from camembert_bio.evaluation.finetune import finetune
from camembert_bio.evaluation.models import check_tokenizer, open_model
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tagging import Parts, TaggingHead
from camembert_bio.evaluation.tasks import load_task

from .conftest import make_documents

TEXTS = [text for text, _ in make_documents(200, seed=0)]


@pytest.fixture(scope="module", params=["roberta", "xlm-roberta", "bert", "modernbert"])
def folder(request, tmp_path_factory):
    made = write_tokenizer(request.param, tmp_path_factory.mktemp(request.param), TEXTS, 330)
    size = json.loads((made / "config.json").read_text())["vocab_size"]
    return write_model(request.param, made, vocab_size=size)


def test_a_published_folder_is_opened_aligned_and_trained(folder, recipe_values):
    recipe = config.build(Finetune, {**recipe_values, "models": {"tiny": str(folder)}, "max_steps": 2})
    model = open_model("tiny", str(folder), 64)
    data = load_task(recipe.tasks[0])
    check_tokenizer(model, "drugs", data.test)
    parts = Parts(
        *(encode_documents(part, model.tokenizer, 64, 16) for part in (data.train, data.validation, data.test)),
        (data.labels,),
    )
    for window in parts.test.windows[:5]:
        assert (window.input_ids[0], window.input_ids[-1]) == tuple(model.tokenizer("")["input_ids"])
    outcome = finetune(TaggingHead(model, parts, recipe), recipe, 0, "tiny")
    assert len(outcome.predictions) == len(data.test) and len(outcome.history) == 1
    found, ledger = perfect_spans(parts.test, "flat-outermost", (data.labels,))
    assert [set(spans) for spans in found] == [set(document.spans) for document in data.test]
    assert ledger["gold"] > 20 and sum(ledger.values()) == ledger["gold"]


def test_an_unknown_word_is_seen_and_counted_unknown(folder):
    """A tokenizer without a lone `▁` gives the unknown id for it: an unknown word is no lone space."""
    model = open_model("tiny", str(folder), 64)
    document = Document("a", "ЖЖЖ щщщ", ())
    (encoded,) = encode_documents([document], model.tokenizer, 64, 16).tokens
    assert encoded.is_visible.any()
    if model.tokenizer.unk_token_id in encoded.input_ids:
        with pytest.raises(UserError, match=r"model tiny: .* reads \d+% of the sub-words of task drugs as"):
            check_tokenizer(model, "drugs", [document])
    known = model.tokenizer.get_vocab()
    assert lone_space_id(model.tokenizer) == known.get("▁", -1)


def test_a_type_without_proof_is_refused_by_name(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deberta-v2"}))
    message = "model tiny: .* is a 'deberta-v2'; give one of camembert, roberta, xlm-roberta, bert, modernbert"
    with pytest.raises(UserError, match=message):
        open_model("tiny", str(tmp_path), 64)
