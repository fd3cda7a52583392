import csv
import io
import re
import shutil
import subprocess
from html import unescape

import pytest
from huggingface_hub import ModelCard

from camembert_bio.errors import UserError
from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.cost import DEFAULT_FACTORS
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.model_card import card
from camembert_bio.evaluation.power import detectable
from camembert_bio.evaluation.predictions import Row
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.report_csv import csv_text
from camembert_bio.evaluation.report_html import page
from camembert_bio.evaluation.report_latex import latex
from camembert_bio.evaluation.report_markdown import markdown
from tests.evaluation.outputs import AFTER, write_grid, write_run, write_two_models
from tests.pages import Page

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


def tables(text):
    """(columns, rows of cells, caption) of each table."""
    found = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}\n\\caption\{([^\n]*)\}\n", text, re.DOTALL)
    return [
        (columns, [line.split(" & ") for line in body.splitlines() if line.endswith(r" \\")], caption)
        for columns, body, caption in found
    ]


def test_latex_has_scores_differences_and_labels(report):
    text = latex(report)
    found = tables(text)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(found) == 6
    for columns, rows, _ in found:
        assert {len(cells) for cells in rows} == {len(columns)}
    captions = [caption for *_, caption in found]
    assert captions[0].startswith("Protocol paper. strict IOB2 F1: mean") and "paired bootstrap" in captions[0]
    assert r"Protocol: \texttt{paper}; assumed, since the paper does not state it: weight\_decay 0.01;" in captions[0]
    assert captions[1].startswith("Protocol paper: differences of strict IOB2 F1")
    assert captions[2].startswith("EMEA, protocol paper: precision, recall and F1 of each label")
    assert captions[4].startswith("Protocol audited. F1: ") and "policy" not in captions[4]
    assert r"CAS\_1" in text and r"bio\_v2" in text
    assert r"95 \% interval" in text
    _, *lines = text.splitlines()  # the first is a comment
    assert not any(re.search(r"(?<!\\)[%#]", line) for line in lines)
    assert r"$\uparrow$" in text and r"$\pm$" in text and r"\textbf{" in text


def test_latex_says_the_numbers_of_the_other_forms(report):
    task = report.sections[0].tasks[0]
    _, (_, differences, _), (_, labels, _), *_ = tables(latex(report))
    found = task.comparisons["general", "bio"]
    interval = found.difference.interval
    assert differences[1] == [
        *("{}EMEA", "bio $-$ general", f"{100 * interval.mean:+.2f}"),
        *(f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]", rf"{found.p_holm:.3f} \\"),
    ]
    assert [cells[:3] for cells in labels[1:3]] == [["{}CHEM", "50", "general"], ["{}CHEM", "50", "bio"]]
    recall = task.entries["general"].labels["CHEM"].figures["recall"]
    bounds = f"[{100 * recall.interval.low:.2f}, {100 * recall.interval.high:.2f}]"
    assert labels[1][4] == rf"{100 * recall.mean:.2f} $\pm$ {100 * recall.std:.2f} {{\tiny {bounds}}}"


def test_what_a_protocol_changes_stands_in_the_caption(tmp_path):
    write_grid(tmp_path)
    for seed in range(2):
        write_run(tmp_path, "bio", seed, 0.5, protocol={**paper_protocol(), "max_steps": 40})
    ((_, _, caption), _) = tables(latex(compare(tmp_path)))
    changed = r"\texttt{paper} with changes, not to be compared with published figures: max\_steps 40 (paper: 2000);"
    assert caption.startswith("Protocol paper, changed. ") and changed in caption
    assert "Of EMEA, 10 test documents are scored: intervals and tests are rough" in caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(report, tmp_path):
    compiles(report, tmp_path)


def compiles(report, folder):
    (folder / "report.tex").write_text(latex(report), encoding="utf-8")
    (folder / "whole.tex").write_text(WHOLE, encoding="utf-8")
    command = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error", "whole.tex")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="latin-1")
    assert done.returncode == 0, done.stdout
    assert (folder / "whole.pdf").stat().st_size > 0


STRANGE = {
    '=HYPERLINK("http://a.b")': '\'=HYPERLINK("http://a.b")',
    "@SUM(1)": "'@SUM(1)",
    "+1": "'+1",
    "-1": "'-1",
    "[a](http://b)": "[a](http://b)",
    "![x](y)": "![x](y)",
    "*a* `b` _c_ $d$": "*a* `b` _c_ $d$",
    "*star": "*star",
    "&lt;b> a_b": "&lt;b> a_b",
    "a\x00b\x1b[31m\u202ec": "ab[31mc",
    "two\r\nlines\u2028x": "two lines x",
    "100 % {\\x} #~^": "100 % {\\x} #~^",
}
"""What a corpus may call a label, and what a cell of CSV shows of it."""


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """The report of a run whose labels are those, all found, each once in each of two documents."""
    folder = write_grid(tmp_path_factory.mktemp("strange"), models=("bio",))
    spans = [Span(((place, place + 1),), label) for place, label in enumerate(STRANGE)]
    found = [Row(name, spans, spans, spans) for name in ("a", "b")]
    write_run(folder, "bio", 0, 0.5, found)
    return compare(folder)


def test_no_cell_of_csv_is_a_formula(strange):
    text = csv_text(strange, DEFAULT_FACTORS)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["label"] for line in lines if line["kind"] == "label"} == set(STRANGE.values())
    assert not any(cell.startswith(tuple("=+-@")) for line in lines for cell in line.values() if not is_number(cell))
    assert text.replace("\n", "").isprintable()


def is_number(cell):
    return re.fullmatch(r"-?[\d.]+(e-\d+)?", cell) is not None


def test_markdown_and_the_page_show_labels_as_they_are(strange):
    markdown_it = pytest.importorskip("markdown_it")  # rich needs it, which others need
    text = markdown(strange, DEFAULT_FACTORS)
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(text)
    cells = [unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", html)]
    shown = [name.removeprefix("'") for name in STRANGE.values()]
    assert set(shown) <= set(cells)
    assert set(shown) <= set(Page(page(strange, DEFAULT_FACTORS)).shown)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_of_strange_labels_compiles(strange, tmp_path):
    compiles(strange, tmp_path)


KEYS = ("protocol", "kind", "task", "model", "against", "label", "predicted", "seed", "step", "device", "measure")


@pytest.fixture(scope="module")
def lines(report):
    return list(csv.DictReader(io.StringIO(csv_text(report, DEFAULT_FACTORS))))


def test_csv_has_a_line_for_each_number(report, lines):
    found = {tuple(line[key] for key in KEYS[1:]): line for line in lines if not line["protocol"].startswith("audited")}
    assert len({tuple(line[key] for key in KEYS) for line in lines}) == len(lines)
    assert {line["protocol"].split(":")[0] for line in lines} == {"paper", "audited", ""}

    def of(kind, task="EMEA", model="bio", **others):
        named = {"kind": kind, "task": task, "model": model, **others}
        return found[tuple(named.get(key, "") for key in KEYS[1:])]

    def figures(line):
        return {name: float(line[name]) for name in ("mean", "std", "low", "high") if line[name]}

    task = report.sections[0].tasks[0]
    entry = task.entries["bio"]
    for name, estimate in entry.measures.items():
        around = estimate.interval
        expected = {"mean": estimate.mean, "std": estimate.std, "low": around.low, "high": around.high}
        assert figures(of("score", measure=name)) == expected
    assert figures(of("score", measure="ceiling")) == {"mean": entry.entities.ceiling}
    assert figures(of("score", task="", measure="mean_iob2_f1")) == {"mean": report.sections[0].means()["bio"]}
    for label, told in entry.labels.items():
        assert float(of("label", label=label, measure="gold")["mean"]) == told.gold
        assert float(of("label", label=label, measure="precision")["high"]) == told.figures["precision"].interval.high
    assert float(of("error", measure="boundary")["mean"]) == entry.entities.errors["boundary"]
    assert float(of("ledger", measure="nested")["mean"]) == 7
    right = of("confusion", label="CHEM", predicted="CHEM", measure="count")
    assert float(right["mean"]) == entry.confusion["CHEM", "CHEM"]
    point = entry.runs[3].history[1]
    of_seed = of("history", seed="3", step=str(point["step"]), measure="validation_f1")
    assert float(of_seed["mean"]) == point["validation_f1"]
    assert float(of("documents", model="", measure="test")["mean"]) == 10
    assert float(of("cost", task="", device="cpu", measure="hours")["mean"]) == 10


def test_csv_has_what_is_told_of_a_difference(report, lines):
    found = {
        line["measure"]: line
        for line in lines
        if (line["kind"], line["task"], line["model"], line["against"]) == ("difference", "CAS_1", "bio", "general")
    }
    comparison = report.sections[0].tasks[1].comparisons["general", "bio"]
    difference = comparison.difference
    assert float(found["iob2_f1"]["p_holm"]) == comparison.p_holm
    assert float(found["iob2_f1"]["p_permutation"]) == difference.p_permutation
    assert float(found["effect"]["mean"]) == difference.effect
    assert float(found["seeds_above_0"]["mean"]) == 8
    assert float(found["detectable"]["mean"]) == detectable(difference.spread)
    assert found["seeds_needed"]["mean"] == ""  # none suffice


def test_every_number_of_markdowns_tables_is_in_csv(report, lines):
    values = [
        float(line[name])
        for line in lines
        for name in ("mean", "std", "low", "high", "p", "p_holm", "p_permutation", "seeds")
        if line[name]
    ]
    values += [-value for value in values]
    shown = {"0.001", "90"}  # what is below it; what the ledger keeps of 100
    for value in values:
        shown |= {f"{100 * value:.2f}", f"{value:.2f}", f"{value:.1f}", f"{value:,.0f}", f"{value:.3f}", f"{value:.3g}"}
    text = markdown(report, DEFAULT_FACTORS)
    cells = [cell for line in text.splitlines() if line.startswith("| ") for cell in line.strip("|").split("|")[1:]]
    told = [
        number
        for cell in cells
        if not re.search("[a-z]{2}", cell.replace("none suffice", ""))
        for number in re.findall(r"-?\d[\d,]*(?:\.\d+)?", re.sub(r"\b95 %|of \d+|CO2e", "", cell))
    ]
    assert len(told) > 200
    assert set(told) - shown == set()


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
