import json
import shutil
import statistics

import pytest

from camembert_bio import files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.predictions import Row, scores, write_predictions
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.report import report, write_report
from camembert_bio.inspection import inspect

GOLD = [Span(((start, start + 1),), "CHEM") for start in range(100)]
WRONG = [Span(((start, start + 1),), "CHEM") for start in range(100, 200)]


def rows_of(f1):
    """A hundred gold spans, and a hundred predictions of which `f1` are among them; tags hold all gold but ten."""
    found = round(100 * f1)
    return [Row("doc", gold=GOLD, pred=GOLD[:found] + WRONG[found:], perfect=GOLD[10:])]


def iob2_of(f1):
    """The F1 of `rows_of(f1)` against the ninety spans that tags hold."""
    return 2 * (100 * f1 - 10) / 190


def write_run(output, model, seed, f1, **changes):
    result = {
        "id": f"{model}-{seed}",
        "task": "EMEA",
        "model": model,
        "seed": seed,
        "protocol": paper_protocol(),
        "scores": scores(rows_of(f1)),
        "ledger": {"gold": 2200, "nested": 337, "discontinuous": 41, "boundary": 2, "window": 0, "unknown_label": 0},
        "num_documents": {"train": 11, "validation": 12, "test": 15},
        "data_sha256": "d",
        "weights_sha256": f"weights-of-{model}",
        "tokenizer_sha256": "t",
        "version": "0",
        **changes,
    }
    folder = output / result["task"] / model / f"seed-{seed}"
    files.write_json(folder / "result.json", result)
    write_predictions(folder, f"{model}-{seed}", rows_of(f1))


@pytest.fixture
def output(tmp_path):
    (tmp_path / "finetune.json").write_text('{"models": {"general": "a", "bio": "b"}, "tasks": [{}], "seeds": [0]}')
    return tmp_path


BEFORE = [0.70, 0.72, 0.71, 0.70, 0.69, 0.73, 0.70, 0.71, 0.72, 0.70]
AFTER = [0.73, 0.74, 0.71, 0.74, 0.72, 0.75, 0.72, 0.70, 0.75, 0.73]


@pytest.fixture
def two_models(output):
    for seed, (before, after) in enumerate(zip(BEFORE, AFTER, strict=True)):
        write_run(output, "general", seed, before)
        write_run(output, "bio", seed, after)
    return output


def row(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_means_and_deviations(two_models):
    text = report(two_models)
    mean, std = 100 * statistics.mean(BEFORE), 100 * statistics.stdev(BEFORE)
    assert row(text, "| general |").startswith(f"| general | {mean:.2f} ± {std:.2f} |")
    iob2 = [100 * iob2_of(f1) for f1 in BEFORE]
    iob2_cell = f"{statistics.mean(iob2):.2f} ± {statistics.stdev(iob2):.2f}"
    assert row(text, "| general |").endswith(f"| {iob2_cell} | {100 * 180 / 190:.2f} | 10 |")
    assert text.index("| general |") < text.index("| bio |")
    assert "Protocol: `paper`; assumed, since the paper does not state it: weight_decay 0.01;" in text


def test_the_difference_is_paired_by_seed(two_models):
    gains = [100 * (after - before) for before, after in zip(BEFORE, AFTER, strict=True)]
    error = statistics.stdev(gains) / 10**0.5
    assert row(report(two_models), "| bio - general |") == (
        f"| bio - general | {statistics.mean(gains):+.2f} | {error:.2f} | 8 of 10 |"
    )


def test_the_tables_come_first_and_how_to_read_them_last(two_models):
    lines = report(two_models).splitlines()
    assert lines[:3] == ["# Entity recognition after fine-tuning", "", "## EMEA"]
    last = max(number for number, line in enumerate(lines) if line.startswith("|"))
    assert [line for line in lines[last + 1 :] if line][:2] == ["## How to read", row(report(two_models), "- **F1**")]


def test_the_ledger_adds_up(two_models):
    ledger = [line for line in report(two_models).splitlines() if line.startswith("| bio |")][-1]
    assert ledger == "| bio | 2200 | 1820 | 337 | 41 | 2 | 0 | 0 |"


def test_a_changed_protocol_is_named_and_has_a_table_of_its_own(two_models):
    write_run(two_models, "bio", 0, 0.99, protocol={**paper_protocol(), "max_steps": 40, "evaluate_every": 20})
    text = report(two_models)
    assert text.count("## EMEA") == 2
    assert (
        "Protocol: `paper` with changes, not to be compared with published figures: "
        "max_steps 40 (paper: 2000); evaluate_every 20 (assumed: 100); seeds 1 (paper: 10)." in text
    )


def test_one_seed_has_no_deviation(output):
    write_run(output, "general", 0, 0.5)
    write_run(output, "bio", 0, 0.6)
    text = report(output)
    assert row(text, "| general |").startswith("| general | 50.00 | 50.00 |")
    assert row(text, "| bio - general |") == "| bio - general | +10.00 | - | 1 of 1 |"


def test_runs_of_other_data_do_not_share_a_table(output):
    write_run(output, "general", 0, 0.5)
    write_run(output, "bio", 0, 0.6, data_sha256="other")
    text = report(output)
    assert text.count("## EMEA") == 2
    assert "bio - general" not in text


def test_runs_of_other_weights_under_one_name_are_told_apart(output):
    write_run(output, "bio", 0, 0.5, weights_sha256="11111111ff")
    write_run(output, "bio", 1, 0.6, weights_sha256="22222222ff")
    text = report(output)
    assert "| bio (11111111, version 0) | 50.00 |" in text
    assert "| bio (22222222, version 0) | 60.00 |" in text


def test_write_report(two_models):
    path = write_report(two_models)
    assert path == two_models / "report.md"
    assert path.read_text(encoding="utf-8") == report(two_models)


def test_not_an_output_folder(tmp_path):
    with pytest.raises(UserError, match=r"has no finetune\.json; give the output folder of finetune"):
        report(tmp_path)


def test_no_run_yet(output):
    with pytest.raises(UserError, match="holds no finished run"):
        report(output)


def test_a_result_that_is_cut(output):
    path = output / "EMEA/bio/seed-0/result.json"
    write_run(output, "bio", 0, 0.5)
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match=r"seed-0/result\.json is not readable JSON"):
        report(output)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ledger": {"gold": 1}}, r"result\.json\.ledger\.nested: this option is required"),
        ({"seed": "first"}, r"result\.json\.seed: input should be a valid integer"),
        ({"protocol": None}, r"result\.json\.protocol: input should be a valid dictionary"),
        (
            {"scores": {"f1": "high"}},
            r"result\.json: scores hold no number for f1, precision, recall, iob2_f1, ceiling",
        ),
        ({"num_documents": 3}, r"result\.json\.num_documents"),
    ],
)
@pytest.mark.parametrize("read", [report, inspect])
def test_a_result_of_another_shape_is_named(output, read, changes, message):
    write_run(output, "bio", 0, 0.5)
    path = output / "EMEA/bio/seed-0/result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UserError, match=message):
        read(output)


@pytest.mark.parametrize("content", ["{}", '{"models": ["a"], "tasks": [], "seeds": []}', '{"models": {}, "tasks": 3}'])
@pytest.mark.parametrize("read", [report, inspect])
def test_a_recipe_of_another_shape_is_named(two_models, read, content):
    (two_models / "finetune.json").write_text(content)
    with pytest.raises(UserError, match=r"finetune\.json has \d mistakes:\n"):
        read(two_models)


def edit_the_scores(folder):
    result = json.loads((folder / "result.json").read_text())
    result["scores"]["f1"] += 0.01
    (folder / "result.json").write_text(json.dumps(result))


def edit_the_predictions(folder):
    write_predictions(folder, "bio-3", rows_of(0.99))


def cut_the_predictions(folder):
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text()[:-40])


def delete_the_predictions(folder):
    (folder / "predictions.jsonl").unlink()


def predictions_of_another_run(folder):
    write_predictions(folder, "bio-4", rows_of(AFTER[3]))


def result_of_another_run(folder):
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("seed-4"), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_the_scores, r"the scores in its result\.json are not those of its predictions"),
        (edit_the_predictions, r"the scores in its result\.json are not those of its predictions"),
        (cut_the_predictions, r"predictions\.jsonl, line 2 is not JSON, perhaps cut"),
        (delete_the_predictions, r"predictions\.jsonl cannot be read \(FileNotFoundError\)"),
        (predictions_of_another_run, r"its result\.json and its predictions are of two runs"),
        (result_of_another_run, r"its result\.json is of EMEA/bio/seed-4"),
    ],
)
def test_scores_that_the_predictions_do_not_give_are_refused(two_models, change, message):
    folder = two_models / "EMEA/bio/seed-3"
    change(folder)
    with pytest.raises(UserError, match=rf"cannot be reported; run finetune again.*\n.*{folder}.*{message}"):
        write_report(two_models)
    assert not (two_models / "report.md").exists()
    assert inspect(two_models)["unverified"] == ["EMEA/bio/seed-3"]
