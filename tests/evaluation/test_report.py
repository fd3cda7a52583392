import csv
import io
import json
import re
import shutil
import statistics

import pytest
from huggingface_hub import ModelCard

from camembert_bio import devices
from camembert_bio.cli import main
from camembert_bio.errors import UserError
from camembert_bio.evaluation import wording
from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.cost import DEFAULT_FACTORS, Factors
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.predictions import Row, write_predictions
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.report import write_report
from camembert_bio.evaluation.report_csv import csv_text
from camembert_bio.evaluation.report_findings import findings
from camembert_bio.evaluation.report_html import page
from camembert_bio.evaluation.report_latex import latex
from camembert_bio.evaluation.report_markdown import markdown
from camembert_bio.inspection import inspect
from tests.evaluation.outputs import AFTER, BEFORE, iob2_of, rows_of, write_grid, write_run, write_two_models


@pytest.fixture
def output(tmp_path):
    return write_grid(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two models on one task, ten seeds; read only."""
    folder = write_grid(tmp_path_factory.mktemp("done"))
    write_two_models(folder)
    return folder


@pytest.fixture(scope="module")
def text(done):
    return markdown(compare(done), DEFAULT_FACTORS)


@pytest.fixture
def two_models(done, tmp_path):
    return shutil.copytree(done, tmp_path / "copy")


def report(output, factors=DEFAULT_FACTORS):
    return markdown(compare(output), factors)


def rows(text, start):
    """The cells of each line of a table that begins with a name."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {start} |")]


def of(values):
    percent = [100 * value for value in values]
    return f"{statistics.mean(percent):.2f} ± {statistics.stdev(percent):.2f}"


def test_the_table_in_the_papers_form(text):
    (cells,) = rows(text, "EMEA")
    assert len(cells) == 4
    before, after = (of([iob2_of(f1) for f1 in scores]) for scores in (BEFORE, AFTER))
    assert re.fullmatch(rf"{before} \[\d\d\.\d\d, \d\d\.\d\d\]", cells[1])
    assert re.fullmatch(rf"\*\*{after}\*\* \[\d\d\.\d\d, \d\d\.\d\d\] ▲", cells[2])
    assert cells[3] == f"{100 * 180 / 190:.2f}"
    assert "▲ better, ▼ worse than general (p < 0.05, paired bootstrap" in text
    assert "| task | general | bio | ceiling of F1 on all gold |" in text  # and not of the F1 that the table shows


def test_scores_of_each_model(text):
    assert rows(text, "general")[0] == [
        *("general", *[of(BEFORE)] * 3, of([iob2_of(f1) for f1 in BEFORE])),
        *(f"{100 * 180 / 190:.2f}", "10"),
    ]
    assert "Protocol: `paper`; assumed, since the paper does not state it: weight_decay 0.01;" in text
    assert wording.DECODING in text


def test_what_the_comparison_comes_to_stands_first(text, tmp_path):
    gain = 100 * (statistics.mean(map(iob2_of, AFTER)) - statistics.mean(map(iob2_of, BEFORE)))
    assert f"- bio against general: better on EMEA {gain:+.2f}.\n" in text[: text.index("| task |")]
    write_grid(tmp_path, tasks=("EMEA", "CAS", "E3C"))
    for seed in range(3):
        for task, before, after in (("EMEA", 0.5, 0.9), ("CAS", 0.9, 0.5 + seed / 100), ("E3C", 0.5, 0.5)):
            write_run(tmp_path, "general", seed, before, task=task)
            write_run(tmp_path, "bio", seed, after, task=task)
    (sentence,) = findings(compare(tmp_path).sections[0])
    assert re.fullmatch(
        r"bio against general: better on EMEA \+\d\d\.\d\d; worse on CAS -\d\d\.\d\d; no difference told on E3C\.",
        sentence,
    )


def test_the_difference(text):
    (cells,) = rows(text, "bio - general")
    gains = [iob2_of(after) - iob2_of(before) for before, after in zip(BEFORE, AFTER, strict=True)]
    assert cells[1] == f"{100 * statistics.mean(gains):+.2f}"
    low, high = (float(bound) for bound in cells[2].strip("[]").split(", "))
    assert low < 100 * statistics.mean(gains) < high
    assert all(re.fullmatch(r"0\.\d{3}|< 0\.001", cell) for cell in cells[3:6])
    assert cells[6] == f"{statistics.mean(gains) / statistics.stdev(gains):+.2f}"
    assert cells[7] == f"{sum(gain > 0 for gain in gains)} of 10" == "8 of 10"
    assert float(cells[8]) > 0 and cells[9] == "none suffice"


def test_labels_errors_and_ledger(text):
    assert rows(text, "CHEM")[0][1] == "50"
    general = rows(text, "general")
    assert float(general[2][1]) == pytest.approx(100 * statistics.mean(BEFORE), abs=0.06)
    assert sum(map(float, general[2][1:6])) == pytest.approx(100, abs=0.3)
    assert general[3] == ["general", "100", "90", "7", "0", "3", "0", "0"]


def cost_cells(name, num_runs, hours, watts, pue=devices.PUE):
    kwh = hours * watts / 1000 * pue
    figures = (hours, kwh, *(kwh * grid.g_per_kwh for grid in devices.GRIDS))
    return ["general", name, str(num_runs), *(f"{value:.3g}" for value in figures)]


def test_time_and_energy_show_their_factors(done, text):
    assert rows(text, "general")[4] == cost_cells("cpu", 10, 5, devices.CPU_W)
    assert f"× PUE {devices.PUE:g}. Power: cpu {devices.CPU_W:g} W (assumed)." in text
    assert all(f"{grid.name} {grid.g_per_kwh:g} ({grid.source})" in text for grid in devices.GRIDS)
    other = report(done, Factors(watts=200, pue=1.2))
    assert rows(other, "general")[4] == cost_cells("cpu", 10, 5, 200, 1.2)
    assert "PUE 1.2. Power: cpu 200 W (given)." in other


@pytest.mark.parametrize(
    ("name", "watts"), [("NVIDIA H100 80GB HBM3", 700), ("NVIDIA Titan", devices.OTHER_GPU_W), ("cpu", devices.CPU_W)]
)
def test_a_gpu_has_the_power_of_its_data_sheet(output, name, watts):
    write_run(output, "general", 0, 0.5, device=name)
    assert rows(report(output), "general")[-1] == cost_cells(name, 1, 0.5, watts)


def test_a_changed_protocol_is_named_and_has_a_table_of_its_own(output):
    write_run(output, "general", 0, 0.5)
    write_run(output, "bio", 0, 0.9, protocol={**paper_protocol(), "max_steps": 40, "evaluate_every": 20})
    text = report(output)
    assert text.count("## Protocol paper\n") == text.count("## Protocol paper, changed\n") == 1
    assert (
        "Protocol: `paper` with changes, not to be compared with published figures: "
        "max_steps 40 (paper: 2000); evaluate_every 20 (assumed: 100); seeds 1 (paper: 10)." in text
    )


def test_another_protocol_is_named_with_what_it_changes(output):
    write_run(
        output, "bio", 0, 0.9, protocol={**paper_protocol(), "protocol": "audited", "policy": "per-label", "x": 1}
    )
    text = report(output)
    assert "## Protocol audited" in text
    assert (
        "`audited`, not to be compared with published figures: policy per-label (paper: flat-outermost); x 1;" in text
    )
    assert "\nF1: mean ± standard deviation over seeds" in text


def test_trials_of_a_search_are_told_of_the_protocol_that_it_chose(output):
    """Two recipes wrote into one output, each with its protocol; finetune.json is of the latest, without a search."""
    searched = {**paper_protocol(), "learning_rate": 1e-4}
    for seed in range(2):
        write_run(output, "general", seed, 0.5)
        write_run(output, "bio", seed, 0.6, protocol=searched, search_trials=40)
    found = compare(output)
    assert {section.name: section.search_trials for section in found.sections} == {"paper": 0, "paper, changed": 40}
    told = "Hyperparameters: the best of 40 trials on validation."
    for text in (markdown(found, DEFAULT_FACTORS), page(found, DEFAULT_FACTORS), latex(found)):
        assert text.count(told) == 1
        assert text.index("learning_rate 0.0001" if "learning_rate" in text else r"learning\_rate") < text.index(told)
    lines = csv.DictReader(io.StringIO(csv_text(found, DEFAULT_FACTORS)))
    trials = {"learning_rate=0.0001" in line["protocol"]: line["mean"] for line in lines if line["kind"] == "search"}
    assert trials == {False: "0", True: "40"}


def test_one_seed_has_no_deviation_and_a_warning(output):
    write_run(output, "general", 0, 0.5)
    write_run(output, "bio", 0, 0.6)
    text = report(output)
    assert rows(text, "general")[0][1] == "50.00"
    (cells,) = rows(text, "bio - general")
    assert (cells[6], cells[7], cells[9]) == ("–", "1 of 1", "–")
    assert "With one seed, intervals and tests speak of documents alone" in text


def test_few_seeds_are_told(output):
    for seed in range(3):
        write_run(output, "general", seed, 0.5)
        write_run(output, "bio", seed, 0.6)
    assert "With 3 seeds, tests are rough: five or more make them good." in report(output)


def write_documents(output, model, seed, num_documents, num_found):
    """A run of documents with two entities each, of which so many are found."""
    gold = [Span(((place, place + 1),), "CHEM") for place in range(2)]
    documents = [Row(f"doc{number}", gold, gold[:num_found], gold) for number in range(num_documents)]
    write_run(output, model, seed, 0.5, documents)


@pytest.mark.parametrize(
    ("num_documents", "warning"),
    [
        (1, "Of EMEA, 1 test document is scored: too few to tell any difference, for which 6 must agree"),
        (2, "Of EMEA, 2 test documents are scored: too few to tell any difference, for which 6 must agree"),
        (14, "Of EMEA, 14 test documents are scored: intervals and tests are rough, 15 or more make them good."),
        (15, None),
    ],
)
def test_few_documents_are_told_and_claim_little(output, num_documents, warning):
    for seed in range(5):
        write_documents(output, "general", seed, num_documents, 0)
        write_documents(output, "bio", seed, num_documents, 2)
    text, html = report(output), page(compare(output), DEFAULT_FACTORS)
    assert ("test document" in text.split("## Tasks")[0]) == bool(warning)
    assert warning is None or (warning in text and warning in html)
    assert ("better on EMEA +100.00" in text) == (num_documents > 5)
    found = rows(text, "bio - general")
    assert len(found) == (num_documents > 1)
    for cells in found:
        assert cells[2] == cells[8] == cells[9] == "–"
        assert (cells[3] == "< 0.001") == (num_documents > 10)
    assert "[100.00" not in text


def test_equal_models_on_few_documents_claim_nothing(output):
    for seed in range(2):
        for model in ("general", "bio"):
            write_documents(output, model, seed, 4, 1)
    (cells,) = rows(report(output), "bio - general")
    assert cells == ["bio - general", "+0.00", "–", "1.000", "1.000", "1.000", "–", "0 of 2", "–", "–"]


def test_a_model_alone_has_no_marks(output):
    write_run(output, "bio", 0, 0.5)
    text = report(output)
    assert "▲" not in text and "Differences" not in text
    assert "**50.00" not in text


def test_worse_is_marked_too(tmp_path):
    write_grid(tmp_path, models=("bio", "general"))
    write_two_models(tmp_path)
    assert rows(report(tmp_path), "EMEA")[0][2].endswith("▼")


def test_names_that_would_break_a_table(output, monkeypatch):
    labels = ("A|B", "<i>\nC")
    monkeypatch.setattr("tests.evaluation.outputs.LABELS", labels)
    monkeypatch.setattr("tests.evaluation.outputs.GOLD", [])
    write_run(output, "bio", 0, 0.0)
    text = report(output)
    assert "| A\\|B | 0 |" in text and "| &lt;i> C | 0 |" in text


def test_the_tables_come_first_and_how_to_read_them_last(text):
    lines = text.splitlines()
    assert lines[0] == "# Models compared after fine-tuning"
    last = max(number for number, line in enumerate(lines) if line.startswith("|"))
    assert "## How to read" in lines[last:]


def test_write_report(two_models, text):
    written = write_report(two_models)
    assert {kind: path.name for kind, path in written.items()} == {
        "report": "report.md",
        "page": "report.html",
        "latex": "report.tex",
        "csv": "report.csv",
    }
    assert written["report"].read_text(encoding="utf-8") == text
    contents = {path: path.read_bytes() for path in written.values()}
    write_report(two_models)
    assert {path: path.read_bytes() for path in written.values()} == contents


def counted(folder):
    """F1 of all labels and of one, and strict IOB2 F1, from the lines of a run's predictions alone."""
    found = {"f1": [0, 0], "CHEM": [0, 0], "iob2_f1": [0, 0]}
    for line in (folder / "predictions.jsonl").read_text().splitlines()[1:]:
        record = json.loads(line)
        gold, pred, tags = ({json.dumps(span) for span in record[part]} for part in ("gold", "pred", "perfect"))
        for name, one, two in (
            ("f1", gold, pred),
            ("iob2_f1", tags, pred),
            ("CHEM", *({span for span in spans if '"CHEM"' in span} for spans in (gold, pred))),
        ):
            found[name][0] += 2 * len(one & two)
            found[name][1] += len(one) + len(two)
    return {name: both / total for name, (both, total) in found.items()}


def test_every_file_holds_what_the_predictions_give(two_models):
    written = write_report(two_models, card_of="bio")
    text = {kind: path.read_text(encoding="utf-8") for kind, path in written.items()}
    lines = list(csv.DictReader(io.StringIO(text["csv"])))
    results = {one.metric_name.split(" (")[0]: one for one in ModelCard.load(written["card"]).data.eval_results}
    for model in ("general", "bio"):
        runs = [counted(folder) for folder in sorted((two_models / "EMEA" / model).iterdir())]
        for name in ("f1", "CHEM", "iob2_f1"):
            shown, mean = of([run[name] for run in runs]), statistics.mean(run[name] for run in runs)
            assert shown in text["report"] and shown in text["page"]
            label, measure = ("CHEM", "f1") if name == "CHEM" else ("", name)
            (line,) = (
                one
                for one in lines
                if [one[key] for key in ("model", "against", "label", "measure")] == [model, "", label, measure]
            )
            assert float(line["mean"]) == pytest.approx(mean)
            if name == "iob2_f1":
                assert shown.replace("±", "$\\pm$") in text["latex"]
            if name != "CHEM" and model == "bio":
                title = {"f1": "F1", "iob2_f1": "strict IOB2 F1"}[name]
                assert results[title].metric_value == round(mean, 4)
                assert f"| EMEA | {title} | {shown} |" in text["card"]


def code_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_the_command_says_what_it_comes_to_and_where_it_lies(two_models, capsys):
    assert code_of("report", two_models, "--watts", "100", "--pue", "1") == 0
    shown = capsys.readouterr().out
    assert "- bio against general: better on EMEA" in shown and "How to read" not in shown
    assert f"page: {two_models / 'report.html'}\n" in shown
    assert "PUE 1. Power: cpu 100 W (given)." in (two_models / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("option", "value"), [("--watts", "0"), ("--watts", "much"), ("--pue", "0.9")])
def test_factors_that_cannot_be_are_refused(two_models, capsys, option, value):
    assert code_of("report", two_models, option, value) == 2
    assert f"argument {option}: '{value}' is not a number" in capsys.readouterr().err


def test_cut_predictions_end_the_command_with_file_and_line(two_models, capsys):
    cut_the_predictions(two_models / "EMEA/bio/seed-3")
    told = f"{two_models}/EMEA/bio/seed-3/predictions.jsonl, line 11 is not JSON, perhaps cut"
    for verb in ("report", "score"):
        assert code_of(verb, two_models) == 2
        assert told in capsys.readouterr().err


def test_not_an_output_folder(tmp_path):
    with pytest.raises(UserError, match=r"has no finetune\.json; give the output folder of finetune"):
        compare(tmp_path)


def test_no_run_yet(output):
    with pytest.raises(UserError, match="holds no finished run"):
        compare(output)


def test_a_result_that_is_cut(output):
    path = output / "EMEA/bio/seed-0/result.json"
    write_run(output, "bio", 0, 0.5)
    path.write_text(path.read_text()[:50])
    for read in (compare, inspect):
        with pytest.raises(
            UserError, match=r"run finetune again, or remove .*\n  - .*seed-0/result\.json is not readable"
        ):
            read(output)


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
        (
            {"history": [{"step": 1, "validation_f1": float("nan")}]},
            r"result\.json\.history\.0\.validation_f1: input should be a finite number",
        ),
        ({"history": [{"step": 1, "validation_f1": float("inf")}]}, r"validation_f1: input should be a finite number"),
        ({"history": [{"step": 0, "validation_f1": 0.5}]}, r"history holds an evaluation before the first step"),
        ({"train_s": float("nan")}, r"result\.json\.train_s: input should be a finite number"),
        ({"train_s": -1}, r"result\.json\.train_s: input should be greater than or equal to 0"),
        (
            {"scores": dict.fromkeys(("f1", "precision", "recall", "iob2_f1", "ceiling"), float("nan"))},
            r"result\.json: scores hold no number for f1, precision, recall, iob2_f1, ceiling",
        ),
    ],
)
@pytest.mark.parametrize("read", [compare, inspect])
def test_a_result_of_another_shape_is_named(output, read, changes, message):
    write_run(output, "bio", 0, 0.5)
    path = output / "EMEA/bio/seed-0/result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UserError, match=message):
        read(output)


@pytest.mark.parametrize("content", ["{}", '{"models": ["a"], "tasks": [], "seeds": []}', '{"models": {}, "tasks": 3}'])
@pytest.mark.parametrize("read", [compare, inspect])
def test_a_recipe_of_another_shape_is_named(two_models, read, content):
    (two_models / "finetune.json").write_text(content)
    with pytest.raises(UserError, match=r"finetune\.json has \d mistakes:\n"):
        read(two_models)


def id_in(folder):
    return json.loads((folder / "result.json").read_text())["id"]


def edit(change):
    def edited(folder):
        result = json.loads((folder / "result.json").read_text())
        change(result)
        (folder / "result.json").write_text(json.dumps(result))

    return edited


@edit
def edit_the_scores(result):
    result["scores"]["f1"] += 0.01


@edit
def edit_the_protocol(result):
    result["protocol"]["max_steps"] = 40


@edit
def edit_the_weights(result):
    result["weights_sha256"] = "others"


@edit
def edit_the_version(result):
    result["version"] = "1"


@edit
def edit_the_data(result):
    result["data_sha256"] = "others"


@edit
def edit_the_ledger(result):
    result["ledger"]["nested"] = 999


@edit
def edit_the_ledgers_gold(result):
    result["ledger"] |= {"gold": 101, "nested": 8}


@edit
def edit_the_ledgers_reasons(result):
    result["ledger"] |= {"nested": 0, "discontinuous": 7}


@edit
def edit_the_number_of_documents(result):
    result["num_documents"]["test"] = 11


def edit_the_predictions(folder):
    write_predictions(folder, id_in(folder), rows_of(0.99))


def cut_the_predictions(folder):
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text()[:-40])


def delete_the_predictions(folder):
    (folder / "predictions.jsonl").unlink()


def predictions_of_another_run(folder):
    write_predictions(folder, id_in(folder.with_name("seed-4")), rows_of(AFTER[3]))


def result_of_another_run(folder):
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("seed-4"), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_the_scores, r"the scores in its result\.json are not those of its predictions"),
        *(
            (
                change,
                r"the weights, tokenizer, data, protocol, seed or version in its result\.json is not that of its id",
            )
            for change in (edit_the_protocol, edit_the_weights, edit_the_version, edit_the_data)
        ),
        *(
            (change, r"the counts in its result\.json are not those of its predictions")
            for change in (edit_the_ledger, edit_the_ledgers_gold, edit_the_ledgers_reasons)
        ),
        (edit_the_number_of_documents, r"the counts in its result\.json are not those of its predictions"),
        (edit_the_predictions, r"the scores in its result\.json are not those of its predictions"),
        (cut_the_predictions, r"predictions\.jsonl, line 11 is not JSON, perhaps cut"),
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
