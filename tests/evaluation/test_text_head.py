"""Heads of texts and of words: what they learn from and how long texts are read."""

import json

import numpy as np
import pytest
import torch

from camembert_bio.errors import RunError
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import encode_documents
from camembert_bio.evaluation.finetune import finetune
from camembert_bio.evaluation.models import open_model
from camembert_bio.evaluation.perplexity import MLM_PROBABILITY, masked_words
from camembert_bio.evaluation.pos_head import PosHead, first_tokens
from camembert_bio.evaluation.recipe import Columns, Finetune, Task
from camembert_bio.evaluation.tasks import load_task
from camembert_bio.evaluation.text_head import TextHead

from .conftest import make_documents

LONG = " ".join(text for text, _ in make_documents(9, seed=5))


@pytest.fixture
def model(model_folder):
    return open_model("tiny", str(model_folder), 64)


def load(folder, task_type, rows, **columns):
    parts = {}
    for part, found in rows.items():
        parts[part] = folder / f"{part}.jsonl"
        parts[part].write_text("\n".join(json.dumps(row) for row in found))
    return load_task(Task("t", "jsonl", task_type, Columns(**columns), **parts))


def recipe_of(data, **changes):
    values = {"seq_length": 32, "window_overlap": 8, "max_steps": 30, "evaluate_every": 15, "learning_rate": 3e-3}
    return Finetune(data.task.train, {"tiny": "x"}, (data.task,), **{**values, **changes})


def classes(text):
    return {"text": text, "label": "drug" if "morphine" in text else "other"}


@pytest.fixture
def words():
    rows = {"train": [], "validation": [], "test": []}
    for number, text in enumerate(dict(make_documents(60, seed=8))):
        rows[["train", "train", "validation", "test"][number % 4]].append(text)
    return rows


def test_a_long_text_is_answered_by_the_mean_of_its_windows(model, tmp_path, words):
    rows = {part: [classes(text) for text in found] for part, found in words.items()}
    rows["test"] = [{"text": LONG, "label": "drug"}, {"text": words["test"][0], "label": "other"}]
    data = load(tmp_path, "classification", rows)
    head = TextHead(model, data, recipe_of(data))
    headed = head.load(seed=3).eval()
    ids = model.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    starts = [*range(0, len(ids) - 30, 22), len(ids) - 30]
    windows = [
        [model.tokenizer.cls_token_id, *ids[start : start + 30], model.tokenizer.sep_token_id] for start in starts
    ]
    with torch.inference_mode():
        mean = headed(input_ids=torch.tensor(windows)).logits.mean(0)
    assert head.predict(headed)[0].pred == (data.labels[int(mean.argmax())],)
    in_training = TextHead(
        model, load(tmp_path, "classification", rows | {"train": rows["test"], "test": rows["train"]}), recipe_of(data)
    )
    target = torch.tensor(data.labels.index(rows["test"][0]["label"]))
    assert in_training.lengths[0] == sum(map(len, windows))
    with torch.inference_mode():
        loss = in_training.loss(headed, np.array([0]))
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(mean, target).item(), rel=1e-4)


def test_a_score_on_validation_that_is_not_finite(model, tmp_path, words):
    rows = {
        part: [{"text": text, "text_pair": text[:9], "label": number % 4} for number, text in enumerate(found)]
        for part, found in words.items()
    }
    data = load(tmp_path, "similarity", rows, text_pair="text_pair")
    recipe = recipe_of(data, learning_rate=1e30, warmup_ratio=0, max_steps=1, evaluate_every=1)
    with pytest.raises(RunError, match=r"pairs tiny: edrm is nan at step 1; try a lower learning_rate"):
        finetune(TextHead(model, data, recipe), recipe, 0, "pairs tiny")


def test_a_fine_tuned_model_is_saved_and_read_as_transformers_own(model, tmp_path, words):
    from transformers import AutoModelForSequenceClassification, pipeline

    data = load(tmp_path, "classification", {p: [classes(text) for text in found] for p, found in words.items()})
    head = TextHead(model, data, recipe_of(data, seq_length=64, window_overlap=16))
    headed = head.load(seed=0)
    headed.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", local_files_only=True)
    classify = pipeline("text-classification", model=again, tokenizer=model.tokenizer, device="cpu")
    theirs = [answer["label"] for answer in classify([item.texts[0] for item in data.test])]
    assert theirs == [row.pred[0] for row in head.predict(headed)]


def test_words_are_learnt(model, tmp_path, words):
    rows = {
        part: [
            {"tokens": text.split(), "tags": ["DRUG" if "morphine" in word else "X" for word in text.split()]}
            for text in found
        ]
        for part, found in words.items()
    }
    data = load(tmp_path, "pos", rows)
    outcome = finetune(PosHead(model, data, recipe_of(data)), recipe_of(data), 0, "pos")
    assert [row.gold for row in outcome.predictions] == [tuple(row["tags"]) for row in rows["test"]]
    assert {len(row.gold) - len(row.pred) for row in outcome.predictions} == {0}
    assert outcome.history[-1]["validation_accuracy"] > 0.9


def test_the_first_sub_word_of_a_word(tokenizer):
    text = "aspirine \u200b morphine"
    document = Document("a", text, tuple(Span((place,), "X") for place in ((0, 8), (9, 10), (11, 19))))
    (tokens,) = encode_documents([document], tokenizer, 64, 16).tokens
    first, nothing, last = first_tokens(document, tokens.starts, tokens.ends)
    assert nothing == -1
    assert (tokens.starts[first], tokens.starts[last]) == (0, 11)
    assert tokens.is_visible[[first, last]].all()


def test_masks_follow_from_the_text_alone(model):
    documents = [Document("a", LONG, ()), Document("b", "L'aspirine soulage.", ())]
    rows = list(masked_words(encode_documents(documents, model.tokenizer, 64, 16), model))
    again = list(masked_words(encode_documents(documents[::-1], model.tokenizer, 64, 16), model))
    ours, theirs = ([row for row in found if row.document == place] for found, place in ((rows, 0), (again, 1)))
    assert all(np.array_equal(one.input_ids, two.input_ids) for one, two in zip(ours, theirs, strict=True))
    scored = sum(len(row.places) for row in ours)
    num_tokens = len(model.tokenizer(LONG, add_special_tokens=False)["input_ids"])
    assert abs(scored / num_tokens - MLM_PROBABILITY) < 0.08
    num_masked = sum((row.input_ids == model.tokenizer.mask_token_id).sum() for row in ours)
    assert 0 < num_masked < num_tokens / 2
