import re
from pathlib import Path
from typing import get_args

import pytest

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.recipe import FORMATS, Finetune, Format, paper_protocol, protocol


def build(values, **changes):
    return config.build(Finetune, {**values, **changes}, "finetune")


def test_the_defaults_are_the_published_protocol(recipe_values):
    values = {name: recipe_values[name] for name in ("output", "models", "tasks")}
    recipe = build(values)
    assert protocol(recipe) == paper_protocol()
    assert (recipe.learning_rate, recipe.warmup_ratio, recipe.batch_size, recipe.max_steps) == (5e-5, 0.224, 16, 2000)
    assert len(recipe.seeds) == 10


def test_protocol_holds_every_option_that_is_not_a_place(recipe_values):
    recipe = build(recipe_values, policy="flat-longest")
    assert protocol(recipe)["policy"] == "flat-longest"
    assert not {"output", "models", "tasks", "seeds"} & protocol(recipe).keys()


def test_an_option_that_is_off_is_no_part_of_the_protocol(recipe_values):
    off = {"precision": "fp32", "patience": None, "layer_decay": 1.0, "fixed_seeds": {}, "batch_unit": "windows"}
    assert protocol(build(recipe_values, **off, search_trials=40)) == protocol(build(recipe_values))
    on = {"precision": "bf16", "patience": 3, "layer_decay": 0.9, "class_balance": 0.5, "micro_batch_tokens": 640}
    for name, value in {**on, "fixed_seeds": {"order": 1}, "evaluate_every": "epoch"}.items():
        assert protocol(build(recipe_values, **{name: value}))[name] not in (None, off.get(name))


def test_the_audited_protocol_allows_no_leak(recipe_values):
    task = recipe_values["tasks"][0] | {"allowed_leaks": ["doc000"]}
    message = "protocol audited allows no leak, and drugs gives allowed_leaks; remove it"
    with pytest.raises(UserError, match=message):
        build(recipe_values, tasks=[task], protocol="audited", policy="per-label")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, "models"),
        ({"models": {"../up": "x"}}, "model name '../up' does not do for a folder"),
        ({"models": {"tiny\n": "x"}}, r"model name 'tiny\\n' does not do for a folder"),
        ({"models": {"x" * 101: "x"}}, r"model name 'x{20}\.\.\. of 101 characters' does not do .*; use at most 100"),
        ({"seeds": [1, 1]}, "one is given twice"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [2**32]}, r"seeds\.0: input should be less than 4294967296"),
        ({"window_overlap": 62}, "leaves no step between windows"),
        ({"policy": "nested"}, "policy"),
        ({"micro_batch_tokens": 63}, "micro_batch_tokens 63 sub-words hold no window of seq_length 64; raise it"),
        ({"batch_unit": "sub-words"}, "batch_size 16 sub-words hold no window of seq_length 64; raise it"),
        ({"protocol": "audited"}, "protocol audited scores all gold, and policy flat-outermost cannot; use per-label"),
        ({"learning_rates": 1e-4}, "did you mean 'learning_rate'"),
    ],
)
def test_mistakes_are_named(recipe_values, changes, message):
    with pytest.raises(UserError, match=message):
        build(recipe_values, **changes)


def test_task_names_are_distinct(recipe_values):
    with pytest.raises(UserError, match="tasks: a name is given twice"):
        build(recipe_values, tasks=recipe_values["tasks"] * 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "e3c-paper"}, r"tasks\.0: split e3c-paper needs path, and neither train, validation nor test"),
        ({"split": "e3c-paper", "path": "x"}, r"tasks\.0: split e3c-paper needs path, and neither train"),
        ({"test": None}, r"tasks\.0: give train and test, or path and split"),
        (
            {"labels": ["A", "B"], "dropped_labels": ["B"]},
            r"labels and dropped_labels both hold B; give each label once",
        ),
        ({"labels": []}, r"tasks\.0\.labels"),
        ({"name": "t\n"}, r"tasks\.0: task name 't\\n' does not do for a folder"),
        ({"name": "x" * 300}, r"task name 'x{20}\.\.\. of 300 characters' does not do for a folder; use at most 100"),
        ({"name": ".lock"}, r"tasks\.0: task name '\.lock' does not do for a folder; .* the first of them a letter"),
        ({"name": "finetune.json"}, "task name 'finetune.json' is that of a file beside the tasks' folders; give anot"),
        ({"name": "Report.HTML"}, "task name 'Report.HTML' is that of a file beside the tasks' folders; give another"),
        ({"format": "bratt"}, r"tasks\.0\.format"),
        ({"type": "qa"}, r"tasks\.0\.type"),
        ({"type": "classification"}, r"tasks\.0: format brat is not read for type classification, but for ner, perpl"),
        ({"format": "morfitt"}, r"tasks\.0: format morfitt is not read for type ner, but for multi-label"),
        ({"columns": {"texts": "x"}}, r"tasks\.0\.columns\.texts: unknown option \(did you mean 'text'\?\)"),
        ({"scale": [5, 5]}, r"tasks\.0: scale \[5\.0, 5\.0\] is empty; give the smallest similarity"),
        ({"type": "perplexity", "train": None, "test": None}, r"tasks\.0: give test, or path and split"),
        ({"type": "multi-label", "format": "morfitt", "test": None}, r"tasks\.0: give train and test, or path and"),
    ],
)
def test_mistakes_of_a_task_are_named(recipe_values, changes, message):
    with pytest.raises(UserError, match=message):
        build(recipe_values, tasks=[recipe_values["tasks"][0] | changes])


def test_a_model_may_be_called_like_a_file_of_the_output(recipe_values):
    build(recipe_values, models={"report.md": "x", "x" * 100: "x"})


def test_the_page_of_recipes_says_which_formats_a_type_is_read_from():
    page = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
    told = {}
    for types, formats in re.findall(r"^\| (`.*?) \| (.*) \|$", page.split("| `type` | `format` |")[1], re.MULTILINE)[
        :6
    ]:
        named = set(re.findall(r"`(.+?)`", formats))
        for name in re.findall(r"`(.+?)`", types):
            told[name] = set(get_args(Format)) - named if formats.startswith("all but") else named
    assert told == {name: set(formats) for name, formats in FORMATS.items()}
