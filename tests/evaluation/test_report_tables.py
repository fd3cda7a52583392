import csv
import io
import re
import shutil
import subprocess

import pytest
from huggingface_hub import ModelCard

from camembert_bio.errors import UserError
from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.model_card import card
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.report_tables import csv_text, latex
from tests.evaluation.outputs import AFTER, write_grid, write_run, write_two_models

WHOLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\begin{document}
\input{report}
\end{document}
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two protocols; two tasks in the first, one model in the second, with names that LaTeX would read otherwise."""
    folder = write_grid(tmp_path_factory.mktemp("tables"), models=("general", "bio", "bio_v2"), tasks=("EMEA", "CAS_1"))
    write_two_models(folder)
    write_two_models(folder, "CAS_1")
    write_run(folder, "bio_v2", 0, 0.6, protocol={**paper_protocol(), "protocol": "audited"})
    return compare(folder)


def test_latex_has_a_table_for_each_protocol(report):
    text = latex(report)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule") == 2
    for table in re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert {line.count("&") for line in rows} == {len(table[0]) - 1}
    assert r"CAS\_1" in text and r"bio\_v2" in text
    assert r"95 \% interval" in text
    _, *lines = text.splitlines()  # the first is a comment
    assert not any(re.search(r"(?<!\\)[%#]", line) for line in lines)
    assert r"$\uparrow$" in text and r"$\pm$" in text and r"\textbf{" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(report, tmp_path):
    (tmp_path / "report.tex").write_text(latex(report), encoding="utf-8")
    (tmp_path / "whole.tex").write_text(WHOLE, encoding="utf-8")
    command = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error", "whole.tex")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="latin-1")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "whole.pdf").stat().st_size > 0


def test_csv_has_a_line_for_each_figure(report):
    lines = list(csv.DictReader(io.StringIO(csv_text(report))))
    entry = report.sections[0].tasks[0].entries["bio"]
    found = {(line["task"], line["model"], line["against"], line["label"], line["measure"]): line for line in lines}
    assert len(found) == len(lines)
    f1 = found["EMEA", "bio", "", "", "f1"]
    assert float(f1["mean"]) == pytest.approx(sum(AFTER) / 10)
    assert (float(f1["low"]), float(f1["high"])) == (
        entry.measures["f1"].interval.low,
        entry.measures["f1"].interval.high,
    )
    assert found["EMEA", "bio", "", "CHEM", "f1"]["seeds"] == "10"
    assert found["EMEA", "bio", "", "", "ceiling"]["std"] == ""
    against = found["CAS_1", "bio", "general", "", "iob2_f1"]
    comparison = report.sections[0].tasks[1].comparisons["general", "bio"]
    assert float(against["p_holm"]) == comparison.p_holm
    assert float(against["p_permutation"]) == comparison.difference.p_permutation
    assert {line["protocol"].split(":")[0] for line in lines} == {"paper", "audited"}


def test_the_card_is_read_by_the_hub(report, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(card(report, "bio"), encoding="utf-8")
    data = ModelCard.load(path).data
    assert (data.model_name, data.language, data.pipeline_tag) == ("bio", "fr", "fill-mask")
    results = {(result.dataset_name, result.metric_name): result for result in data.eval_results}
    assert len(results) == 8
    f1 = results["EMEA", "F1 (protocol paper, mean of 10 seeds)"]
    assert f1.metric_value == pytest.approx(sum(AFTER) / 10, abs=1e-4)
    assert (f1.task_type, f1.metric_type, f1.dataset_revision) == ("token-classification", "f1", "d")
    iob2 = results["CAS_1", "strict IOB2 F1 (protocol paper, mean of 10 seeds)"]
    assert iob2.metric_type == "f1" and iob2.metric_value != f1.metric_value
    text = ModelCard.load(path).text
    assert "| EMEA | F1 | 72.90 ± " in text and "general" not in text and "audited" not in text


def test_the_card_of_a_model_in_another_protocol(report, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(card(report, "bio_v2"), encoding="utf-8")
    (name,) = {
        result.metric_name for result in ModelCard.load(path).data.eval_results if result.metric_type == "recall"
    }
    assert name == "recall (protocol audited, mean of 1 seeds)"


def test_a_model_without_a_run_has_no_card(report):
    with pytest.raises(UserError, match=r"model 'boi' has no run here \(did you mean 'bio'\?\)"):
        card(report, "boi")
