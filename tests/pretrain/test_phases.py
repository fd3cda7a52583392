"""A run in phases: equal for every layout, the same after a stop before, at and after a border."""

import shutil
from pathlib import Path

import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.pretrain import checkpoint, metrics, preflight, run_folder
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import learning_rate, tokens_before

from .several import rewind

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BORDER, END = 2, 4
# Windows of a forward pass in each phase; objective, length, batch, accumulation and curve change at the border.
LAYOUTS = {(1, "zero0"): (12, 8), (1, "zero2"): (3, 2), (2, "zero1"): (2, 4), (2, "zero3"): (6, 2)}


@pytest.fixture
def settings(tiny):
    def make(folder: Path, stage: str, micro_batch_sizes: tuple[int, int]) -> dict:
        phases = [
            {"max_steps": BORDER, "objective": {"kind": "causal"}, "seq_length": 32, "global_batch_size": 12},
            {"max_tokens": 2 * 8 * 64, "objective": {"mlm_probability": 0.3, "final_mlm_probability": 0.15}},
        ]
        phases[1]["schedule"] = {"kind": "1-sqrt"}
        for phase, size in zip(phases, micro_batch_sizes, strict=True):
            phase["micro_batch_size"] = size
        values = tiny(folder, ds_config=stage, phases=phases, schedule={"kind": "constant", "warmup_tokens": 500})
        values["model"]["config"] |= NO_DROPOUT
        values["checkpoint"] = {"every_steps": 1, "keep": 9}
        return values

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("phases")


@pytest.fixture
def runs(world_of_one, folder, settings, run_all) -> Path:
    """The run of each layout; `stopped-N` goes on from a stop of that of two ranks and ZeRO 1 after N steps."""
    if any(folder.iterdir()):
        return folder
    several = []
    for (world_size, stage), sizes in LAYOUTS.items():
        values = settings(folder / f"{world_size}-{stage}", stage, sizes)
        if world_size == 1:
            assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
        else:
            several.append(values)
    for step in range(BORDER - 1, BORDER + 2):
        copy = folder / f"stopped-{step}"
        several.append({"copy": str(folder / "2-zero1"), "to": str(copy), "step": step})
        several.append(settings(copy, "zero1", LAYOUTS[2, "zero1"]))
    run_all(several)
    return folder


def test_loss_and_gradient_norm_are_equal_over_layouts_on_both_sides_of_a_border(runs):
    curves = {}
    for world_size, stage in LAYOUTS:
        points = [p for p in metrics.read(runs / f"{world_size}-{stage}") if "train/loss" in p]
        curves[stage] = [p[name] for p in points for name in ("train/loss", "train/gradient_norm")]
    assert len(curves["zero0"]) == 2 * END and min(curves["zero0"]) > 0.1
    for values in curves.values():
        assert values == pytest.approx(curves["zero0"], rel=1e-5)


def test_a_stop_before_at_and_after_a_border_changes_nothing(runs):
    whole = checkpoint.complete(runs / "2-zero1")[-1]
    for step in range(BORDER - 1, BORDER + 2):
        folder = runs / f"stopped-{step}"
        last = checkpoint.complete(folder)[-1]
        assert last.name == whole.name
        for read in (checkpoint.read_model, checkpoint.read_optimizer):
            expected, got = read(whole), read(last)
            assert expected.keys() == got.keys()
            assert all(torch.equal(got[name], value) for name, value in expected.items())
        resumed, undisturbed = (
            [p["train/loss"] for p in metrics.read(run) if "train/loss" in p] for run in (folder, runs / "2-zero1")
        )
        assert resumed == undisturbed


def test_the_optimizer_goes_on_over_a_border(runs, settings):
    """The step after it is AdamW's third, worked out in float64 from the checkpoints on both sides."""
    recipe = config.build(Pretrain, settings(runs, "zero0", LAYOUTS[1, "zero0"]))
    options, rate = recipe.optimizer, learning_rate(recipe, BORDER)
    (beta1, beta2), third = options.betas, BORDER + 1
    masters, moments = (
        [read(checkpoint.path_of(runs / "1-zero0", step)) for step in (BORDER, third)]
        for read in (checkpoint.read_model, checkpoint.read_optimizer)
    )
    moved = 0
    for name in masters[0]:
        (mean, new_mean), (square, new_square), (weight, new_weight) = (
            (before[key].double(), after[key].double())
            for (before, after), key in ((moments, f"exp_avg.{name}"), (moments, f"exp_avg_sq.{name}"), (masters, name))
        )
        gradient = (new_mean - beta1 * mean) / (1 - beta1)
        torch.testing.assert_close(new_square, beta2 * square + (1 - beta2) * gradient**2, rtol=1e-3, atol=1e-12)
        step = new_mean / (1 - beta1**third) / ((new_square / (1 - beta2**third)).sqrt() + options.epsilon)
        decay = options.weight_decay if weight.ndim > 1 else 0.0
        torch.testing.assert_close(new_weight, weight * (1 - rate * decay) - rate * step, rtol=1e-5, atol=1e-8)
        moved += int((weight != new_weight).sum())
    assert moved > 20_000


def test_the_curves_count_the_tokens_of_each_phase(runs, settings):
    recipe = config.build(Pretrain, settings(runs, "zero0", (12, 8)))
    points = [p for p in metrics.read(runs / "1-zero0") if "train/loss" in p]
    assert [p["tokens"] for p in points] == [tokens_before(recipe, p["step"]) for p in points] == [384, 768, 1280, 1792]
    assert [p["train/learning_rate"] for p in points] == [learning_rate(recipe, step) for step in range(END)]
    assert checkpoint.read_state(checkpoint.complete(runs / "1-zero0")[-1])["tokens"] == 1792


@pytest.mark.usefixtures("world_of_one")
def test_the_layout_of_a_phase_may_change_and_its_length_may_not(runs, settings, tmp_path):
    copy = Path(shutil.copytree(runs / "1-zero0", tmp_path / "copy"))
    rewind(copy, BORDER + 1)
    values = settings(copy, "zero0", (2, 4))
    assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
    values["phases"][1]["max_tokens"] *= 2
    with pytest.raises(UserError, match=r"recipe changed under .*\(phases\.1\.max_tokens: 1024 -> 2048\)"):
        pretrain(config.build(Pretrain, values))
    assert run_folder.changed_options(copy, config.build(Pretrain, settings(copy, "zero0", (2, 4)))).keys() == {
        "output",
        "phases.0.micro_batch_size",
        "phases.1.micro_batch_size",
    }


@pytest.mark.usefixtures("world_of_one")
def test_the_last_step_of_a_phase_is_logged_evaluated_and_saved(settings, tmp_path):
    values = settings(tmp_path / "run", "zero1", (12, 8))
    values |= {"log_every_steps": 100, "evaluation": {"every_steps": 100, "max_windows": 6}}
    values["checkpoint"] = {"every_steps": 100}
    assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
    points = metrics.read(tmp_path / "run")
    for name in ("train/loss", "heldout/loss"):
        assert [point["step"] for point in points if name in point] == [BORDER, END]
    steps = [checkpoint.read_state(path)["step"] for path in checkpoint.complete(tmp_path / "run")]
    assert steps == [0, BORDER, END]


def test_every_mistake_in_the_phases_is_told(settings, tmp_path):
    first, second = preflight.check(config.build(Pretrain, settings(tmp_path / "run", "zero1", (3, 4))), 2).orders
    assert first.epoch_length > second.epoch_length
    values = settings(tmp_path / "run", "zero1", (5, 4))
    values["phases"][0]["seq_length"] = 5
    values["phases"][1] |= {"seq_length": 65, "schedule": {"warmup_tokens": 1050}}
    with pytest.raises(UserError) as raised:
        preflight.check(config.build(Pretrain, values), world_size=1)
    for part in (
        "global_batch_size 12 is not a multiple of micro_batch_size 5 x 1 ranks = 5; use 10 or 15",
        "seq_length 65 is over the model's 64 positions; use at most 64",
        "seq_length 5 is too short for a window",
        "warmup_tokens 1,050 are more than the 1,040 tokens of the phase 2, so that the rate never reaches its peak",
    ):
        assert part in str(raised.value), raised.value
    assert not (tmp_path / "run").exists()
