"""Reports of tasks that are not of entities, beside one that is."""

import csv
import io
import json
import math
import re
import shutil
import statistics

import numpy as np
import pytest
from huggingface_hub import ModelCard

from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.cost import DEFAULT_FACTORS
from camembert_bio.evaluation.measures import Labelled, Likelihood, Rated
from camembert_bio.evaluation.model_card import card
from camembert_bio.evaluation.report_csv import csv_text
from camembert_bio.evaluation.report_findings import findings
from camembert_bio.evaluation.report_html import page
from camembert_bio.evaluation.report_latex import latex
from camembert_bio.evaluation.report_markdown import markdown
from camembert_bio.evaluation.results import problem_of, read_result
from tests.evaluation.outputs import write_answers_run, write_grid, write_two_models
from tests.pages import needs_nothing_else

CLASSES = ("cardiologie", "urologie", "autre")
NUM_DOCUMENTS = 30
NUM_SEEDS = 5


def classes(rng, share):
    """The right class with this probability, else the next one."""
    gold = [place % 3 for place in range(NUM_DOCUMENTS)]
    wrong = rng.random(NUM_DOCUMENTS) > share
    pairs = ((CLASSES[g], CLASSES[(g + w) % 3]) for g, w in zip(gold, wrong, strict=True))
    return [Labelled(f"doc{place}", (g,), (p,)) for place, (g, p) in enumerate(pairs)]


def ratings(rng, noise):
    return [Rated(f"doc{n}", float(n % 6), float(n % 6 + noise * rng.standard_normal())) for n in range(NUM_DOCUMENTS)]


def likelihoods(nats):
    return [Likelihood(f"doc{n}", (nats + n % 5 / 10) * 50, 50, 30, 3) for n in range(NUM_DOCUMENTS)]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Entities, classes, similarities and perplexity; `bio` is the better one on all but similarities."""
    folder = write_grid(tmp_path_factory.mktemp("tasks"), tasks=("EMEA", "specialties", "pairs", "texts", "words"))
    write_two_models(folder)
    rng = np.random.default_rng(0)
    for model, share, noise, nats in (("general", 0.5, 0.5, 2.5), ("bio", 0.9, 0.5, 2.0)):
        for seed in range(NUM_SEEDS):
            write_answers_run(folder, "specialties", "classification", model, seed, classes(rng, share))
            write_answers_run(folder, "pairs", "similarity", model, seed, ratings(rng, noise))
        write_answers_run(folder, "texts", "perplexity", model, 0, likelihoods(nats), history=[])
        write_answers_run(folder, "words", "pseudo-perplexity", model, 0, likelihoods(nats), history=[])
    return folder


@pytest.fixture(scope="module")
def report(output):
    return compare(output)


def task_of(report, name):
    return next(task for task in report.sections[0].tasks if task.name == name)


@pytest.mark.parametrize(
    ("name", "measure"), [("specialties", "accuracy"), ("pairs", "edrm"), ("texts", "nll"), ("EMEA", "iob2_f1")]
)
def test_each_task_is_compared_by_its_measure(report, name, measure):
    task = task_of(report, name)
    assert task.measure.name == measure
    for model, entry in task.entries.items():
        found = [run.scores[measure] for run in entry.runs]
        assert task.score(model).mean == pytest.approx(statistics.mean(found))
        assert task.score(model).interval.low < statistics.mean(found) < task.score(model).interval.high
    gains = [
        after.scores[measure] - before.scores[measure]
        for before, after in zip(*(task.entries[model].runs for model in ("general", "bio")), strict=True)
    ]
    assert task.comparisons["general", "bio"].difference.per_seed == pytest.approx(gains)


def test_every_score_of_the_runs_is_shown(report):
    for name in ("specialties", "pairs", "texts", "words"):
        entry = task_of(report, name).entries["bio"]
        shown = {**entry.measures, **entry.figures}
        for key in task_of(report, name).titles:
            assert shown[key].mean == pytest.approx(statistics.mean(run.scores[key] for run in entry.runs))


def test_less_is_better_where_it_is(report):
    (sentence,) = findings(report.sections[0])
    better, _, _ = sentence.partition("; no difference told on")
    assert re.search(r"specialties \+\d+\.\d\d", better) and "texts -0.5" in better
    assert "worse" not in sentence and sentence.endswith("no difference told on EMEA, pairs.")
    text = markdown(report, DEFAULT_FACTORS)
    assert re.search(
        r"^\| texts \(nats a sub-word, lower is better\) \| 2\.7 .* \| \*\*2\.2\*\* .* ▲ \|  \|$", text, re.MULTILINE
    )


def test_a_task_without_training_says_nothing_of_seeds(report):
    assert "With one seed" not in markdown(report, DEFAULT_FACTORS)
    assert "seeds 5 or 10 (paper: 10)" in markdown(report, DEFAULT_FACTORS)


def test_tasks_of_several_measures_have_no_mean(report):
    assert report.sections[0].measure is None and report.sections[0].means() == {}
    text = markdown(report, DEFAULT_FACTORS)
    assert "| mean |" not in text
    assert "the measure of each task: mean ± standard deviation" in text


def test_what_is_of_entities_alone_is_left_out(report):
    text = markdown(report, DEFAULT_FACTORS).split("### ")
    (part,) = (block for block in text if block.startswith("specialties"))
    assert "What went wrong" not in part and "ceiling" not in part
    assert "30 training, 0 validation, 30 test documents.\n" in part
    (texts,) = (block for block in text if block.startswith("texts"))
    assert "\n30 test documents.\n" in texts and "of each label" not in texts


def test_classes_have_scores_and_a_confusion(report):
    entry = task_of(report, "specialties").entries["bio"]
    runs = [run.scores["per_label"]["urologie"] for run in entry.runs]
    found = entry.labels["urologie"]
    assert found.gold == 10
    for name in ("precision", "recall", "f1"):
        assert found.figures[name].mean == pytest.approx(statistics.mean(run[name] for run in runs))
    right = sum(entry.confusion[name, name] for name in CLASSES)
    assert right == pytest.approx(NUM_DOCUMENTS * entry.measures["accuracy"].mean)
    assert "| urologie | 10 |" in markdown(report, DEFAULT_FACTORS)


def test_every_form_holds_the_same_scores(report, tmp_path):
    html, text = page(report, DEFAULT_FACTORS), markdown(report, DEFAULT_FACTORS)
    assert needs_nothing_else(html)
    lines = list(csv.DictReader(io.StringIO(csv_text(report, DEFAULT_FACTORS))))
    (tmp_path / "README.md").write_text(card(report, "bio"), encoding="utf-8")
    hub = {(one.dataset_name, one.metric_type): one for one in ModelCard.load(tmp_path / "README.md").data.eval_results}
    for name in ("specialties", "pairs"):
        task = task_of(report, name)
        found = task.score("bio")
        shown = f"{100 * found.mean:.2f} ± {100 * found.std:.2f}"
        assert shown in html and shown in text and shown.replace("±", r"$\pm$") in latex(report)
        (line,) = (
            one
            for one in lines
            if (one["task"], one["model"], one["measure"], one["against"]) == (name, "bio", task.measure.name, "")
        )
        assert float(line["mean"]) == found.mean
        assert hub[name, task.measure.name].metric_value == round(found.mean, 4)
    assert hub["texts", "perplexity"].task_type == "fill-mask"


def test_the_share_of_unscored_words_stands_beside_the_figure_a_word(report):
    for text in (markdown(report, DEFAULT_FACTORS), page(report, DEFAULT_FACTORS)):
        head = r"pseudo-perplexity a word\W+(<th[^>]*>)?share of unscored words"
        assert re.search(head, text, re.IGNORECASE)
        assert "leave next to no word out" in text
    (cells,) = (
        line.strip("| ").split(" | ")
        for line in markdown(report, DEFAULT_FACTORS).splitlines()
        if line.startswith("| bio |") and line.endswith(" 0.09091 |")
    )
    assert float(cells[2]) == pytest.approx(math.exp(2.2 * 50 / 30), rel=1e-3)


def as_elsewhere(value):
    """Scores whose last digits are those of another processor."""
    if isinstance(value, dict):
        return {name: as_elsewhere(each) for name, each in value.items()}
    return value * (1 + 1e-13) if isinstance(value, float) else value


@pytest.mark.parametrize(("change", "is_told"), [(as_elsewhere, False), (lambda found: {**found, "nll": 2.3}, True)])
def test_the_last_digits_of_a_score_are_the_processors(output, tmp_path, change, is_told):
    folder = tmp_path / "copy"
    shutil.copytree(output, folder)
    for path in folder.rglob("result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "scores": change(result["scores"])}))
    problems = [problem_of(path.parent, read_result(path.parent)) for path in folder.rglob("result.json")]
    assert any(problems) == is_told
    assert all(problem is None or "are not those of its predictions" in problem for problem in problems)
