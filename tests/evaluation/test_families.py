"""Taggers of every type: folders as the hub has them are opened, aligned without loss, and trained."""

from __future__ import annotations

import json

import pytest
import torch
from families import write_model, write_tokenizer

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.align import lone_space_id
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.examples import encode_documents
from camembert_bio.evaluation.finetune import finetune
from camembert_bio.evaluation.forward import read_rows
from camembert_bio.evaluation.inputs import template_of, text_rows
from camembert_bio.evaluation.models import check_tokenizer, load_headed, open_model
from camembert_bio.evaluation.perplexity import likelihoods, load_masked_lm
from camembert_bio.evaluation.recipe import Finetune, Task
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


@pytest.mark.parametrize("kind", ["texts", "choices"])
def test_a_pair_is_read_as_transformers_reads_it(folder, kind):
    model = open_model("tiny", str(folder), 64)
    template = template_of(model.tokenizer)
    first, second = "L'aspirine soulage", "la migraine du patient."
    (row,) = text_rows((first, second), model.tokenizer, template, 64, 16)
    (alone,) = text_rows((first,), model.tokenizer, template, 64, 16)
    theirs = model.tokenizer(first, second, return_tensors="pt")
    assert row.input_ids.tolist() == theirs["input_ids"][0].tolist()
    assert alone.input_ids.tolist() == model.tokenizer(first)["input_ids"]
    assert row.token_types.tolist() == theirs.get("token_type_ids", torch.zeros(1, len(row.input_ids)))[0].tolist()
    headed = load_headed(model, kind, 0, ["x", "y"][: 2 if kind == "texts" else 1])
    types = [row.token_types, alone.token_types] if template.second_type else None
    ours, _ = read_rows(headed, [row.input_ids, alone.input_ids], types, kind == "choices", reduce=torch.Tensor.cpu)
    with torch.inference_mode():
        inputs = {name: value[:, None] if kind == "choices" else value for name, value in theirs.items()}
        expected = headed.eval()(**inputs).logits[0]
    assert torch.allclose(torch.from_numpy(ours), expected, atol=1e-5)


def test_a_text_head_is_drawn_from_its_seed_alone(folder):
    model = open_model("tiny", str(folder), 64)
    states = []
    for seed, noise in ((1, 5), (1, 6), (2, 6)):
        torch.manual_seed(noise)
        states.append(load_headed(model, "texts", seed, ["x", "y"], bias=0.5).state_dict())
    first, again, other = states
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    drawn = {name for name, value in first.items() if not torch.equal(value, other[name])}
    assert any(name.startswith("classifier.") for name in drawn)
    assert all(name.startswith(("classifier.", "bert.pooler.")) for name in drawn)


def test_pseudo_perplexity_is_that_of_one_pass_a_sub_word(folder):
    model = open_model("tiny", str(folder), 64)
    path = folder / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS[:2]))
    data = load_task(Task("t", "jsonl", "pseudo-perplexity", test=path))
    recipe = Finetune(folder, {"tiny": str(folder)}, (data.task,), seq_length=64, window_overlap=16)
    row, _ = likelihoods(model, data, recipe, "tiny").predictions
    encoder = load_masked_lm(model).eval()
    ids = model.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    total = num_tokens = 0
    with torch.inference_mode():
        for place in range(1, ids.shape[1] - 1):
            if int(ids[0, place]) in model.tokenizer.all_special_ids:
                continue
            masked = ids.clone()
            masked[0, place] = model.tokenizer.mask_token_id
            logits = encoder(input_ids=masked, attention_mask=torch.ones_like(masked)).logits[0, place]
            total -= logits.log_softmax(-1)[ids[0, place]].item()
            num_tokens += 1
    assert (row.num_tokens, row.num_words) == (num_tokens, len(TEXTS[0].split()))
    assert row.nll == pytest.approx(total, rel=1e-4)


def test_unknown_words_do_not_better_the_figure_a_word(folder):
    model = open_model("tiny", str(folder), 64)
    known, half = TEXTS[0], f"{TEXTS[0]} morphinЖe Ж {model.tokenizer.sep_token}"
    (folder / "held.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in (known, half)))
    task = Task("t", "jsonl", "pseudo-perplexity", test=folder / "held.jsonl")
    recipe = Finetune(folder, {"tiny": str(folder)}, (task,), seq_length=64, window_overlap=16)
    one, two = likelihoods(model, load_task(task), recipe, "tiny").predictions
    knows_all = model.tokenizer.unk_token_id not in model.tokenizer("Ж")["input_ids"]  # by bytes
    assert (one.num_words, one.num_unscored_words) == (len(known.split()), 0)
    assert (two.num_words, two.num_unscored_words) == (len(known.split()) + 2 * knows_all, 3 - 2 * knows_all)
    if not knows_all:
        assert two.num_tokens == one.num_tokens


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
