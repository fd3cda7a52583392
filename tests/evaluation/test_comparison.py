import json
import statistics
from dataclasses import replace

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.comparison import compare
from camembert_bio.evaluation.counting import count_documents
from camembert_bio.evaluation.measures import Rated
from camembert_bio.evaluation.predictions import write_predictions
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.statistics import difference, holm
from tests.evaluation.outputs import (
    AFTER,
    BEFORE,
    iob2_of,
    rows_of,
    write_answers_run,
    write_grid,
    write_run,
    write_two_models,
)

FORGIVEN = {"protocol": "audited", **paper_protocol()}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Two models on two tasks, ten seeds."""
    folder = write_grid(tmp_path_factory.mktemp("grid"), tasks=("EMEA", "CAS"))
    write_two_models(folder)
    write_two_models(folder, "CAS")
    return folder


@pytest.fixture(scope="module")
def report(output):
    return compare(output)


def test_means_and_deviations_are_those_of_the_runs(report):
    (section,) = report.sections
    entry = section.tasks[0].entries["bio"]
    assert entry.measures["f1"].mean == pytest.approx(statistics.mean(AFTER))
    assert entry.measures["f1"].std == pytest.approx(statistics.stdev(AFTER))
    iob2 = [iob2_of(f1) for f1 in AFTER]
    assert entry.measures["iob2_f1"].mean == pytest.approx(statistics.mean(iob2))
    assert entry.measures["iob2_f1"].std == pytest.approx(statistics.stdev(iob2))
    for name in ("exact", "partial", "type", "macro"):
        found = [run.scores[name]["f1"] for run in entry.runs]
        shown = entry.figures[f"{name}_f1"]
        assert (shown.mean, shown.std) == pytest.approx((statistics.mean(found), statistics.stdev(found)))
    assert entry.entities.ceiling == pytest.approx(180 / 190)


@pytest.mark.parametrize("measure", ["f1", "precision", "recall", "iob2_f1"])
def test_intervals_are_around_the_mean(report, measure):
    for entry in report.sections[0].tasks[0].entries.values():
        found = entry.measures[measure].interval
        assert found.low < found.mean < found.high


def test_the_counts_of_documents_add_up_to_the_scores(report):
    for entry in report.sections[0].tasks[0].entries.values():
        counts = count_documents(entry.entities.rows)
        for measure in ("f1", "precision", "recall", "iob2_f1"):
            expected = [run.scores[measure] for run in entry.runs]
            assert counts.ratios(measure).per_seed.tolist() == pytest.approx(expected)
        for label, found in entry.labels.items():
            scores = [run.scores["per_label"][label] for run in entry.runs]
            assert found.gold == scores[0]["gold"] == 50
            for name in ("precision", "recall", "f1"):
                assert found.figures[name].mean == pytest.approx(statistics.mean(score[name] for score in scores))
        errors = entry.entities.errors
        assert sum(errors.values()) == pytest.approx(100 + errors["spurious"])
        assert errors["correct"] == pytest.approx(
            entry.confusion["CHEM", "CHEM"] + entry.confusion["DISO", "DISO"] - errors["boundary"]
        )


def test_the_difference_is_paired_by_document_and_seed(report):
    found = report.sections[0].tasks[0].comparisons["general", "bio"]
    gains = [iob2_of(after) - iob2_of(before) for before, after in zip(BEFORE, AFTER, strict=True)]
    assert found.difference.per_seed == pytest.approx(gains)
    counts = [count_documents([rows_of(f1) for f1 in scores]).ratios("iob2_f1") for scores in (BEFORE, AFTER)]
    assert found.difference == difference(*counts)


def test_p_values_are_adjusted_over_the_tasks(report):
    found = [task.comparisons["general", "bio"] for task in report.sections[0].tasks]
    assert [one.p_holm for one in found] == holm([one.difference.p for one in found])
    assert found[0].p_holm == min(1.0, 2 * found[0].difference.p)


def test_the_seeds_that_both_have_are_compared(tmp_path):
    write_grid(tmp_path)
    for seed, f1 in enumerate((0.5, 0.6, 0.7)):
        write_run(tmp_path, "general", seed, f1)
    for seed, f1 in ((2, 0.8), (1, 0.6), (7, 0.2)):
        write_run(tmp_path, "bio", seed, f1)
    found = compare(tmp_path).sections[0].tasks[0].comparisons["general", "bio"].difference
    assert found.per_seed == pytest.approx([0.0, iob2_of(0.8) - iob2_of(0.7)])


def test_models_without_a_seed_in_common_are_not_compared(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 1, 0.5)
    assert compare(tmp_path).sections[0].tasks[0].comparisons == {}


def test_the_protocols_stand_apart_and_each_has_its_measure(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 0, 0.6, protocol=FORGIVEN)
    sections = {section.name: section for section in compare(tmp_path).sections}
    assert sections.keys() == {"paper", "audited"}
    assert (sections["paper"].models, sections["audited"].models) == (("general",), ("bio",))
    assert (sections["paper"].measure.name, sections["audited"].measure.name) == ("iob2_f1", "f1")


def test_a_changed_value_is_another_protocol(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 0, 0.6, protocol={**paper_protocol(), "max_steps": 40})
    assert [section.models for section in compare(tmp_path).sections] != [("general", "bio")]
    assert len(compare(tmp_path).sections) == 2


def test_runs_of_other_data_do_not_share_a_table(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 0, 0.6, data_sha256="0123456789")
    (section,) = compare(tmp_path).sections
    assert sorted(task.name for task in section.tasks) == ["EMEA (01234567)", "EMEA (d)"]
    assert section.means() == {}


def test_runs_of_other_weights_under_one_name_are_told_apart(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "bio", 0, 0.5, weights_sha256="11111111ff")
    write_run(tmp_path, "bio", 1, 0.6, weights_sha256="22222222ff")
    (section,) = compare(tmp_path).sections
    assert section.models == ("bio (11111111, version 0)", "bio (22222222, version 0)")


def test_runs_of_another_tokenizer_under_one_name_are_told_apart(tmp_path):
    write_grid(tmp_path)
    for seed, tokenizer in enumerate(("11111111ff", "22222222ff", "22222222ff")):
        write_run(tmp_path, "bio", seed, 0.5, tokenizer_sha256=tokenizer)
    write_run(tmp_path, "bio", 3, 0.6, weights_sha256="33333333ff")
    (section,) = compare(tmp_path).sections
    weights = "weights-"  # eight characters, as of a hash
    assert section.models == (
        "bio (33333333, version 0)",
        f"bio ({weights}, tokenizer 11111111, version 0)",
        f"bio ({weights}, tokenizer 22222222, version 0)",
    )
    assert [len(section.tasks[0].entries[model].runs) for model in section.models] == [1, 1, 2]


def test_models_and_tasks_stand_in_the_recipes_order(report, tmp_path):
    assert report.sections[0].models == ("general", "bio")
    assert [task.name for task in report.sections[0].tasks] == ["EMEA", "CAS"]
    write_grid(tmp_path, models=("bio", "general"))
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 0, 0.5)
    assert compare(tmp_path).sections[0].models == ("bio", "general")


def test_the_mean_over_tasks_is_of_the_models_that_have_them_all(tmp_path):
    write_grid(tmp_path, tasks=("EMEA", "CAS"))
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "general", 0, 0.7, task="CAS")
    write_run(tmp_path, "bio", 0, 0.6)
    assert compare(tmp_path).sections[0].means() == {"general": pytest.approx((iob2_of(0.5) + iob2_of(0.7)) / 2)}


@pytest.mark.parametrize(
    ("model", "message"),
    [("general", "task EMEA, model general: the runs have other test documents"), ("bio", "model bio was tested on")],
)
def test_runs_on_other_documents_than_they_say_are_refused(tmp_path, model, message):
    write_grid(tmp_path)
    for seed in (0, 1):
        write_run(tmp_path, "general", seed, 0.5)
    folder = write_run(tmp_path, model, 1, 0.5)
    *rows, last = rows_of(0.5)
    rows.append(replace(last, document="other"))
    write_predictions(folder, json.loads((folder / "result.json").read_text())["id"], rows)
    with pytest.raises(UserError, match=f"{message}.*run finetune again"):
        compare(tmp_path)


def without_an_entity(part):
    """The rows of a run of 0.5 whose first document has an entity less; scores and ledger are counted of these."""
    first, *others = rows_of(0.5)
    return [replace(first, **{part: getattr(first, part)[:-1]}), *others]


@pytest.mark.parametrize(
    ("part", "model", "pair"),
    [
        ("gold", "general", "EMEA/general/0 and EMEA/general/1"),
        ("gold", "bio", "EMEA/general/0 and EMEA/bio/1"),
        ("perfect", "general", "EMEA/general/0 and EMEA/general/1"),
    ],
)
def test_gold_that_differs_between_runs_on_the_same_data_is_refused(tmp_path, part, model, pair):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, model, 1, 0.5, without_an_entity(part))
    with pytest.raises(UserError, match=rf"{pair} have other {part} answers on the same data.*remove its folder"):
        compare(tmp_path)


def test_what_tags_hold_may_differ_between_models(tmp_path):
    write_grid(tmp_path)
    write_run(tmp_path, "general", 0, 0.5)
    write_run(tmp_path, "bio", 0, 0.5, without_an_entity("perfect"))
    assert set(compare(tmp_path).sections[0].tasks[0].entries) == {"general", "bio"}


def test_answers_have_one_gold_too(tmp_path):
    write_grid(tmp_path, tasks=("pairs",))
    for seed, gold in enumerate((1.0, 2.0)):
        rows = [Rated("a", gold, 1.5), Rated("b", 4.0, 3.0)]
        write_answers_run(tmp_path, "pairs", "similarity", "bio", seed, rows)
    with pytest.raises(UserError, match="pairs/bio/0 and pairs/bio/1 have other gold answers on the same data"):
        compare(tmp_path)
