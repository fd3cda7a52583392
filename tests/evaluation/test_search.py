import json

import pytest

from camembert_bio import config
from camembert_bio.errors import RunError, UserError
from camembert_bio.evaluation.claims import claim
from camembert_bio.evaluation.recipe import Finetune, Search
from camembert_bio.evaluation.search import run_search

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "batch_size": {"choices": [8, 16]}}


@pytest.fixture
def values(tmp_path):
    return {"output": tmp_path / "search", "space": SPACE, "trials": 3}


@pytest.fixture
def recipe(recipe_values):
    return config.build(Finetune, {**recipe_values, "max_steps": 2})


def search(values, recipe, **changes):
    return run_search(config.build(Search, {**values, **changes}), recipe)


def test_a_search_that_goes_on_is_the_same_search(values, recipe, tmp_path):
    whole = search(values, recipe)
    assert [whole["trials"], whole["diverged"], len(whole["tried"])] == [3, 0, 3]
    part = search(values, recipe, output=tmp_path / "other", trials=1)
    assert part["tried"] == whole["tried"][:1]
    again = search(values, recipe, output=tmp_path / "other")
    assert again["tried"] == whole["tried"]
    assert search(values, recipe) == whole  # nothing is left to do
    other = search(values, recipe, output=tmp_path / "third", trials=1, seed=1)
    assert other["tried"][0]["values"] != whole["tried"][0]["values"]


def test_the_best_values_are_a_recipe_that_says_the_number_of_trials(values, recipe):
    found = search(values, recipe, seeds=[0, 1], trials=2)
    assert found == json.loads((values["output"] / "search.json").read_text())
    best = max(found["tried"], key=lambda trial: trial["validation"])
    assert found["best"] == {"values": best["values"], "validation": best["validation"]}
    assert best["scores"].keys() == {"drugs/tiny/seed-0", "drugs/tiny/seed-1"}
    assert best["validation"] == pytest.approx(sum(best["scores"].values()) / 2)
    text = (values["output"] / "recipe.yaml").read_text()
    assert text.startswith("# learning_rate, batch_size: the best of 2 trials by the mean score on validation of ")
    written = config.load_recipe(str(values["output"] / "recipe.yaml"), "finetune", {"finetune": Finetune})
    assert written.search_trials == 2
    assert {name: getattr(written, name) for name in SPACE} == best["values"]
    assert (written.tasks, written.max_steps) == (recipe.tasks, 2)


def test_test_documents_are_not_read(values, recipe, recipe_values, tmp_path):
    """Other test documents give the very same trials."""
    other = config.build(
        Finetune, {**recipe_values, "max_steps": 2, "tasks": [{**recipe_values["tasks"][0], "test": tmp_path / "test"}]}
    )
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.txt").write_text("Une seule phrase, tout autre.", encoding="utf-8")
    (tmp_path / "test" / "a.ann").write_text("T1\tCHEM 4 9\tseule\n", encoding="utf-8")
    one, two = (search(values, each, trials=1, output=tmp_path / str(n)) for n, each in enumerate((recipe, other)))
    assert one["tried"] == two["tried"]


def test_what_a_killed_search_was_at_is_done_again(values, recipe):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import load_study

    first = search(values, recipe, trials=1)
    storage = JournalStorage(JournalFileBackend(str(values["output"] / "search.journal")))
    load_study(study_name="search", storage=storage).ask()  # and nothing is told
    found = search(values, recipe, trials=2)
    assert found["trials"] == 2
    assert found["tried"][0] == first["tried"][0]


def test_a_journal_that_is_cut_goes_on_from_its_last_whole_line(values, recipe, caplog):
    whole = search(values, recipe, trials=2)
    journal = values["output"] / "search.journal"
    data = journal.read_bytes()
    first_line = data.index(b"\n") + 1
    for cut in (data[:-1], data[:-20], data[: len(data) // 2], data[:first_line] + b"\0" * 50, data[:10], b""):
        journal.write_bytes(cut)
        caplog.clear()
        assert search(values, recipe, trials=2) == whole
        assert ("its last line is cut, and dropped" in caplog.text) == bool(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello\n", r"search\.journal, line 1 is no entry of a journal; remove the lines from it on"),
        (b"\xff\xfe\n", r"line 1 is no entry"),
        (b"[" * 100_000 + b"\n", r"line 1 is no entry"),
        (b"5\n{}\n", r"line 1 is no entry"),
        (b"{}\n", r"search\.journal is no journal of a search \(\w+\); remove it, and the search begins anew"),
        (None, r"search\.journal is no journal of a search \(IsADirectoryError\)"),
    ],
)
def test_a_journal_that_is_none(values, recipe, content, message):
    journal = values["output"] / "search.journal"
    journal.parent.mkdir()
    if content is None:
        journal.mkdir()
    else:
        journal.write_bytes(content)
    with pytest.raises(UserError, match=message):
        search(values, recipe)


def test_trials_that_diverge_count(values, recipe):
    space = {"learning_rate": {"choices": [1e30]}, "warmup_ratio": {"choices": [0.0]}}
    with pytest.raises(RunError, match="each of 2 trials diverged; search lower values of learning_rate"):
        search(values, recipe, space=space, trials=2)


def test_a_task_without_training_is_not_searched(values, recipe_values):
    task = {**recipe_values["tasks"][0], "type": "perplexity"}
    recipe = config.build(Finetune, {**recipe_values, "tasks": [task]})
    with pytest.raises(UserError, match="task drugs: type perplexity has nothing to train; take it out of a search"):
        search(values, recipe)


def test_mistakes_before_the_first_trial(values, recipe):
    space = {"learning_rate": {"low": -1.0, "high": 1e-3}, "batch_size": {"choices": [0, 16]}}
    with pytest.raises(UserError) as caught:
        search(values, recipe, space=space)
    assert str(caught.value).startswith("search cannot start:\n  - ")
    assert "learning_rate" in str(caught.value) and "batch_size" in str(caught.value)
    assert not values["output"].exists()


def test_a_folder_of_another_search(values, recipe):
    search(values, recipe, trials=1)
    with pytest.raises(UserError, match=r"holds another search [(]other data, models or options[)]; give a new folder"):
        search(values, recipe, seed=3)
    with claim(values["output"]), pytest.raises(UserError, match="another process searches in "):
        search(values, recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, "space"),
        (
            {"space": {"policy": {"choices": ["per-label"]}}},
            "space: policy cannot be searched; options are",
        ),
        (
            {"space": {"learning_rate": {"low": 1.0}}},
            "give low and high, low below high, or choices; found low 1.0",
        ),
        ({"space": {"learning_rate": {"low": 0, "high": 1, "log": True}}}, "log needs low above 0, found 0"),
        ({"space": {"learning_rate": {"low": 1, "choices": [1]}}}, "choices stand in the place of low, high and log"),
    ],
)
def test_mistakes_of_a_search_are_named(values, changes, message):
    with pytest.raises(UserError, match=message):
        config.build(Search, {**values, **changes}, "search")
