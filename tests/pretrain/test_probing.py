"""Checkpoints scored while a run trains: each once, in the run's TensorBoard, whoever asks."""

import json
import shutil

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from camembert_bio import cli, config
from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.evaluation.probe_recipe import Probe
from camembert_bio.evaluation.results import find_runs, read_result
from camembert_bio.pretrain import checkpoint, metrics
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.probing import probe
from camembert_bio.samples.ner import write_ner

OPTIONS = {"seeds": [0, 1], "max_steps": 2, "evaluate_every": 2, "seq_length": 64, "window_overlap": 16}


@pytest.fixture
def values(tiny, tmp_path):
    """The sections of a run with checkpoints of steps 0, 2 and 4, and of its probe."""
    write_ner(tmp_path / "ner", num_documents=14)
    task = {"name": "sample", "format": "brat"}
    task |= {part: str(tmp_path / "ner" / part) for part in ("train", "validation", "test")}
    run = tiny(tmp_path / "run", checkpoint={"every_steps": 2, "keep": 9})
    return {"pretrain": run, "probe": {"every_steps": 4, "finetune": {"tasks": [task], **OPTIONS}}}


def curve(run):
    events = EventAccumulator(str(run / metrics.TENSORBOARD / "probe"))
    events.Reload()
    return {point.step: point.value for point in events.Scalars("probe/sample")}


@pytest.mark.usefixtures("world_of_one")
def test_each_checkpoint_is_scored_once_into_the_runs_tensorboard(values, tmp_path, capsys):
    run, recipe = tmp_path / "run", tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(values))
    wanted = config.build(Pretrain, values["pretrain"])
    with pytest.raises(UserError, match=r"run is not a run folder"):
        probe(wanted, config.build(Probe, values["probe"]))
    assert pretrain(wanted) == EXIT_DONE
    before = {path: path.read_bytes() for path in sorted(run.glob("checkpoints/*/*")) if path.is_file()}
    with pytest.raises(SystemExit) as done:
        cli.main(["probe", str(recipe), "--follow", "--json"])  # the last step is there: it ends
    told = json.loads(capsys.readouterr().out)
    assert done.value.code == EXIT_DONE
    results = [read_result(folder) for folder in find_runs(run / "probe" / "step-00000004")]
    assert [result.seed for result in results] == [0, 1]
    mean = sum(result.scores["iob2_f1"] for result in results) / 2
    assert told["4"]["sample"] == pytest.approx(mean)
    assert curve(run) == pytest.approx({int(step): scores["sample"] for step, scores in told.items()})
    assert set(told) == {"0", "4"}
    assert (run / "probe/step-00000000/report.html").is_file()
    kept = {path: path.stat().st_mtime_ns for path in run.glob("probe/*/*/*/*/result.json")}
    assert len(kept) == 4
    again = dict(values["probe"], every_steps=2)
    scores = probe(wanted, config.build(Probe, again))
    assert set(scores) == set(curve(run)) == {0, 2, 4}  # one line, with the new point
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    fewer = {"every_steps": 4, "finetune": {**values["probe"]["finetune"], "seeds": [0]}}
    alone = probe(wanted, config.build(Probe, fewer), follow=True)  # ends, though runs of seed 1 stand there too
    assert alone[4]["sample"] == results[0].scores["iob2_f1"]
    fewer["finetune"]["max_steps"] = 1
    assert set(probe(wanted, config.build(Probe, fewer))) == {0, 4}
    again = read_result(next(run.glob("probe/step-00000004/*/*/seed-0")))
    assert again.protocol["max_steps"] == 1  # scored anew: the protocol is another
    assert not list((run / "probe").glob(".model-*"))
    assert {path: path.read_bytes() for path in before} == before
    assert pretrain(wanted) == EXIT_DONE  # a run that was probed is still a run
    assert [int(path.name[5:]) for path in checkpoint.complete(run)] == [0, 2, 4]


@pytest.fixture
def probed(values, tmp_path):
    """A run of which three checkpoints were scored with one seed, and the last alone is still there."""
    values["probe"] = {"finetune": {**values["probe"]["finetune"], "seeds": [0]}}
    wanted = config.build(Pretrain, values["pretrain"]), config.build(Probe, values["probe"])
    assert pretrain(wanted[0]) == EXIT_DONE
    assert set(probe(*wanted)) == {0, 2, 4}
    for step in (0, 2):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-0000000{step}")
    return wanted


def result_of(run, step):
    return run / f"probe/step-0000000{step}/sample/step-0000000{step}/seed-0/result.json"


@pytest.mark.usefixtures("world_of_one")
def test_a_score_that_was_changed_or_cut_is_in_no_curve(probed, tmp_path, caplog):
    run = tmp_path / "run"
    first = curve(run)
    assert set(first) == {0, 2, 4}
    edited = json.loads(result_of(run, 0).read_text())
    edited["scores"]["iob2_f1"] = 0.99
    result_of(run, 0).write_text(json.dumps(edited))
    for step in (2, 4):
        result_of(run, step).write_text(result_of(run, step).read_text()[:100])
    assert set(probe(*probed)) == {4}  # whose checkpoint is there: scored again
    assert curve(run) == pytest.approx({4: first[4]})
    assert "left out of the curves, for their scores are broken or of other documents" in caplog.text
    assert "step 0, 2" in caplog.text


@pytest.mark.usefixtures("world_of_one")
def test_scores_on_other_documents_share_no_curve(probed, tmp_path, caplog):
    before = json.loads(result_of(tmp_path / "run", 4).read_text())
    document = next((tmp_path / "ner/test").glob("*.txt"))
    document.write_text(document.read_text(encoding="utf-8") + " Fin.", encoding="utf-8")
    assert set(probe(*probed, follow=True)) == set(curve(tmp_path / "run")) == {4}
    after = json.loads(result_of(tmp_path / "run", 4).read_text())
    assert after["data_sha256"] != before["data_sha256"]
    assert after["weights_sha256"] == before["weights_sha256"]
    assert "step 0, 2" in caplog.text


def test_mistakes_in_a_probe_are_told_before_anything_is_scored(values):
    with pytest.raises(UserError, match=r"probe.finetune gives models, which are the run's; remove it"):
        config.build(Probe, {"finetune": {**values["probe"]["finetune"], "models": {"a": "b"}}})
    with pytest.raises(UserError, match=r"learning_rat.*unknown"):
        config.build(Probe, {"finetune": {**values["probe"]["finetune"], "learning_rat": 1}})
    with pytest.raises(UserError, match=r"tasks"):
        config.build(Probe, {})
