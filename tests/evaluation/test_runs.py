import json
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation import runs
from camembert_bio.evaluation.claims import claim
from camembert_bio.evaluation.predictions import score
from camembert_bio.evaluation.recipe import Finetune, Task
from camembert_bio.evaluation.report import write_report
from camembert_bio.evaluation.runs import check_finetune, run_finetune, run_id
from camembert_bio.inspection import inspect


def run(values, **changes):
    return run_finetune(config.build(Finetune, {**values, **changes}))


def stamps(output):
    return {path.parent.name: path.stat().st_mtime_ns for path in output.rglob("result.json")}


def folder(values, seed=0):
    return values["output"] / "drugs" / "tiny" / f"seed-{seed}"


@pytest.fixture(scope="module")
def done(tmp_path_factory, brat_folder, model_folder):
    """The output of a finished grid of one task, one model and two seeds: copied by the tests that change it."""
    parts = {"train": brat_folder / "train", "validation": brat_folder / "dev", "test": brat_folder / "test"}
    values = {
        "output": tmp_path_factory.mktemp("grid") / "out",
        "models": {"tiny": str(model_folder)},
        "tasks": [{"name": "drugs", "format": "brat", **parts}],
        "seeds": [0, 1],
        "max_steps": 60,
        "evaluate_every": 30,
        "learning_rate": 3e-3,
        "seq_length": 64,
        "window_overlap": 16,
    }
    assert run(values) == values["output"] / "report.md"
    return values


@pytest.fixture
def copied(done, tmp_path):
    shutil.copytree(done["output"], tmp_path / "out")
    return {**done, "output": tmp_path / "out"}


def test_the_folder_of_a_run(done):
    result = json.loads((folder(done) / "result.json").read_text())
    assert sorted(path.name for path in folder(done).iterdir()) == ["predictions.jsonl", "result.json"]
    assert result["num_documents"] == {"train": 48, "validation": 12, "test": 16}
    assert result["scores"]["f1"] > 0.2
    assert result["scores"]["ceiling"] == 1.0
    assert result["scores"]["per_label"].keys() == {"CHEM", "DISO"}
    losses = dict.fromkeys(("unknown_label", "discontinuous", "nested", "boundary", "window"), 0)
    assert result["ledger"] == {"gold": 32, **losses}
    assert result["best_step"] in (30, 60)
    assert result["protocol"]["max_steps"] == 60
    lines = (folder(done) / "predictions.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"id": result["id"], "num_documents": 16}
    assert "aspirine" not in "".join(lines)


def test_every_score_is_recomputed_from_the_predictions(done):
    scores = score(done["output"])
    assert scores.keys() == {"drugs/tiny/seed-0", "drugs/tiny/seed-1"}
    for name, values in scores.items():
        assert values == json.loads((done["output"] / name / "result.json").read_text())["scores"]
        assert values == score(done["output"] / name)


def test_inspect_says_what_is_done(copied):
    results = [json.loads((folder(copied, seed) / "result.json").read_text()) for seed in (0, 1)]
    described = inspect(copied["output"])
    (table,) = described.pop("scores")
    assert described == {"kind": "results", "runs_done": 2, "runs_asked": 2, "unverified": []}
    tiny = table["models"]["tiny"]
    assert (table["task"], tiny["seeds"], tiny["ceiling"]) == ("drugs", [0, 1], 1.0)
    assert tiny["f1"] == pytest.approx(sum(result["scores"]["f1"] for result in results) / 2, abs=1e-4)
    assert "aspirine" not in str(table)
    results[1]["scores"]["f1"] += 0.1
    (folder(copied, 1) / "result.json").write_text(json.dumps(results[1]))
    shutil.rmtree(folder(copied, 0))
    described = inspect(copied["output"])
    assert (described["runs_done"], described["unverified"]) == (1, ["drugs/tiny/seed-1"])
    shutil.rmtree(folder(copied, 1))
    with pytest.raises(UserError, match="holds no finished run"):
        inspect(copied["output"])


def test_finished_runs_are_skipped_and_new_seeds_added(copied):
    before = stamps(copied["output"])
    run(copied, seeds=[0, 1])
    assert stamps(copied["output"]) == before
    run(copied, seeds=[1, 2])
    after = stamps(copied["output"])
    assert {seed: after[seed] for seed in before} == before
    assert after.keys() == {"seed-0", "seed-1", "seed-2"}


def test_the_trials_of_a_search_are_kept_with_each_run_and_decide_none(recipe_values):
    run(recipe_values, max_steps=1, evaluate_every=1, search_trials=40)
    before = stamps(recipe_values["output"])
    run(recipe_values, max_steps=1, evaluate_every=1)
    assert stamps(recipe_values["output"]) == before
    assert json.loads((folder(recipe_values) / "result.json").read_text())["search_trials"] == 40
    assert "the best of 40 trials" in (recipe_values["output"] / "report.md").read_text()


def test_a_killed_run_is_redone_to_the_same_result(copied):
    expected = (folder(copied) / "predictions.jsonl").read_text()
    before = stamps(copied["output"])
    shutil.rmtree(folder(copied))
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    aside = folder(copied).with_name(f".tmp-{socket.gethostname()}-{int(dead.stdout)}-01234567-seed-0")
    aside.mkdir()
    (aside / "predictions.jsonl").write_text('{"id":')
    assert score(copied["output"]).keys() == {"drugs/tiny/seed-1"}
    run(copied)
    assert (folder(copied) / "predictions.jsonl").read_text() == expected
    assert stamps(copied["output"])["seed-1"] == before["seed-1"]
    assert not aside.exists()


@pytest.mark.parametrize("name", ["result.json", "predictions.jsonl"])
def test_a_broken_run_is_redone(copied, name):
    path = folder(copied) / name
    whole = json.loads((folder(copied) / "result.json").read_text())
    path.write_text(path.read_text()[:-40])
    before = stamps(copied["output"])
    time.sleep(0.01)
    run(copied)
    after = stamps(copied["output"])
    assert after["seed-0"] > before["seed-0"]
    assert after["seed-1"] == before["seed-1"]
    redone = json.loads((folder(copied) / "result.json").read_text())
    assert (redone["scores"], redone["id"]) == (whole["scores"], whole["id"])


@pytest.mark.parametrize("name", ["result.json", "predictions.jsonl"])
def test_a_broken_run_that_is_not_asked_for_is_left_out_of_the_report(copied, name, caplog):
    path = folder(copied, 1) / name
    path.write_text(path.read_text()[:-40])
    before = stamps(copied["output"])
    text = run(copied, seeds=[0]).read_text(encoding="utf-8")
    assert stamps(copied["output"]) == before
    assert re.search(r"\| tiny \| .* \| 1 \|\n", text)
    assert f"left out of the report: {path}" in caplog.text
    with pytest.raises(UserError, match=rf"cannot be reported; .* remove the folders of these runs:\n  - {path}"):
        write_report(copied["output"])


def test_a_copy_of_a_run_under_another_name_does_not_count_twice(copied, caplog):
    shutil.copytree(folder(copied, 1), folder(copied, 7))
    assert re.search(r"\| tiny \| .* \| 2 \|\n", run(copied).read_text(encoding="utf-8"))
    assert "seed-7: its result.json is of drugs/tiny/seed-1" in caplog.text


def test_no_report_where_every_run_is_broken_and_another_process_does_it(copied):
    for seed in (0, 1):
        (folder(copied, seed) / "result.json").write_text("{")
    with claim(folder(copied, 0)), claim(folder(copied, 1)):
        assert run(copied) is None


def test_a_folder_with_files_of_others_is_not_replaced(copied):
    notes = folder(copied) / "notes.txt"
    notes.write_text("x")
    before = stamps(copied["output"])
    run(copied)  # finished, so nothing is replaced
    message = rf"{folder(copied)} is to be replaced by a run and holds other files \(notes\.txt\); move them away"
    with pytest.raises(UserError, match=message):
        run(copied, max_steps=4)
    assert notes.read_text() == "x"
    assert stamps(copied["output"]) == before
    shutil.rmtree(folder(copied, 1))
    folder(copied, 1).write_text("x")
    with pytest.raises(UserError, match=r"seed-1 is a file, in the place of a run's folder; move it away"):
        run(copied)


@pytest.mark.parametrize("is_broken", [True, False])
def test_runs_that_others_do_are_theirs_to_report(copied, is_broken, caplog):
    """A broken run that another process is redoing, and one that it does for the first time."""
    if is_broken:
        path = folder(copied) / "predictions.jsonl"
        path.write_text(path.read_text()[:-40])
    else:
        shutil.rmtree(folder(copied))
    (copied["output"] / "report.md").unlink()
    with claim(folder(copied)), caplog.at_level("INFO"):
        assert run(copied) is None
    assert "1 runs are being done by other processes, which will report them" in caplog.text
    assert not (copied["output"] / "report.md").exists()
    assert run(copied) == copied["output"] / "report.md"


def change_data(values, tmp_path):
    shutil.copytree(values["tasks"][0]["test"], tmp_path / "test")
    (tmp_path / "test" / "doc000.ann").write_text("")
    return {"tasks": [{**values["tasks"][0], "test": tmp_path / "test"}]}


def change_model(values, tmp_path):
    shutil.copytree(values["models"]["tiny"], tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_dropout_prob": 0.2}))
    return {"models": {"tiny": str(tmp_path / "model")}}


def change_tokenizer(values, tmp_path):
    shutil.copytree(values["models"]["tiny"], tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 511}))
    return {"models": {"tiny": str(tmp_path / "model")}}


def change_protocol(values, tmp_path):
    return {"max_steps": 4, "evaluate_every": 4}


@pytest.mark.parametrize("change", [change_data, change_model, change_tokenizer, change_protocol])
def test_a_run_of_other_content_is_redone(copied, tmp_path, change):
    identity = json.loads((folder(copied) / "result.json").read_text())["id"]
    run(copied, seeds=[0], **change(copied, tmp_path))
    assert json.loads((folder(copied) / "result.json").read_text())["id"] != identity


def test_places_and_names_do_not_decide_a_run(copied, tmp_path):
    shutil.copytree(copied["models"]["tiny"], tmp_path / "moved")
    before = stamps(copied["output"])
    run(copied, models={"tiny": str(tmp_path / "moved")})
    assert stamps(copied["output"]) == before


def test_the_report_keeps_the_recipes_order(recipe_values, model_folder):
    models = {"second": str(model_folder), "first": str(model_folder)}
    text = run(recipe_values, models=models, max_steps=1).read_text(encoding="utf-8")
    assert text.index("| second |") < text.index("| first |")
    assert "| first - second | +0.00 | – | 1.000 | 1.000 | 1.000 | – | 0 of 1 |" in text


def test_all_mistakes_before_the_first_run(recipe_values, tmp_path):
    tasks = [*recipe_values["tasks"], {**recipe_values["tasks"][0], "name": "gone", "test": tmp_path / "gone"}]
    models = {**recipe_values["models"], "empty": str(tmp_path / "none")}
    with pytest.raises(UserError) as caught:
        run(recipe_values, tasks=tasks, models=models)
    assert str(caught.value).startswith("finetune cannot start:\n  - ")
    assert "task gone: " in str(caught.value)
    assert "model empty: " in str(caught.value)
    assert not recipe_values["output"].exists()


def test_an_output_that_holds_something_else(recipe_values):
    output = recipe_values["output"]
    output.mkdir()
    (output / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"out holds other files and no finetune\.json; give a new or empty folder"):
        run(recipe_values)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match=r"notes\.txt is a file; give a folder"):
        run(recipe_values, output=output / "notes.txt")


def test_the_tokenizer_is_checked_on_each_tasks_texts(recipe_values, tmp_path):
    for part, word in (("train", "ЩЩЩ"), ("dev", "ЩЩШ"), ("test", "ЩШЩ")):
        (tmp_path / part).mkdir()
        for number in range(2):
            (tmp_path / part / f"{number}.txt").write_text(f"ЖЖЖ {word}", encoding="utf-8")
            (tmp_path / part / f"{number}.ann").write_text("T1\tCHEM 0 3\tЖЖЖ\n", encoding="utf-8")
    parts = {"train": tmp_path / "train", "validation": tmp_path / "dev", "test": tmp_path / "test"}
    with pytest.raises(UserError, match="reads 100% of the sub-words of task cyrillic as <unk>"):
        run(recipe_values, tasks=[{"name": "cyrillic", "format": "brat", **parts}])


def test_what_the_command_line_imports_loads_no_torch():
    code = (
        "import sys; from camembert_bio.evaluation import recipe, runs, report, predictions; "
        "print({'torch', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_audited_refuses_a_split_that_leaks(recipe_values, tmp_path):
    (tmp_path / "texts").mkdir()
    split = {"description": "mine", "train": {}, "validation": {}, "test": {}, "leaks": ["all of it"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    task = {"name": "drugs", "format": "brat", "path": tmp_path / "texts", "split": str(tmp_path / "split.json")}
    with pytest.raises(UserError, match=r"task drugs: split .*split\.json leaks, and protocol audited allows none"):
        run(recipe_values, tasks=[task], protocol="audited", policy="per-label")


def test_the_id_of_a_run_follows_all_that_decides_it_and_no_name(recipe_values, monkeypatch):
    recipe = config.build(Finetune, recipe_values)
    (data,), (model,) = check_finetune(recipe)

    def identity(recipe=recipe, data=data, model=model, seed=0):
        return run_id(recipe, data, model, seed)

    pairs = Task("pairs", "jsonl", "similarity", train=Path("a"), test=Path("b"))
    other = [
        identity(seed=1),
        identity(config.build(Finetune, {**recipe_values, "learning_rate": 1e-4})),
        *(identity(data=replace(data, **{part: []})) for part in ("train", "validation", "test")),
        identity(data=replace(data, task=pairs)),
        identity(data=replace(data, task=replace(pairs, scale=(0.0, 1.0)))),
        identity(model=replace(model, weights_sha256="")),
        identity(model=replace(model, tokenizer_sha256="")),
    ]
    renamed = replace(data, task=replace(data.task, name="x", train=Path("a"), test=Path("b")))
    first = identity()
    assert first == identity(data=renamed, model=replace(model, name="x", path=Path("x")))
    monkeypatch.setattr(runs, "__version__", "another")
    assert len({first, identity(), *other}) == len(other) + 2
