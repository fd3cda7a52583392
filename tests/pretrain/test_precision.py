"""Arithmetic of a run: fp16 with its loss scale, and activations that are computed twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from deepspeed.accelerator import get_accelerator
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE, DoNotRequeueError, UserError
from camembert_bio.pretrain import checkpoint, loss_scale, metrics, settings
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.loss_scale import MAX_STEPS_AT_MINIMUM, LossScale
from camembert_bio.pretrain.recipe import Pretrain

from .several import rewind

pytestmark = pytest.mark.usefixtures("world_of_one")

SCALER = {"min_scale": 1, "delayed_shift": 1, "consecutive_hysteresis": False}


def curve(run: Path, *names: str) -> list[float]:
    return [point[name] for point in metrics.read(run) if "train/loss" in point for name in names]


def new_scale(start: float) -> LossScale:
    return LossScale(DynamicLossScaler(start, scale_window=3, **SCALER))


@pytest.fixture
def fp16_everywhere(monkeypatch):
    """DeepSpeed refuses fp16 on most CPUs, where it is slow; torch computes it."""
    monkeypatch.setattr(get_accelerator(), "is_fp16_supported", lambda: True)


@pytest.mark.skipif(get_accelerator().is_fp16_supported(), reason="this CPU computes in fp16")
def test_a_precision_that_the_device_has_not_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match=r"precision fp16 is not supported by this device \(cpu\); use bf16 or fp32"):
        pretrain(config.build(Pretrain, tiny(tmp_path / "run", precision="fp16", ds_config="zero1")))
    assert not (tmp_path / "run").exists()


def test_a_step_that_overflows_in_fp16_is_taken_at_a_smaller_scale(fp16_everywhere, tiny, tmp_path, monkeypatch):
    runs = {}
    for power in (8, 24):
        monkeypatch.setitem(settings.FP16, "initial_scale_power", power)
        runs[power] = tmp_path / str(power)
        values = tiny(runs[power], precision="fp16", ds_config="zero1", checkpoint={"every_steps": 1, "keep": 9})
        assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
    names = ("train/loss", "train/gradient_norm")
    assert len(curve(runs[24], *names)) == 8
    assert curve(runs[24], *names) == pytest.approx(curve(runs[8], *names), rel=0.02)
    scales = [checkpoint.read_state(path)["loss_scale"]["cur_scale"] for path in checkpoint.complete(runs[24])]
    assert scales[0] == 2**24 > scales[1] >= scales[-1] > 1
    # The optimizer counts the updates that were made, not those that were tried.
    copy = Path(shutil.copytree(runs[24], tmp_path / "copy"))
    rewind(copy, 3)
    assert pretrain(config.build(Pretrain, {**values, "output": str(copy)})) == EXIT_DONE
    for read in (checkpoint.read_model, checkpoint.read_optimizer, checkpoint.read_state):
        expected, got = (read(checkpoint.path_of(run, 4)) for run in (runs[24], copy))
        if read is checkpoint.read_state:
            assert expected["loss_scale"] == got["loss_scale"]
        else:
            assert all(torch.equal(got[name], value) for name, value in expected.items())


def gradient(run: Path, step: int) -> torch.Tensor:
    """The first moments after a step, in one vector."""
    state = checkpoint.read_optimizer(checkpoint.path_of(run, step))
    return torch.cat([state[name].flatten() for name in sorted(state) if name.startswith("exp_avg.")])


def test_the_update_at_which_the_scale_doubles_has_the_whole_gradient(fp16_everywhere, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(settings.FP16, "initial_scale_power", 8)
    runs = {"zero1": 1000, "zero1-doubling": 2, "zero3-doubling": 2}
    for name, updates in runs.items():
        monkeypatch.setattr(loss_scale, "UPDATES_TO_DOUBLE", updates)
        values = tiny(tmp_path / name, precision="fp16", ds_config=name[:5], schedule={"max_steps": 3})
        values["model"]["config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        values["optimizer"] |= {"betas": [0.5, 0.98], "gradient_clipping": 0}
        values["checkpoint"] = {"every_steps": 1, "keep": 9}
        assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
    first = gradient(tmp_path / "zero1", 1) * 2**9
    share = float((first == first.half())[first != 0].float().mean())
    assert share < 0.9, "over micro-batches gradients add in fp32"
    for name in ("zero1-doubling", "zero3-doubling"):
        scales = [
            checkpoint.read_state(path)["loss_scale"]["cur_scale"] for path in checkpoint.complete(tmp_path / name)
        ]
        assert scales == [2**8, 2**8, 2**9, 2**9]
        for step in (1, 2, 3):
            steady, doubling = gradient(tmp_path / "zero1", step), gradient(tmp_path / name, step)
            assert float((steady - doubling).norm() / steady.norm()) < 0.02, (name, step)
        norms = curve(tmp_path / name, "train/gradient_norm")
        assert norms == pytest.approx(curve(tmp_path / "zero1", "train/gradient_norm"), rel=0.01)


def test_a_scale_that_stays_at_its_minimum_is_a_divergence():
    scale = new_scale(1.0)
    for _ in range(MAX_STEPS_AT_MINIMUM - 1):
        scale.count(1.0, applied=True)
    other = new_scale(8.0)
    other.restore(scale.state())
    assert other.value == 1.0 and other.state() == scale.state()
    for stuck in (scale, other):
        with pytest.raises(
            DoNotRequeueError, match="diverged in fp16: its loss scale is at its minimum 1 for 100 steps"
        ):
            stuck.count(1.0, applied=True)
    scale.count(2.0, applied=True)
    scale.count(1.0, applied=True)
    with pytest.raises(DoNotRequeueError, match="at its minimum 1 and gradients overflow all the same"):
        scale.count(1.0, applied=False)


def test_a_scale_follows_the_gradients_and_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(loss_scale, "UPDATES_TO_DOUBLE", 3)

    def attempt(scale: LossScale, scaler: DynamicLossScaler, overflow: bool) -> float:
        tried = scale.value
        scaler.update_scale(overflow)
        scale.count(tried, applied=not overflow)
        return scale.value

    first, later = (DynamicLossScaler(8.0, scale_window=3, **SCALER) for _ in range(2))
    scale, resumed = LossScale(first), LossScale(later)
    start = [attempt(scale, first, overflow) for overflow in (True, True, True, False, False)]
    assert start == [4, 2, 1, 1, 1]
    resumed.restore(scale.state())
    attempts = (False, False, False, False, True, False)
    assert [attempt(scale, first, overflow) for overflow in attempts] == [2, 2, 2, 4, 2, 2]
    assert [attempt(resumed, later, overflow) for overflow in attempts] == [2, 2, 2, 4, 2, 2]
    assert scale.state() == resumed.state()
    first.update_scale(True)
    first.update_scale(True)
    assert scale.value == 1.0, "no further, where DeepSpeed would raise"


def test_activations_that_are_computed_twice_give_the_same_gradients(tiny, tmp_path):
    names = ("train/loss", "train/gradient_norm", "train/learning_rate")
    curves = []
    for again in (False, True):
        run = tmp_path / str(again)
        values = tiny(run, activation_checkpointing=again)  # with dropout, whose draws must be the same too
        assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
        curves.append(curve(run, *names))
    assert curves[0] == curves[1] and len(curves[0]) == 12


def test_a_compiled_run_has_the_curve_of_one_that_is_not(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(get_accelerator(), "get_compile_backend", lambda: "eager")  # no C++ compiler, no minutes
    curves = []
    for compiled in (False, True):
        run = tmp_path / str(compiled)
        values = tiny(run, compile=compiled, schedule={"max_steps": 3})
        values["model"]["config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        values["model"]["config"]["num_hidden_layers"] = 1
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] - before
        curves.append(curve(run, "train/loss", "train/gradient_norm"))
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert 2 <= graphs <= 4, "two for the phase, of which the second is for any number of segments, two for evaluation"
