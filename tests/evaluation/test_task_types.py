"""One grid of a tiny model over every type of task: run, resumed, scored again, reported."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from camembert_bio import config
from camembert_bio.errors import RunError, UserError
from camembert_bio.evaluation.measures import MEASURES, ratios
from camembert_bio.evaluation.predictions import read_saved, score
from camembert_bio.evaluation.recipe import Finetune
from camembert_bio.evaluation.runs import run_finetune
from camembert_bio.inspection import inspect

from .conftest import DISEASES, DRUGS, make_documents

SIZES = {"train": 24, "validation": 6, "test": 8}
ONCE = ("perplexity", "pseudo-perplexity")


def texts():
    """Documents of each part, no text twice."""
    places = iter(dict(make_documents(90, seed=7)).items())
    return {part: [next(places) for _ in range(size)] for part, size in SIZES.items()}


def rows_of(task_type, part):
    """Rows whose answer is in the text."""
    for number, (text, spans) in enumerate(part):
        words = [text[start:end] for start, end, _ in spans]
        drug = next(word for word in words if word in DRUGS)
        kinds = sorted({"long" if len(text) > 55 else "short", "stop" if "arrête" in text else "go"})
        yield {
            "classification": {"text": text, "label": kinds[-1]},
            "multi-label": {"text": text, "labels": kinds},
            "similarity": {"text": text, "text_pair": text[: 9 + 5 * (number % 4)], "label": number % 4 + 0.5},
            "multiple-choice": {
                "text": text,
                "choices": [drug, *(DISEASES[:2])],
                "answers": "a" if number % 3 else "a|b",
            },
            "pos": {"tokens": text.split(), "tags": ["ADJ" if word in words else "X" for word in text.split()]},
        }.get(task_type, {"text": text})


PUBLISHED = {"multi-label": "morfitt", "multiple-choice": "frenchmedmcqa"}


def write_published(folder, task_type, parts):
    """MORFITT or FrenchMedMCQA: their files and columns, rows of ours; returns what a recipe says of it."""
    for part, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = list(enumerate(rows_of(task_type, parts[part])))
        if task_type == "multi-label":
            named = {"long": "genetics", "short": "surgery", "stop": "virology", "go": "chemistry"}
            cells = [(f"{part}-{n}", row["text"], "|".join(named[kind] for kind in row["labels"])) for n, row in rows]
            lines = ["\t".join(cell) for cell in [("identifier", "abstract", "specialities"), *cells]]
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.tsv").write_text("\n".join(lines), encoding="utf-8")
        else:
            questions = [
                {
                    "id": f"{part}-{n}",
                    "question": row["text"],
                    "answers": dict(zip("abc", row["choices"], strict=True)),
                    "correct_answers": row["answers"].split("|"),
                }
                for n, row in rows
            ]
            (folder / "corpus").mkdir(parents=True, exist_ok=True)
            (folder / "corpus" / f"{name}.json").write_text(json.dumps(questions), encoding="utf-8")
    return {"name": task_type, "type": task_type, "format": PUBLISHED[task_type], "path": str(folder)}


@pytest.fixture(scope="module")
def values(tmp_path_factory, brat_folder, model_folder):
    """The recipe of the grid: every type, one of the texts too long for one window."""
    folder = tmp_path_factory.mktemp("types")
    tasks = [{"name": "ner", "format": "brat", "path": str(brat_folder), "train": "train", "test": "test"}]
    parts = texts()
    for task_type in MEASURES:
        if task_type == "ner":
            continue
        if task_type in PUBLISHED:
            tasks.append(write_published(folder / PUBLISHED[task_type], task_type, parts))
            continue
        task = {"name": task_type, "type": task_type, "format": "jsonl", "path": str(folder)}
        for part in ("test",) if task_type in ONCE else SIZES:
            found = parts[part][:2] if task_type in ONCE else parts[part]
            lines = [json.dumps(row) for row in rows_of(task_type, found)]
            (folder / f"{task_type}-{part}.jsonl").write_text("\n".join(lines))
            task[part] = f"{task_type}-{part}.jsonl"
        tasks.append(task)
    return {
        "output": folder / "out",
        "models": {"tiny": str(model_folder)},
        "tasks": tasks,
        "seeds": [0, 1],
        "max_steps": 3,
        "evaluate_every": 3,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "seq_length": 24,
        "window_overlap": 6,
    }


def test_every_type_in_one_grid(values):
    report = run_finetune(config.build(Finetune, values))
    assert report is not None
    text = report.read_text(encoding="utf-8")
    assert all(measure.title in text for measure in MEASURES.values())
    assert all(name in text for name in MEASURES)
    saved = {path.parent for path in values["output"].rglob("predictions.jsonl")}
    assert len(saved) == 2 * (len(MEASURES) - len(ONCE)) + len(ONCE)
    for folder in saved:
        result = json.loads((folder / "result.json").read_text())
        assert result["type"] == folder.parts[-3]
        assert result["scores"] == score(folder)
        assert score(folder)[MEASURES[result["type"]].name] >= 0
        if result["type"] != "ner":
            found = read_saved(folder)
            (measured,) = ratios(found.type, [found.rows], found.scale).per_seed
            assert measured == pytest.approx(found.scores[MEASURES[found.type].name])
    assert "aspirine" not in "".join(path.read_text() for path in values["output"].rglob("*.jsonl"))
    stamps = {path: path.stat().st_mtime_ns for path in values["output"].rglob("result.json")}
    run_finetune(config.build(Finetune, values))
    assert {path: path.stat().st_mtime_ns for path in values["output"].rglob("result.json")} == stamps
    described = inspect(values["output"])
    assert (described["runs_done"], described["runs_asked"], described["unverified"]) == (14, 14, [])
    assert {table["task"] for table in described["scores"]} == set(MEASURES)


def with_weights(model_folder, folder, name, value):
    """A copy of the model in which one weight of each row is another."""
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights[name][..., 0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return {"models": {"broken": str(folder)}, "output": folder.parent / "out"}


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("task_type", ["classification", "perplexity"])
def test_weights_that_are_not_finite_are_told_before_the_first_run(values, model_folder, tmp_path, value, task_type):
    changes = with_weights(model_folder, tmp_path / "nan", "roberta.encoder.layer.1.output.dense.weight", value)
    task = next(task for task in values["tasks"] if task["name"] == task_type)
    message = (
        r"model broken: 1 of the weights of .*nan hold NaN or infinity \(roberta\.encoder\.layer\.1\.output\.dense\."
    )
    with pytest.raises(UserError, match=message):
        run_finetune(config.build(Finetune, {**values, **changes, "tasks": [task]}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task_type", "found", "reason"),
    [
        ("perplexity", ["a", "b"], r"of so few words none is among the 15% that are masked; give more or longer texts"),
        ("perplexity", ["<s>", "</s> <mask>"], r"of so few words none is among the 15% that are masked"),
        ("pseudo-perplexity", ["<s>", "aЖaЖa bЖbЖb"], r"each word holds what the tokenizer does not know; give other"),
    ],
)
def test_texts_of_which_nothing_is_scored_are_told_before_the_first_run(values, tmp_path, task_type, found, reason):
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in found))
    task = {"name": "held", "type": task_type, "format": "jsonl", "test": str(tmp_path / "test.jsonl")}
    with pytest.raises(UserError, match=rf"task held: 2 test documents and no sub-word to score for tiny: {reason}"):
        run_finetune(config.build(Finetune, {**values, "tasks": [task], "output": tmp_path / "out"}))
    assert not (tmp_path / "out").exists()


def test_a_perplexity_that_is_not_finite_is_no_finished_run(values, model_folder, tmp_path):
    changes = with_weights(model_folder, tmp_path / "huge", "lm_head.dense.weight", 3e38)
    task = next(task for task in values["tasks"] if task["name"] == "perplexity")
    with pytest.raises(RunError, match=r"perplexity broken seed 0: nll is nan: the weights of .*huge are finite, what"):
        run_finetune(config.build(Finetune, {**values, **changes, "tasks": [task]}))
    assert not list((tmp_path / "out").rglob("result.json"))


def test_what_perplexity_needs_is_told_before_the_first_run(values, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "headless")
    weights = load_file(tmp_path / "headless/model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("lm_head.dense")}
    save_file(kept, tmp_path / "headless/model.safetensors", metadata={"format": "pt"})
    task = next(task for task in values["tasks"] if task["name"] == "perplexity")
    changes = {"tasks": [task], "models": {"none": str(tmp_path / "headless")}, "output": tmp_path / "out"}
    with pytest.raises(UserError, match=r"model none: .* lacks weights of its masked-LM head \(lm_head\.dense"):
        run_finetune(config.build(Finetune, values | changes))
    assert not (tmp_path / "out").exists()
