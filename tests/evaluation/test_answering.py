"""Losses are transformers' own, and answers follow the rules that the forms state."""

import numpy as np
import pytest
import torch

from camembert_bio.evaluation.answering import Choices, LabelSet, Number, OneClass, form_of
from camembert_bio.evaluation.items import Item
from camembert_bio.evaluation.models import load_headed, open_model
from camembert_bio.evaluation.recipe import Task

LABELS = ("x", "y", "z")


def item(gold, choices=()):
    return Item("a", ("texte",), gold, choices)


@pytest.fixture
def inputs(tokenizer):
    return tokenizer(["L'aspirine", "la migraine du patient", "rien"], padding=True, return_tensors="pt")


@pytest.mark.parametrize(
    ("form", "golds", "labels"),
    [
        (OneClass(LABELS), [("x",), ("z",), ("x",)], torch.tensor([0, 2, 0])),
        (LabelSet(LABELS, True), [("x",), ("y", "z"), ()], torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])),
        (Number((0.0, 5.0), 2.0), [1.0, 2.5, 5.0], torch.tensor([1.0, 2.5, 5.0])),
    ],
)
def test_the_loss_is_that_of_transformers_own_class(model_folder, inputs, form, golds, labels):
    headed = load_headed(open_model("a", str(model_folder), 64), form.kind, 0, **form.options).eval()
    items = [item(gold) for gold in golds]
    found = headed(**inputs, labels=labels)
    assert (form.loss(found.logits, items) / form.weight(items)).item() == pytest.approx(found.loss.item(), rel=1e-5)
    assert headed.config.problem_type == form.options["problem_type"]
    if isinstance(form, Number):
        assert headed.classifier.out_proj.bias.tolist() == [2.0]


def test_the_loss_of_choices(model_folder, inputs):
    headed = load_headed(open_model("a", str(model_folder), 64), "choices", 0, **Choices(True).options).eval()
    found = headed(**{name: value[None] for name, value in inputs.items()}, labels=torch.tensor([1]))
    question = item(("b",), (("a", "un"), ("b", "deux"), ("c", "trois")))
    single = Choices(is_single=True)
    logits_UK = found.logits.reshape(3, 1)
    assert (single.loss(logits_UK, [question]) / single.weight([question])).item() == pytest.approx(found.loss.item())
    # Questions with unequal numbers of choices in one batch.
    other = item(("a",), (("a", "un"), ("b", "deux")))
    both = single.loss(torch.cat([logits_UK, logits_UK[:2]]), [question, other])
    alone = single.loss(logits_UK, [question]) + single.loss(logits_UK[:2], [other])
    assert both.item() == pytest.approx(alone.item())
    several = Choices(is_single=False)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits_UK[:, 0], torch.tensor([0.0, 1.0, 0.0]))
    assert (several.loss(logits_UK, [question]) / several.weight([question])).item() == pytest.approx(expected.item())


def test_answers():
    question = item(("b",), (("a", "un"), ("b", "deux"), ("c", "trois")))
    logits = np.array([[-1.0, 2.0, 0.5]])
    assert OneClass(LABELS).answer(logits, question) == ("y",)
    assert LabelSet(LABELS, True).answer(logits, question) == ("y", "z")
    assert LabelSet(LABELS, True).answer(logits - 3, question) == ("y",)
    assert LabelSet(LABELS, False).answer(logits - 3, question) == ()
    assert Choices(True).answer(logits.T, question) == ("b",)
    assert Choices(False).answer(logits.T, question) == ("b", "c")
    assert Choices(False).answer(logits.T - 3, question) == ("b",)
    assert Choices(True).units(question) == [("texte", "un"), ("texte", "deux"), ("texte", "trois")]
    assert [Number((0.0, 5.0), 2.0).answer(np.array([[value]]), question) for value in (-1, 2.5, 9)] == [0, 2.5, 5]


def test_rare_classes_may_weigh_more():
    train = [item(("x",))] * 8 + [item(("y",))] * 2
    form = form_of(Task("t", "jsonl", "classification", train="a", test="b"), ("x", "y"), train, class_balance=1.0)
    assert isinstance(form, OneClass) and form.weights is not None
    assert form.weights[1] / form.weights[0] == pytest.approx(4)
    logits_UK = torch.zeros(10, 2)
    assert form.loss(logits_UK, train).item() == pytest.approx(OneClass(("x", "y")).loss(logits_UK, train).item())


def test_the_form_follows_the_training_items():
    def form(task_type, *items):
        return form_of(Task("t", "jsonl", task_type, train="a", test="b"), LABELS, items)

    assert form("classification", item(("x",))) == OneClass(LABELS)
    assert form("multi-label", item(("x",)), item(())) == LabelSet(LABELS, needs_one=False)
    assert form("multi-label", item(("x",)), item(("y", "z"))) == LabelSet(LABELS, needs_one=True)
    assert form("similarity", item(1.0), item(4.0)) == Number((0.0, 5.0), 2.5)
    choices = (("a", "un"), ("b", "deux"))
    assert form("multiple-choice", item(("a",), choices), item(("b",), choices)) == Choices(is_single=True)
    assert form("multiple-choice", item(("a", "b"), choices), item(("b",), choices)) == Choices(is_single=False)
