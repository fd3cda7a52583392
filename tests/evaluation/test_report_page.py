import json
import re
import shutil
from statistics import mean

import pytest

from camembert_bio import config, files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.cost import DEFAULT_FACTORS
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.measures import Labelled
from camembert_bio.evaluation.predictions import Row
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.report import write_report
from camembert_bio.evaluation.report_documents import highlighted
from camembert_bio.evaluation.report_html import page
from camembert_bio.evaluation.tasks import load_task
from tests.evaluation.outputs import write_answers_run, write_grid, write_run, write_two_models
from tests.pages import Page, needs_nothing_else


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two models on two tasks."""
    folder = write_grid(tmp_path_factory.mktemp("page"), tasks=("EMEA", "CAS"))
    write_two_models(folder)
    write_two_models(folder, "CAS")
    return compare(folder)


@pytest.fixture(scope="module")
def html(report):
    return page(report, DEFAULT_FACTORS)


def shown(html):
    return " ".join(" ".join(Page(html).shown).split())


def test_the_page_needs_nothing_else_and_holds_no_document(html):
    assert needs_nothing_else(html)
    assert "doc0" not in html
    assert set(re.findall(r'href="([^"]+)"', html)) == {
        *("#section-0", "#task-0-0", "#task-0-1", "#cost", "#reading"),
    }
    assert all(f'id="{anchor}"' in html for anchor in ("section-0", "task-0-0", "task-0-1", "cost", "reading"))


def test_the_page_shows_what_the_tables_of_the_other_forms_show(html):
    text = shown(html)
    for words in (
        *("Protocol paper", "Ceiling of F1 on all gold", "94.74", "bio − general", "8 of 10", "Exact boundaries F1"),
        *(
            "Confusion of labels: bio",
            "(missed)",
            "(not annotated)",
            "Boundary and type",
            "What a perfect tagger keeps",
        ),
        *("Hours 20", "Runs 40", "CO2e (France) 44.6 g", "cpu 65 W (assumed)", "How to read"),
    ):
        assert words in text


def test_light_and_dark(html):
    assert "@media (prefers-color-scheme: dark)" in html
    colours = set(re.findall(r"var\((--\w+)\)", html))
    for block in re.findall(r":root \{(.*?)\}", html, re.DOTALL):
        assert colours <= set(re.findall(r"(--\w+):", block))


def test_charts_are_drawn_within_their_frame(html):
    charts = re.findall(r'<svg class="chart" viewBox="0 0 440 (\d+)".*?>(.*?)</svg>', html)
    assert len(charts) == 4
    for height, shapes in charts:
        for name, value in re.findall(r' (x|y|x1|x2|y1|y2|cx|cy)="(-?[\d.]+)"', shapes):
            assert 0 <= float(value) <= (440 if "x" in name else float(height))
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", shapes):
            assert 0 <= float(x) <= 440 and 0 <= float(y) <= float(height)


def chart(html, words):
    """The shapes of the first chart that is called so."""
    return re.search(rf'<svg class="chart"[^>]*aria-label="{words}[^>]*>(.*?)</svg>', html)[1]


def scale(ticks):
    """What a place means, by the first and the last label of an axis: (place, label)."""
    (first, low), *_, (last, high) = [(float(place), float(label)) for place, label in ticks]
    return lambda place: low + (float(place) - first) / (last - first) * (high - low)


def test_the_learning_curve_passes_through_the_means_of_the_runs(report, html):
    shapes = chart(html, "Score on the validation documents of EMEA")
    labels = re.findall(r'<text class="tick" x="([\d.]+)" y="([\d.]+)"[^>]*>(?:step )?([\d.-]+)</text>', shapes)
    score = scale([(float(y) - 4, label) for x, y, label in labels if x == "34"])
    step = scale([(x, label) for x, _, label in labels if x != "34"])
    bands, lines = (re.findall(rf'<{kind} class="[^"]*" points="([^"]+)"', shapes) for kind in ("polygon", "polyline"))
    for place, entry in enumerate(report.sections[0].tasks[0].entries.values()):
        by_step = zip(*(run.history for run in entry.runs), strict=True)
        found = [[point["validation_f1"] for point in points] for points in by_step]
        points = [point.split(",") for point in lines[place].split()]
        assert [step(x) for x, _ in points] == pytest.approx([100, 200], abs=1)
        assert [score(y) for _, y in points] == pytest.approx([100 * mean(each) for each in found], abs=0.05)
        edges = [100 * max(each) for each in found] + [100 * min(each) for each in found[::-1]]
        assert [score(point.split(",")[1]) for point in bands[place].split()] == pytest.approx(edges, abs=0.05)
        assert [f'cx="{x}" cy="{y}"' in shapes for x, y in points] == [True, True]


def test_scores_and_their_intervals_are_drawn_where_they_are(report, html):
    shapes = chart(html, "Scores on CAS")
    value = scale(re.findall(r'<text class="tick" x="([\d.]+)"[^>]*>([\d.]+)</text>', shapes))
    drawn = re.findall(r'<line class="whisker s\d" x1="([\d.]+)" x2="([\d.]+)".*?cx="([\d.]+)"', shapes)
    for places, model in zip(drawn, ("general", "bio"), strict=True):
        found = report.sections[0].tasks[1].score(model)
        expected = [100 * each for each in (found.interval.low, found.interval.high, found.mean)]
        assert [value(place) for place in places] == pytest.approx(expected, abs=0.05)


def test_a_labels_bars_are_as_long_as_its_scores(report, html):
    bars = re.findall(r'<svg class="labels".*?</svg>', html)
    task = report.sections[0].tasks[0]
    for bar, label in zip(bars, ("CHEM", "DISO"), strict=False):
        rects = re.findall(r'<rect class="c(\d)" y="\d+" width="([\d.]+)"', bar)
        whiskers = re.findall(r'x1="([\d.]+)" x2="([\d.]+)"', bar)
        found = [entry.labels[label].figures["f1"] for entry in task.entries.values()]
        assert rects == [(str(place), f"{100 * one.mean:.1f}") for place, one in enumerate(found)]
        assert whiskers == [(f"{100 * one.interval.low:.1f}", f"{100 * one.interval.high:.1f}") for one in found]


def test_a_run_without_a_history_or_a_second_seed_has_a_page(tmp_path):
    write_run(write_grid(tmp_path), "bio", 0, 0.0, history=[])
    text = shown(page(compare(tmp_path), DEFAULT_FACTORS))
    assert "F1 on validation" not in text
    assert "Runs 1 of 20" in text


def test_what_a_corpus_names_is_escaped(tmp_path):
    write_grid(tmp_path, models=("bio",))
    label = '<script>"&'
    row = Row("doc", [Span(((0, 2),), label)], [Span(((0, 2),), label)], [])
    write_run(tmp_path, "bio", 0, 0.5, [row], device="<b>GPU</b>")
    html = page(compare(tmp_path), DEFAULT_FACTORS)
    assert needs_nothing_else(html)
    assert label in shown(html) and "<b>GPU</b>" in shown(html)


def marks(html):
    return [(label, text) for label, text in re.findall(r'<mark class="h\d [a-z]*" title="([^"]*)">([^<]*)', html)]


def test_nested_crossing_and_discontinuous_entities_are_marked():
    text = "abcdefgh"
    kinds = {
        Span(((0, 4),), "A"): "",
        Span(((2, 6),), "B"): "type",
        Span(((3, 4), (7, 8)), "C"): "missed",
    }
    html = highlighted(text, kinds, ["A", "B", "C"])
    Page(html)
    assert re.sub(r"<i>.</i>|<[^>]+>", "", html) == text
    assert marks(html) == [
        *(("A", "ab"), ("A", ""), ("B, type", "c"), ("A", ""), ("B, type", ""), ("C, missed", "d")),
        *(("B, type", "ef"), ("C, missed", "h")),
    ]
    assert re.findall(r"<i>(.)</i>", html) == ["A", "B", "C"]


def test_text_is_escaped_where_it_is_marked():
    html = highlighted("<b> & é", {Span(((1, 2),), "<A>"): ""}, ["<A>"])
    assert html == '&lt;<mark class="h0 " title="&lt;A&gt;">b<i>&lt;A&gt;</i></mark>&gt; &amp; é'


@pytest.fixture
def with_documents(brat_folder, tmp_path):
    """A result on the documents of a real task: what its first entity is, is missed."""
    parts = {
        part: str(brat_folder / folder)
        for part, folder in (("train", "train"), ("validation", "dev"), ("test", "test"))
    }
    values = {"name": "drugs", "format": "brat", **parts}
    data = load_task(config.build(Task, values))
    files.write_json(tmp_path / "finetune.json", {"models": {"bio": "x"}, "tasks": [values], "seeds": [0]})
    write_tagged(tmp_path, data, 0)
    return tmp_path, data


def write_tagged(output, data, seed):
    """A run that misses each document's first entity."""
    rows = [Row(document.id, document.spans, document.spans[1:], document.spans) for document in data.test]
    write_run(output, "bio", seed, 0.5, rows, task="drugs", data_sha256=data.sha256)


def test_documents_are_shown_on_request_alone_and_in_a_page_of_their_own(with_documents):
    output, data = with_documents
    plain = write_report(output)
    assert "page_with_text" not in plain
    written = write_report(output, with_text=True)
    assert plain["page"].read_text() == written["page"].read_text()
    texts = [document.text for document in data.test]
    for path in plain.values():
        assert not any(text.split(",")[0] in path.read_text() for text in texts)
    html = written["page_with_text"].read_text()
    assert written["page_with_text"].name == "report_with_text.html"
    assert needs_nothing_else(html)
    found = re.sub(r"<i>[A-Z]+</i>|<[^>]+>", "", html)
    assert all(found.count(text.replace("'", "&#x27;")) >= 2 for text in texts)
    assert "Holds the texts of documents." in html
    missed = re.findall(r'title="[A-Z]+, missed">([^<]*)', html)
    assert sorted(missed) == sorted(
        data.test[k].text[d.spans[0].start : d.spans[0].end] for k, d in enumerate(data.test)
    )


def test_no_task_may_be_called_like_a_file_of_the_report(with_documents):
    output, _ = with_documents
    write_report(output, with_text=True, card_of="bio")
    names = {path.name for path in output.iterdir() if path.is_file()}
    assert len(names) == 6
    for name in names:
        with pytest.raises(UserError, match=f"task name '{name}' is that of a file beside the tasks' folders"):
            config.build(Task, {"name": name, "format": "brat", "train": "a", "test": "b"})


def test_texts_are_read_of_tasks_of_entities_alone(with_documents):
    output, _ = with_documents
    grid = json.loads((output / "finetune.json").read_text())
    gone = {"name": "classes", "type": "classification", "format": "csv", "train": "gone.csv", "test": "gone.csv"}
    files.write_json(output / "finetune.json", {**grid, "tasks": [*grid["tasks"], gone]})
    write_answers_run(output, "classes", "classification", "bio", 0, [Labelled("a", ("x",), ("x",))])
    assert write_report(output, with_text=True)["page_with_text"].is_file()


@pytest.mark.parametrize("other_seed", [0, 1])
def test_each_table_shows_the_documents_that_it_tested(with_documents, tmp_path, other_seed):
    """A second version of the corpus under the same name, in which one text begins with other words."""
    output, data = with_documents
    shutil.rmtree(output / "drugs")
    write_tagged(output, data, other_seed)
    (task,) = json.loads((output / "finetune.json").read_text())["tasks"]
    shutil.copytree(task["test"], tmp_path / "later")
    prefix = "PRÉFIXE LONG "
    text = tmp_path / "later/doc000.txt"
    text.write_text(prefix + text.read_text(encoding="utf-8"), encoding="utf-8")
    lines = []
    for line in text.with_suffix(".ann").read_text(encoding="utf-8").splitlines():
        name, (label, start, end), words = ((cells := line.split("\t"))[0], cells[1].split(), cells[2])
        lines.append(f"{name}\t{label} {int(start) + len(prefix)} {int(end) + len(prefix)}\t{words}\n")
    text.with_suffix(".ann").write_text("".join(lines), encoding="utf-8")
    task["test"] = str(tmp_path / "later")
    later = load_task(config.build(Task, task))
    files.write_json(output / "finetune.json", {"models": {"bio": "x"}, "tasks": [task], "seeds": [0, 1]})
    write_tagged(output, later, 1 - other_seed)
    html = write_report(output, with_text=True)["page_with_text"].read_text()
    assert html.count("Documents (16), annotated and predicted side by side") == 1
    assert html.count("The recipe&#x27;s documents are not those that were tested here: none is shown.") == 1
    missed = re.findall(r'title="[A-Z]+, missed">([^<]*)', html)
    assert sorted(missed) == sorted(d.text[d.spans[0].start : d.spans[0].end] for d in later.test)
    assert later.sha256 != data.sha256


def test_documents_that_changed_since_are_refused(with_documents):
    output, _ = with_documents
    write_run(output, "bio", 0, 0.5, task="drugs", data_sha256="other")
    with pytest.raises(
        UserError, match=r"task drugs: its documents are not those that were tested any more; run finetune"
    ):
        write_report(output, with_text=True)
    assert not (output / "report.html").exists()
