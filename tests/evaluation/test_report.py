import statistics

import pytest

from camembert_bio import files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.report import report, write_report


def write_run(output, model, seed, f1, **changes):
    result = {
        "task": "EMEA",
        "model": model,
        "seed": seed,
        "protocol": paper_protocol(),
        "scores": {"f1": f1, "precision": f1, "recall": f1, "iob2_f1": f1 + 0.1, "ceiling": 0.9},
        "ledger": {"gold": 2200, "nested": 337, "discontinuous": 41, "boundary": 2, "unknown_label": 0},
        "num_documents": {"train": 11, "validation": 12, "test": 15},
        "data_sha256": "d",
        "weights_sha256": f"weights-of-{model}",
        "tokenizer_sha256": "t",
        "version": "0",
        **changes,
    }
    files.write_json(output / result["task"] / model / f"seed-{seed}" / "result.json", result)


@pytest.fixture
def output(tmp_path):
    (tmp_path / "finetune.json").write_text('{"models": {"general": "a", "bio": "b"}}')
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
    assert row(text, "| general |").endswith(f"| {mean + 10:.2f} ± {std:.2f} | 90.00 | 10 |")
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
    assert ledger == "| bio | 2200 | 1820 | 337 | 41 | 2 | 0 |"


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
    path.write_text("{}")
    with pytest.raises(UserError, match=r"seed-0/result\.json lacks data_sha256, ledger"):
        report(output)
