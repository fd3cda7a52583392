"""One finished run of one rank, looked at from every side: export, resumption, refusals."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from processes import CLI, Job, run

from camembert_bio import config
from camembert_bio.errors import EXIT_DO_NOT_REQUEUE, EXIT_DONE, EXIT_RESUMABLE, EXIT_USER_MISTAKE, UserError
from camembert_bio.model.encoder import rebuild_encoder
from camembert_bio.model.objective import PackedLM
from camembert_bio.pretrain import checkpoint, metrics, run_folder
from camembert_bio.pretrain.export import export
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.plan import Assumptions, plan
from camembert_bio.pretrain.preflight import check
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.settings import engine_settings
from camembert_bio.shards.manifest import open_corpus


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Where the finished run stands, once the first test has made it."""
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def done(finished, tiny, run_all) -> Path:
    """A run of 4 steps on two ranks, with checkpoints of steps 2 and 4. Read only."""
    if not finished.exists():
        run_all([tiny(finished, checkpoint={"every_steps": 2, "keep": 2})])
    return finished


@pytest.fixture
def copy(done, tmp_path) -> Path:
    """The finished run, to be changed."""
    return Path(shutil.copytree(done, tmp_path / "copy"))


def built(values) -> Pretrain:
    return config.build(Pretrain, values)


def test_an_export_loads_offline_and_computes_what_the_checkpoint_does(done, tmp_path):
    from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer

    folder = export(done, tmp_path / "model")
    model = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).eval()
    _, report = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert all(name.startswith("lm_head.") for name in report["unexpected_keys"])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer("Le patient présente une fièvre.", return_tensors="pt")["input_ids"]

    encoder = rebuild_encoder(done / run_folder.MODEL_CONFIG).eval()
    checkpoint.load_into(encoder, checkpoint.read_model(checkpoint.complete(done)[-1]))
    length = ids.shape[1]
    bounds, positions = torch.tensor([0, length], dtype=torch.int32), torch.arange(length)[None]
    with torch.no_grad():
        ours = PackedLM(encoder).logits(ids, bounds, positions, torch.arange(length))
        torch.testing.assert_close(ours, model(ids).logits[0], rtol=1e-5, atol=1e-5)


def test_an_export_of_an_earlier_step_has_its_weights(done, tmp_path):
    from safetensors.torch import load_file

    weights = load_file(export(done, tmp_path / "model", step=2) / "model.safetensors")
    masters = checkpoint.read_model(checkpoint.complete(done)[0])
    # One matrix, two names: the checkpoint has it under the head's, transformers under the embeddings'.
    masters["roberta.embeddings.word_embeddings.weight"] = masters.pop("lm_head.decoder.weight")
    assert weights.keys() == masters.keys()
    assert all(torch.equal(value, masters[name]) for name, value in weights.items())


def test_an_average_has_the_mean_of_the_weights(done, tmp_path):
    from safetensors.torch import load_file

    both = [load_file(export(done, tmp_path / str(step), step) / "model.safetensors") for step in (2, 4)]
    mean = load_file(export(done, tmp_path / "mean", average=2) / "model.safetensors")
    one, other = both
    assert mean.keys() == one.keys() and any(not torch.equal(one[name], other[name]) for name in one)
    for name, value in mean.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2, rtol=1e-6, atol=1e-8)


def test_an_export_of_what_the_run_removes_meanwhile_is_told(copy, tmp_path, monkeypatch):
    read = checkpoint.read_model

    def removed_first(path: Path) -> checkpoint.Tensors:
        shutil.rmtree(path)
        return read(path)

    monkeypatch.setattr(checkpoint, "read_model", removed_first)
    with pytest.raises(
        UserError, match=r"step-00000004 of .* was removed by the run meanwhile; raise checkpoint\.keep"
    ):
        export(copy, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_exports_that_are_refused(done, copy, tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder: it has no run\.json"):
        export(tmp_path, tmp_path / "model")
    with pytest.raises(UserError, match="exists; give a folder that does not"):
        export(done, tmp_path)
    with pytest.raises(UserError, match="no checkpoint of step 3; kept steps: 2, 4"):
        export(done, tmp_path / "model", step=3)
    with pytest.raises(
        UserError, match="keeps 1 checkpoints up to step 2, and 2 are to be averaged; ask for 1 at most"
    ):
        export(done, tmp_path / "model", step=2, average=2)
    spoilt = checkpoint.complete(copy)[-1] / checkpoint.MODEL
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    with pytest.raises(UserError, match="checkpoint of step 4 is damaged"):
        export(copy, tmp_path / "model", step=4)
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("world_of_one")
def test_a_damaged_checkpoint_is_passed_over_by_a_resumption_on_one_rank(done, copy, tiny):
    spoilt = checkpoint.complete(copy)[-1] / checkpoint.OPTIMIZER
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"\x7f\x01")
    assert pretrain(built(tiny(copy, checkpoint={"every_steps": 2, "keep": 2}))) == EXIT_DONE
    again, first = ([p for p in metrics.read(folder) if "train/loss" in p] for folder in (copy, done))
    assert [point["step"] for point in again] == [1, 2, 3, 4]
    assert again[:2] == first[:2], "the steps before the checkpoint were not run again"
    assert (checkpoint.folder_of(copy) / ".corrupt-step-00000004").is_dir()


def test_no_checkpoint_left_exits_with_do_not_requeue(copy, tiny, write_recipe):
    for folder in checkpoint.complete(copy):
        (folder / checkpoint.MODEL).unlink()
    (output,) = run([*CLI, "pretrain", write_recipe(tiny(copy))], 1, expect=EXIT_DO_NOT_REQUEUE)
    assert "holds no usable checkpoint; restore one" in output and "Traceback" not in output


def test_a_save_file_saves_and_a_stop_file_stops(tiny, write_recipe, tmp_path):
    folder = tmp_path / "run"
    values = tiny(folder, schedule={"max_steps": 10_000}, evaluation={"every_steps": 10_000})
    with Job([*CLI, "pretrain", write_recipe(values)]) as job:
        job.until(lambda: bool(metrics.read(folder)))
        (folder / "SAVE").touch()
        job.until(lambda: len(checkpoint.complete(folder)) == 2)
        assert job.codes() == [None, None]
        (folder / "STOP").touch()
        assert job.wait() == [EXIT_RESUMABLE] * 2, job.outputs()
    assert not (folder / "SAVE").exists() and not (folder / "STOP").exists()
    last = checkpoint.complete(folder)[-1]
    assert checkpoint.problem_of(last) is None
    assert checkpoint.read_state(last)["step"] == metrics.read(folder)[-1]["step"]


def test_a_signal_that_comes_while_a_run_is_set_up_stops_it_with_a_checkpoint(tiny, write_recipe, tmp_path):
    run = tmp_path / "run"
    with Job([*CLI, "pretrain", write_recipe(tiny(run))]) as job:
        job.until((run / run_folder.LOCK).exists)
        assert not run_folder.has_begun(run)
        job.processes[1].send_signal(signal.SIGUSR1)
        assert job.wait() == [EXIT_RESUMABLE] * 2, job.outputs()
    assert [path.name for path in checkpoint.complete(run)] == ["step-00000000"]


def test_a_recipe_with_three_mistakes_is_one_message_and_exit_2(tiny, write_recipe, tmp_path):
    values = tiny(tmp_path / "run", precision="fp8", sede=1, objective={"mlm_probability": 2})
    (output,) = run([*CLI, "pretrain", write_recipe(values)], 1, expect=EXIT_USER_MISTAKE)
    assert "has 3 mistakes:" in output and "Traceback" not in output
    for name in ("pretrain.precision", "pretrain.sede: unknown option (did you mean 'seed'?)", "mlm_probability"):
        assert name in output
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_leaves_no_run(tiny, write_recipe, tmp_path):
    outputs = run([*CLI, "pretrain", write_recipe(tiny(tmp_path / "run", micro_batch_size=3))], 2, EXIT_USER_MISTAKE)
    assert "camembert-bio: " in outputs[0] and "Traceback" not in "".join(outputs)
    assert not (tmp_path / "run").exists()


def test_a_corpus_or_recipe_that_changed_under_a_run_is_refused(done, corpus, tiny, tmp_path):
    run_folder.check_same(done, built(tiny(done, micro_batch_size=4, ds_config="zero3")), corpus)
    with pytest.raises(UserError, match=r"recipe changed under the run .*\(seed: 0 -> 5\); restore it"):
        run_folder.check_same(done, built(tiny(done, seed=5, source_repeats={})), corpus)
    other = Path(shutil.copytree(corpus.folder, tmp_path / "other"))
    values = config.read_json(other / "corpus.json")
    values["build"] = {"changed": True}
    (other / "corpus.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"changed under the run .*the run began with"):
        run_folder.check_same(done, built(tiny(done)), open_corpus(other))


def test_a_run_folder_in_use_is_refused(copy, tiny, write_recipe):
    handle = run_folder.take(copy, begun=True)
    with pytest.raises(UserError, match=r"is in use by process .*wait for it, or touch .*STOP"):
        run_folder.take(copy, begun=True)
    (output,) = run([*CLI, "pretrain", write_recipe(tiny(copy))], 1, expect=EXIT_USER_MISTAKE)
    assert "is in use by process" in output and "Traceback" not in output
    handle.close()
    run_folder.take(copy, begun=True).close()


def test_settings_that_are_refused(tiny, tmp_path):
    owned = tmp_path / "mine.json"
    owned.write_text('{"train_batch_size": 8}')
    with pytest.raises(UserError, match="sets 'train_batch_size', which belongs to the recipe's global_batch_size"):
        engine_settings(built(tiny(tmp_path, ds_config=str(owned))))
    with pytest.raises(UserError, match=r"ds_config 'zero9' is neither a file nor shipped"):
        engine_settings(built(tiny(tmp_path, ds_config="zero9")))
    with pytest.raises(UserError, match="bf16 needs fp32 masters, which ZeRO stage 0 has not"):
        engine_settings(built(tiny(tmp_path, ds_config="zero0", precision="bf16")))


def test_an_epoch_shorter_than_a_step_is_told(corpus, tiny, tmp_path, caplog):
    repeats = dict.fromkeys(corpus.manifest.sources, 1e-9)
    check(built(tiny(tmp_path / "run", source_repeats=repeats)), world_size=1)
    assert "phase 1: an epoch has 3 window(s), a step 8: each step repeats them; see source_repeats" in caplog.messages


def test_check_tells_what_would_run_and_lists_every_mistake(tiny, tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    recipe = built(tiny(tmp_path / "run", ds_config=str(tmp_path / "empty.json")))
    told = plan(recipe, check(recipe, world_size=2), Assumptions(2))
    assert told["memory"]["stage"] == 0
    (phase,) = told["phases"]
    assert (told["steps"], told["tokens"], phase["gradient_accumulation_steps"]) == (4, 4 * 8 * 64, 2)
    assert told["resumes"] is False and phase["window_fill"] > 0.9
    values = tiny(tmp_path / "run", micro_batch_size=3, ds_config="zero9", source_repeats={"lefleats": 2})
    with pytest.raises(UserError, match=r"the run cannot start:(.|\n)*use 6 or 12(.|\n)*zero9(.|\n)*lefleats"):
        check(built(values), world_size=2)
    assert not (tmp_path / "run").exists()
