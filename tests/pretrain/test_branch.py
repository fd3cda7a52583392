"""A new run that goes on from a checkpoint of another one."""

import shutil
from pathlib import Path

import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE, UserError
from camembert_bio.pretrain import checkpoint, metrics, preflight
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain

from .several import rewind

pytestmark = pytest.mark.usefixtures("world_of_one")

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STEPS, FROM = 4, 2


def built(values) -> Pretrain:
    return config.build(Pretrain, values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("branch") / "whole"


@pytest.fixture
def parent(world_of_one, whole, tiny) -> Path:
    """A run of four steps at a constant rate, each of them kept. Read only."""
    if not whole.exists():
        values = tiny(whole, schedule={"max_steps": STEPS, "kind": "constant"})
        values["model"]["config"] |= NO_DROPOUT
        values["checkpoint"] = {"every_steps": 1, "keep": 9}
        assert pretrain(built(values)) == EXIT_DONE
    return whole


@pytest.fixture
def branch(parent, tiny, tmp_path):
    def values(**changes) -> dict:
        schedule = {"max_steps": STEPS - FROM, "kind": "constant", "warmup_ratio": 0}
        made = tiny(
            tmp_path / "branch", **{"schedule": schedule, "init_from": {"run": str(parent), "step": FROM}, **changes}
        )
        del made["model"]
        return made

    return values


def tensors(run: Path, step: int) -> dict[str, torch.Tensor]:
    found = checkpoint.path_of(run, step)
    return {**checkpoint.read_model(found), **checkpoint.read_optimizer(found)}


def test_a_branch_that_changes_nothing_ends_bitwise_as_the_run_it_came_from(parent, branch, tmp_path):
    run = tmp_path / "branch"
    assert pretrain(built(branch())) == EXIT_DONE
    expected, got = tensors(parent, STEPS), tensors(run, STEPS - FROM)
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    losses = [[p["train/loss"] for p in metrics.read(folder) if "train/loss" in p] for folder in (parent, run)]
    assert losses[1] == losses[0][FROM:]
    state = checkpoint.read_state(checkpoint.path_of(run, STEPS - FROM))
    assert (state["step"], state["tokens"]) == (2, 1024), "steps and tokens begin anew"
    assert state["before"] == {"optimizer_steps": FROM, "samples": {"64": FROM * 8}}


def test_a_cooldown_is_resumed_without_the_run_that_it_came_from(parent, branch, tmp_path):
    parents = Path(shutil.copytree(parent, tmp_path / "parent"))
    cooldown = {"max_steps": 3, "kind": "1-sqrt", "warmup_ratio": 0}
    values = branch(schedule=cooldown, init_from={"run": str(parents)}, checkpoint={"every_steps": 1, "keep": 9})
    assert pretrain(built(values)) == EXIT_DONE
    run = tmp_path / "branch"
    points = [p for p in metrics.read(run) if "train/loss" in p]
    assert [p["train/learning_rate"] for p in points] == pytest.approx([1e-3 * (1 - (n / 3) ** 0.5) for n in range(3)])
    expected = tensors(run, 3)
    shutil.rmtree(parents)
    rewind(run, 1)
    assert pretrain(built(values)) == EXIT_DONE
    assert all(torch.equal(tensors(run, 3)[name], value) for name, value in expected.items())
    assert metrics.read(run)[0] == points[0]


def test_another_order_of_the_data_begins_at_its_first_window(branch, tmp_path):
    assert pretrain(built(branch(schedule={"max_steps": 1}, seed=1))) == EXIT_DONE
    state = checkpoint.read_state(checkpoint.path_of(tmp_path / "branch", 1))
    assert state["before"] == {"optimizer_steps": FROM, "samples": {}}


def test_branches_that_are_refused(parent, branch, tiny, tmp_path):
    for changes, message in (
        ({"init_from": {"run": str(tmp_path)}}, r"is not a run folder: it has no run\.json"),
        ({"init_from": {"run": str(parent), "step": 7}}, "has no checkpoint of step 7; kept steps: 0, 1, 2, 3, 4"),
        ({"seq_length": 65}, "seq_length 65 is over the model's 64 positions"),
    ):
        with pytest.raises(UserError, match=message):
            pretrain(built(branch(**changes)))
        with pytest.raises(UserError, match=message):
            preflight.check(built(branch(**changes)), world_size=1)
    assert not (tmp_path / "branch").exists()
    with pytest.raises(UserError, match="the model is that of the run of init_from; remove model"):
        built(tiny(tmp_path / "branch", init_from={"run": str(parent)}))
