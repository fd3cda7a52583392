"""A run goes on as another layout: the tensors at its end are those of the run that did not change."""

import shutil
from pathlib import Path

import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain

from .several import rewind

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Masters and moments of a run's end."""
    last = checkpoint.complete(run)[-1]
    assert checkpoint.read_state(last)["step"] == 4
    return {**checkpoint.read_model(last), **checkpoint.read_optimizer(last)}


@pytest.fixture
def settings(tiny):
    def make(folder: Path, **changes):
        values = tiny(folder, checkpoint={"every_steps": 2, "keep": 4}, **changes)
        if "precision" not in changes:
            values["model"]["config"] |= NO_DROPOUT
        return values

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("relayout")


@pytest.fixture
def runs(folder, settings, run_all) -> Path:
    """Runs on two ranks, made by the first test that asks: each whole, and resumed after two of four steps."""
    if not (folder / "whole").exists():
        bf16 = {"ds_config": "zero1", "precision": "bf16"}
        run_all(
            [
                settings(folder / "whole", ds_config="zero1"),
                {"copy": str(folder / "whole"), "to": str(folder / "zero3"), "step": 2},
                settings(folder / "zero3", ds_config="zero3"),
                settings(folder / "bf16", **bf16),
                {"copy": str(folder / "bf16"), "to": str(folder / "bf16-resumed"), "step": 2},
                settings(folder / "bf16-resumed", **bf16),
            ]
        )
    return folder


def assert_same(run: Path, whole: Path) -> None:
    expected, got = tensors(whole), tensors(run)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_zero1_goes_on_as_zero3(runs):
    assert_same(runs / "zero3", runs / "whole")


@pytest.mark.usefixtures("world_of_one")
def test_two_ranks_of_zero1_go_on_as_one_of_zero2(runs, settings):
    folder = Path(shutil.copytree(runs / "whole", runs / "alone"))
    rewind(folder, 2)
    assert pretrain(config.build(Pretrain, settings(folder, ds_config="zero2"))) == EXIT_DONE
    assert_same(folder, runs / "whole")


def test_bf16_resumes_bitwise(runs):
    expected, got = tensors(runs / "bf16"), tensors(runs / "bf16-resumed")
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    masters = checkpoint.read_model(checkpoint.complete(runs / "bf16")[-1])
    assert any(not torch.equal(value, value.bfloat16().float()) for value in masters.values()), "masters are fp32"
