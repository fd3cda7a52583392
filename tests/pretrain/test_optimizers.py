"""StableAdamW and Muon: their mathematics for every layout, and their states in checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.model.encoder import build_encoder
from camembert_bio.model.objective import PackedLM
from camembert_bio.pretrain import checkpoint, metrics, optimizers
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Optimizer, Pretrain
from camembert_bio.pretrain.settings import engine_settings
from camembert_bio.pretrain.stable_adamw import StableAdamW

from .several import rewind

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STEPS = 4
KINDS = {
    "stableadamw": {"learning_rate": 5e-3},
    "muon": {"learning_rate": 1e-3, "muon_learning_rate": 0.02, "gradient_clipping": 0},
}
STAGES = ("zero1", "zero3")
# DeepSpeed keeps the states of bf16 at stage 1 in a class of their own.
LAYOUTS = {**{stage: {"ds_config": stage} for stage in STAGES}, "bf16": {"ds_config": "zero1", "precision": "bf16"}}


@pytest.fixture(autouse=True)
def compiler() -> Iterator[None]:
    """A run with Muon on the CPU switches torch's compiler off, for all of its process."""
    yield
    torch.compiler.set_stance("default")


@pytest.fixture
def settings(tiny):
    def make(folder: Path, kind: str, layout: str) -> dict:
        changes = LAYOUTS.get(layout, {"ds_config": layout})
        values = tiny(folder, schedule={"max_steps": STEPS}, optimizer={"kind": kind, **KINDS[kind]}, **changes)
        values["model"]["config"] |= NO_DROPOUT
        return {**values, "checkpoint": {"every_steps": 2, "keep": 9}}

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("optimizers")


@pytest.fixture
def runs(folder, settings, run_all) -> Path:
    """`KIND-LAYOUT` on two ranks, and `KIND-LAYOUT-resumed` after a stop in the middle of it."""
    if not any(folder.iterdir()):
        items = []
        for kind in KINDS:
            for layout in LAYOUTS:
                run = folder / f"{kind}-{layout}"
                resumed = folder / f"{run.name}-resumed"
                items += [settings(run, kind, layout), {"copy": str(run), "to": str(resumed), "step": STEPS // 2}]
                items.append(settings(resumed, kind, layout))
        run_all(items)
    return folder


def losses(run: Path) -> list[float]:
    return [point["train/loss"] for point in metrics.read(run) if "train/loss" in point]


def tensors(run: Path) -> dict[str, torch.Tensor]:
    last = checkpoint.path_of(run, STEPS)
    return {**checkpoint.read_model(last), **checkpoint.read_optimizer(last)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("world_of_one")
def test_a_step_is_the_same_for_every_layout(kind, runs, settings, tmp_path):
    assert pretrain(config.build(Pretrain, settings(tmp_path / "alone", kind, "zero0"))) == EXIT_DONE
    expected = tensors(tmp_path / "alone")
    for stage in STAGES:
        run = runs / f"{kind}-{stage}"
        assert losses(run) == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)
        got = tensors(run)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                got[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_learns_what_fp32_learns(kind, runs):
    assert losses(runs / f"{kind}-bf16") == pytest.approx(losses(runs / f"{kind}-zero1"), rel=0.01)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_stopped_ends_bitwise_as_one_that_is_not(kind, layout, runs):
    expected, got = tensors(runs / f"{kind}-{layout}"), tensors(runs / f"{kind}-{layout}-resumed")
    assert all(torch.equal(got[name], value) for name, value in expected.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("world_of_one")
def test_two_ranks_of_zero_1_go_on_as_one_of_zero_3(kind, runs, settings, tmp_path):
    run = Path(shutil.copytree(runs / f"{kind}-zero1", tmp_path / "alone"))
    rewind(run, STEPS // 2)
    assert pretrain(config.build(Pretrain, settings(run, kind, "zero3"))) == EXIT_DONE
    assert losses(run) == pytest.approx(losses(runs / f"{kind}-zero1"), rel=1e-5)


def test_muon_keeps_a_momentum_of_hidden_matrices_and_the_moments_of_all_else(runs):
    state = checkpoint.read_optimizer(checkpoint.path_of(runs / "muon-zero1", STEPS))
    momenta = {name.removeprefix("momentum_buffer.") for name in state if name.startswith("momentum_buffer.")}
    assert momenta and all(".encoder.layer." in name and name.endswith(".weight") for name in momenta)
    assert not any("LayerNorm" in name or "embeddings" in name for name in momenta)
    others = {name.removeprefix("exp_avg_sq.") for name in state if name.startswith("exp_avg_sq.")}
    assert others == set(checkpoint.read_model(checkpoint.path_of(runs / "muon-zero1", STEPS))) - momenta


def test_a_branch_with_another_state_is_refused(runs, settings, tmp_path):
    values = settings(tmp_path / "run", "stableadamw", "zero1")
    values["init_from"] = {"run": str(runs / "muon-zero1")}
    del values["model"]
    with pytest.raises(UserError, match="has the state of muon, which stableadamw cannot go on with; keep muon"):
        pretrain(config.build(Pretrain, values))
    assert not (tmp_path / "run").exists()


def test_stable_adamw_against_its_algorithm():
    """Wortsman et al. 2023, algorithm 2, written per tensor as it stands there."""
    torch.manual_seed(0)
    shapes, rate, (beta1, beta2), epsilon, decay = ((3, 4), (5,)), 0.1, (0.9, 0.98), 1e-6, 0.05
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [parameter.detach().clone() for parameter in ours]
    optimizer = StableAdamW([{"params": ours, "weight_decay": decay}], rate, (beta1, beta2), epsilon)
    for parameter in ours:
        moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.zeros(()), **moments}
    v = [torch.zeros(shape) for shape in shapes]
    u = [torch.zeros(shape) for shape in shapes]
    bounded = 0
    for step in range(1, 9):
        gradients = [torch.randn(shape) * (10 if step == 5 else 1) for shape in shapes]
        b1 = beta1 * (1 - beta1 ** (step - 1)) / (1 - beta1**step)
        b2 = beta2 * (1 - beta2 ** (step - 1)) / (1 - beta2**step)
        for place, gradient in enumerate(gradients):
            v[place] = b1 * v[place] + (1 - b1) * gradient
            u[place] = b2 * u[place] + (1 - b2) * gradient**2
            rms = (gradient**2 / u[place].clamp(min=epsilon**2)).mean().sqrt()
            eta = rate / max(1.0, rms.item())
            bounded += rms.item() > 1
            theirs[place] = theirs[place] * (1 - eta * decay) - eta * v[place] / (u[place].sqrt() + epsilon)
            ours[place].grad = gradient
        optimizer.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.data, other, rtol=1e-5, atol=1e-6)
    assert 2 <= bounded < 16


def test_every_parameter_is_in_one_group_with_its_rate_and_decay():
    encoder = build_encoder({"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}, 60, seed=0)
    options = Optimizer(kind="muon", learning_rate=1e-3, muon_learning_rate=0.02, gradient_clipping=0)
    muon, matrices, rest = optimizers.build(options, PackedLM(encoder)).param_groups
    everything = [parameter for group in (muon, matrices, rest) for parameter in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(encoder.parameters()))
    assert [group["lr_ratio"] for group in (muon, matrices, rest)] == pytest.approx([20, 1, 1])
    assert [group["weight_decay"] for group in (muon, matrices, rest)] == [0.01, 0.01, 0]
    assert encoder.get_input_embeddings().weight in set(matrices["params"])


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"kind": "muon", "gradient_clipping": 0}, "kind muon and muon_learning_rate need each other"),
        ({"muon_learning_rate": 0.02}, "kind muon and muon_learning_rate need each other"),
        ({"kind": "muon", "muon_learning_rate": 0.02}, "gradient_clipping must be 0 with muon"),
    ],
)
def test_options_that_are_refused(optimizer, message):
    with pytest.raises(UserError, match=message):
        config.build(Pretrain, {"corpus": "c", "output": "o", "schedule": {"max_steps": 1}, "optimizer": optimizer})


def test_muon_with_offload_is_refused(settings, tmp_path):
    with pytest.raises(UserError, match="muon is not proven with offload; use a ds_config without, not zero3_offload"):
        engine_settings(config.build(Pretrain, settings(tmp_path, "muon", "zero3_offload")))
