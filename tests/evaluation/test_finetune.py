import json
import random
import shutil
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import RunError, UserError
from camembert_bio.evaluation.batches import epoch_batches, pad, shuffled_batches, sorted_batches
from camembert_bio.evaluation.ceiling import perfect_spans
from camembert_bio.evaluation.class_weights import class_weights
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import Encoded, encode_documents, window_labels
from camembert_bio.evaluation.finetune import Best, finetune, fit
from camembert_bio.evaluation.layers import IGNORED, encode, tag_layers
from camembert_bio.evaluation.metrics import strict_scores
from camembert_bio.evaluation.models import open_model
from camembert_bio.evaluation.optimizer import parameter_groups, rate_factor
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.tagging import Parts, TaggingHead, mentions, predict
from camembert_bio.evaluation.task_types import head_of
from camembert_bio.evaluation.tasks import load_task


@pytest.fixture
def recipe(recipe_values):
    return config.build(Finetune, recipe_values)


@pytest.fixture
def model(model_folder):
    return open_model("tiny", str(model_folder), 64)


@pytest.fixture
def parts(recipe, tokenizer):
    data = load_task(recipe.tasks[0])
    encoded = [encode_documents(part, tokenizer, 64, 16) for part in (data.train, data.validation, data.test)]
    return Parts(*encoded, (data.labels,))


LAYERS = (("CHEM",),)


def long_document():
    """Some 1,700 sub-words without a repeated stretch, with an entity every few words."""
    rng, text, spans = random.Random(0), "", []
    for _ in range(230):
        text += rng.choice(["L'", "sous ", "le patient prend ", "d’"])
        spans.append(Span(((len(text), len(text) + 8),), "CHEM"))
        text += "aspirine" + rng.choice([" et ", ".\r\n", " 😀 "])
    return Document("long", text, tuple(spans))


class Oracle(torch.nn.Module):
    """A tagger that is right about a token only where `reach` tokens lie between it and any cut, else says B.

    `answers` holds the tags of one document, whose every window is found again by its ids.
    """

    def __init__(self, encoded, answers, num_tags, reach):
        super().__init__()
        self.config = types.SimpleNamespace(pad_token_id=1)
        self.device = torch.device("cpu")
        self.encoded, self.answers, self.num_tags, self.reach = encoded, answers, num_tags, reach

    def forward(self, input_ids, attention_mask):
        logits = torch.zeros(*input_ids.shape, self.num_tags)
        logits[..., 1] = 0.5
        for row, length in enumerate(attention_mask.sum(1).tolist()):
            ids = input_ids[row, :length].numpy()
            (window,) = [w for w in self.encoded.windows if np.array_equal(w.input_ids, ids)]
            first, last = window.start, window.start + length - 2
            low = first + self.reach if first > 0 else first
            high = last - self.reach if last < len(self.answers) else last
            for token in range(low, high):
                logits[row, 1 + token - first, self.answers[token]] = 1.0
        return types.SimpleNamespace(logits=logits)


def test_a_perfect_tagger_reaches_the_ceiling_over_windows(tokenizer):
    document = long_document()
    encoded = encode_documents([document], tokenizer, 512, 128)
    assert len(encoded.tokens[0]) > 1500
    assert len(encoded.windows) == 4
    perfect, _ = perfect_spans(encoded, "flat-outermost", LAYERS)
    assert perfect == [list(document.spans)]
    tags = np.maximum(encode(encoded.tokens[0], [document.spans], LAYERS)[:, 0], 0)
    # With 128 shared tokens every token is at least 63 tokens inside one of its windows, and some hardly more.
    assert predict(Oracle(encoded, tags, 3, reach=63), encoded, LAYERS) == perfect
    assert predict(Oracle(encoded, tags, 3, reach=68), encoded, LAYERS) != perfect


def test_each_token_is_learnt_once(tokenizer):
    document = long_document()
    encoded = encode_documents([document], tokenizer, 64, 16)
    rows = [row[:, 0] for row in window_labels(encoded, "flat-outermost", LAYERS)]
    tags = encode(encoded.tokens[0], [document.spans], LAYERS)
    learnt = np.concatenate([row[row != IGNORED] for row in rows])
    assert learnt.tolist() == tags[tags != IGNORED].tolist()
    for window, row in zip(encoded.windows, rows, strict=True):
        assert len(row) == len(window.input_ids) <= 64
        assert (window.input_ids[0], window.input_ids[-1]) == (5, 6)
        assert row[0] == row[-1] == IGNORED


def test_a_document_without_text_is_passed_over(tokenizer):
    encoded = encode_documents([Document("empty", " \n", ()), long_document()], tokenizer, 64, 16)
    assert {window.document for window in encoded.windows} == {1}
    tags = np.zeros(len(encoded.tokens[1]), dtype=int)
    oracle = Oracle(encoded, tags, 3, reach=0)
    assert predict(oracle, encoded, LAYERS) == [[], []]


@pytest.mark.parametrize("task_type", ["ner", "pos"])
@pytest.mark.parametrize("changes", [{}, {"batch_unit": "sub-words", "batch_size": 64}])
def test_training_documents_without_a_sub_word_do_not_train_for_ever(recipe_values, model, task_type, changes):
    silent = [Document("a", "\x01", (Span(((0, 1),), "CHEM"),))]  # no white space, but sentencepiece leaves nothing
    recipe = config.build(Finetune, {**recipe_values, **changes})
    data = load_task(recipe.tasks[0])
    data = replace(data, train=silent, task=replace(data.task, type=task_type, format="conll"))
    message = "task drugs: the tokenizer of model tiny gives no sub-word of any of 1 training documents; give documents"
    with pytest.raises(UserError, match=message):
        head_of(recipe, data, model)


def test_a_head_without_examples_is_refused(recipe):
    with pytest.raises(UserError, match="x: 0 training examples; give documents with text"):
        fit(types.SimpleNamespace(lengths=[]), recipe, 0, "x")
    with pytest.raises(AssertionError):
        next(shuffled_batches([], 16, "windows", 0))


@pytest.mark.parametrize(("size", "unit", "least"), [(16, "windows", 0.9), (2000, "sub-words", 0.9)])
def test_batches_show_every_window_once_an_epoch(size, unit, least):
    lengths = list(np.random.default_rng(0).integers(3, 500, size=1000))
    batches = shuffled_batches(lengths, size, unit, seed=3)
    for epoch in range(2):
        found = [next(batches)]
        while not found[-1].ends_epoch:
            found.append(next(batches))
        assert sorted(np.concatenate([batch.indices for batch in found])) == list(range(1000))
        padded = [len(batch.indices) * max(lengths[index] for index in batch.indices) for batch in found]
        assert sum(lengths) / sum(padded) > least
        assert unit == "windows" or max(padded) <= size
        again = epoch_batches(lengths, size, unit, 3, epoch)
        assert [batch.indices.tolist() for batch in found] == [indices.tolist() for indices in again]
    first = [next(shuffled_batches(lengths, size, unit, seed)).indices.tolist() for seed in (3, 4)]
    assert first[0] != first[1]


def test_batches_that_predict_hold_so_many_tokens_with_padding():
    lengths = [5, 200, 7, 5, 30, 12]
    batches = sorted_batches(lengths, 30)
    assert batches == [[0, 3, 2], [5], [4], [1]]


def test_rows_are_padded_at_their_end():
    assert pad([np.array([1, 2, 3]), np.array([4])], 9).tolist() == [[1, 2, 3], [4, 9, 9]]


def test_the_learning_rate_rises_then_falls(recipe_values):
    recipe = config.build(Finetune, {**recipe_values, "max_steps": 1000})
    assert [rate_factor(step, recipe) for step in (0, 112, 224, 612, 1000)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    no_warmup = config.build(Finetune, {**recipe_values, "max_steps": 4, "warmup_ratio": 0})
    assert [rate_factor(step, no_warmup) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    only_warmup = config.build(Finetune, {**recipe_values, "max_steps": 2, "warmup_ratio": 1})
    assert [rate_factor(step, only_warmup) for step in range(3)] == [0.0, 0.5, 0.0]


@pytest.mark.parametrize("policy", ["flat-outermost", "per-label"])
def test_a_tiny_set_is_learnt_by_heart(recipe_values, model, parts, policy):
    values = {
        **recipe_values,
        "policy": policy,
        "max_steps": 120,
        "evaluate_every": 40,
        "learning_rate": 3e-3,
        "warmup_ratio": 0.1,
    }
    layers = tag_layers(policy, ["CHEM", "DISO"], parts.train.documents)
    known = Parts(parts.train, parts.train, parts.train, layers)
    recipe = config.build(Finetune, values)
    outcome = finetune(TaggingHead(model, known, recipe), recipe, seed=0, name="test")
    documents = parts.train.documents
    gold = mentions(documents, [document.spans for document in documents])
    assert strict_scores(gold, mentions(documents, outcome.predictions)).micro.f1 > 0.9
    assert [record["step"] for record in outcome.history] == [40, 80, 120]
    best = max(record["validation_f1"] for record in outcome.history)
    assert best == {record["step"]: record["validation_f1"] for record in outcome.history}[outcome.best_step]


def test_a_seed_repeats_and_leaves_the_generators_alone(recipe, model, parts):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    head = TaggingHead(model, parts, recipe)
    first, again, other = (finetune(head, recipe, seed, "test") for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert first.history == again.history
    assert first.predictions == again.predictions
    assert first.history != other.history


def test_the_best_weights_are_those_that_predict(recipe_values, model, parts):
    # A rate that only rises teaches first, then ruins: the last evaluation is not the best one.
    values = {**recipe_values, "max_steps": 60, "evaluate_every": 10, "learning_rate": 3e-1, "warmup_ratio": 1.0}
    twice = Parts(parts.train, parts.validation, parts.validation, parts.layers)
    recipe = config.build(Finetune, values)
    outcome = finetune(TaggingHead(model, twice, recipe), recipe, seed=0, name="test")
    documents = parts.validation.documents
    gold = mentions(documents, [document.spans for document in documents])
    scores = [record["validation_f1"] for record in outcome.history]
    assert scores[-1] < max(scores)
    assert strict_scores(gold, mentions(documents, outcome.predictions)).micro.f1 == max(scores)


def test_a_loss_that_is_not_finite(recipe_values, model, parts):
    recipe = config.build(Finetune, {**recipe_values, "learning_rate": 1e30, "warmup_ratio": 0})
    with pytest.raises(RunError, match="drugs tiny: the loss is nan at step 2; try a lower learning_rate"):
        finetune(TaggingHead(model, parts, recipe), recipe, seed=0, name="drugs tiny")


def build(values, **changes):
    return config.build(Finetune, {**values, **changes})


def test_training_ends_when_nothing_gets_better(recipe_values, model, parts):
    values = {"max_steps": 40, "evaluate_every": 2, "learning_rate": 1e-9}
    recipe = build(recipe_values, **values, patience=3)
    history = fit(TaggingHead(model, parts, recipe), recipe, 0, "test").history
    assert [record["step"] for record in history] == [2, 4, 6, 8]  # the first is better than nothing


def test_an_evaluation_each_epoch(recipe_values, model, parts):
    recipe = build(recipe_values, max_steps=8, evaluate_every="epoch")  # 48 windows are 3 batches
    history = fit(TaggingHead(model, parts, recipe), recipe, 0, "test").history
    assert [record["step"] for record in history] == [3, 6, 8]


def test_each_seed_moves_what_it_is_for(recipe_values, model, parts):
    def first_loss(seed=0, **fixed):
        recipe = build(recipe_values, max_steps=1, fixed_seeds=fixed)
        return fit(TaggingHead(model, parts, recipe), recipe, seed, "test").history[0]["train_loss"]

    same = {"initialisation": 5, "order": 5, "dropout": 5}
    assert first_loss(0, **same) == first_loss(1, **same) == first_loss(5)
    assert len({first_loss(0, **{**same, name: 6}) for name in same} | {first_loss(5)}) == 4


def test_a_step_in_parts_is_the_step(recipe_values, model_folder, parts, tmp_path):
    """Without dropout, whose numbers follow the shape of what goes through the model."""
    shutil.copytree(model_folder, tmp_path / "still")
    values = json.loads((model_folder / "config.json").read_text())
    values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "still" / "config.json").write_text(json.dumps(values))
    still = open_model("still", str(tmp_path / "still"), 64)
    losses = []
    for size in (None, 64, 200):
        recipe = build(recipe_values, micro_batch_tokens=size, learning_rate=1e-3, warmup_ratio=0)
        history = fit(TaggingHead(still, parts, recipe), recipe, 0, "test").history
        losses.append([record["train_loss"] for record in history])
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)


def test_bf16_is_near_fp32_and_keeps_the_weights_in_it(recipe_values, model, parts):
    found = []
    for precision in ("fp32", "bf16"):
        recipe = build(recipe_values, precision=precision)
        fitted = fit(TaggingHead(model, parts, recipe), recipe, 0, "test")
        assert {parameter.dtype for parameter in fitted.model.parameters()} == {torch.float32}
        found.append(fitted.history[-1]["train_loss"])
    assert found[0] != found[1] == pytest.approx(found[0], rel=2e-2)


def test_rates_fall_from_the_head_to_the_embeddings(recipe_values, model, parts):
    recipe = build(recipe_values, layer_decay=0.5, learning_rate=8e-5)
    tagger = TaggingHead(model, parts, recipe).load(0)
    groups = parameter_groups(tagger, recipe)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    by_name = {name: rates.pop(id(parameter)) for name, parameter in tagger.named_parameters()}
    assert not rates
    expected = {"classifier.": 8e-5, ".layer.1.": 4e-5, ".layer.0.": 2e-5, ".embeddings.": 1e-5}
    for part, rate in expected.items():
        found = {by_name[name] for name in by_name if part in name}
        assert found == {rate}, part
    assert {group["weight_decay"] for group in groups} == {0.0, recipe.weight_decay}


def test_weights_of_classes():
    counts = np.array([90, 9, 1, 0])
    assert class_weights(counts, 0.0).tolist() == [1, 1, 1, 1]
    balanced = class_weights(counts, 1.0)
    assert (balanced * counts)[:3] == pytest.approx(100 / 3)
    half = class_weights(counts, 0.5)
    assert (half * counts).sum() == pytest.approx(100)
    assert half[1] / half[0] == pytest.approx(10**0.5)


def test_balanced_classes_find_more(recipe_values, model, parts):
    """Nearly all tokens are O: weighed alike, the classes of entities are found sooner."""
    num_found = []
    for balance in (0.0, 1.0):
        recipe = build(recipe_values, class_balance=balance, max_steps=15, evaluate_every=15, learning_rate=1e-3)
        outcome = finetune(TaggingHead(model, parts, recipe), recipe, 0, "test")
        num_found.append(sum(map(len, outcome.predictions)))
    assert num_found[1] > num_found[0]


def test_a_protocol_chooses_by_its_own_gold(recipe_values, model, parts):
    """Each validation document has an entity within another: the paper's tags cannot hold it, nor does it count."""
    nested = [
        Document(document.id, document.text, (*document.spans, Span(((span.start, span.start + 2),), span.label)))
        for document in parts.validation.documents
        for span in document.spans[:1]
    ]
    num_gold = {}
    for protocol, policy in (("paper", "flat-outermost"), ("audited", "per-label")):
        layers = tag_layers(policy, ("CHEM", "DISO"), nested)
        validation = Encoded(nested, parts.validation.tokens, parts.validation.windows)
        recipe = build(recipe_values, protocol=protocol, policy=policy)
        head = TaggingHead(model, Parts(parts.train, validation, parts.test, layers), recipe)
        num_gold[protocol] = len(head.gold)
    all_gold = sum(len(document.spans) for document in nested)
    assert num_gold == {"paper": all_gold - len(nested), "audited": all_gold}


def test_the_best_weights_are_kept_and_of_equal_ones_the_latest():
    model = torch.nn.Linear(1, 1)
    best = Best()
    for step, score in enumerate([0.2, 0.5, 0.5, 0.1], start=1):
        with torch.no_grad():
            model.weight.fill_(step)
        best.offer(model, score, step)
    best.restore(model)
    assert (best.step, best.score, best.num_without_gain, model.weight.item()) == (3, 0.5, 2, 3.0)
