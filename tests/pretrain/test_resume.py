import json
import signal
from pathlib import Path

import pytest
from processes import Job

from camembert_bio import config
from camembert_bio.errors import EXIT_RESUMABLE
from camembert_bio.pretrain import checkpoint, metrics

from .conftest import SEVERAL

# Steps by stage, in the order of one job: enough that the stop lands inside the run on an idle machine, where
# stage 0 is quick. Stage 3 is last: DeepSpeed replaces torch's linear for the rest of its process.
STEPS = {"zero0": 80, "zero1": 50, "zero2": 50, "zero3": 40}
KILLED = "zero3"


def hashes(run_folder: Path) -> dict[str, str]:
    """Of the tensors in a run's last checkpoint."""
    last = checkpoint.complete(run_folder)[-1]
    entries = config.read_json(last / checkpoint.MANIFEST)["files"]
    return {name: entries[name]["sha256"] for name in (checkpoint.MODEL, checkpoint.OPTIMIZER)}


def curve(run_folder: Path, name: str) -> list[tuple[int, float]]:
    return [(point["step"], point[name]) for point in metrics.read(run_folder) if name in point]


def last_step(run_folder: Path) -> int:
    return max((point["step"] for point in metrics.read(run_folder)), default=0)


def events(run_folder: Path) -> list[str]:
    path = run_folder / "events.jsonl"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


def settings(tiny, folder: Path, stage: str) -> dict:
    return tiny(
        folder,
        ds_config=stage,
        schedule={"max_steps": STEPS[stage]},
        checkpoint={"every_steps": 5, "keep": 2},
        evaluation={"every_steps": 12, "max_windows": 6},
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Where the runs stand, once the first test has made them."""
    return tmp_path_factory.mktemp("resume")


@pytest.fixture
def runs(base, tiny, run_all, tmp_path) -> Path:
    """By stage: in `whole` a run that nothing disturbed, in `resumed` one that was stopped; the last was killed too."""
    if (base / "whole").exists():
        return base
    run_all([settings(tiny, base / "whole" / stage, stage) for stage in STEPS])
    recipes = tmp_path / "resumed.json"
    recipes.write_text(json.dumps([settings(tiny, base / "resumed" / stage, stage) for stage in STEPS]))
    with Job([SEVERAL, recipes], bound_s=400) as job:
        for stage in STEPS:
            job.until(lambda folder=base / "resumed" / stage: last_step(folder) >= 2)
            job.processes[1].send_signal(signal.SIGTERM)
        assert job.wait() == [EXIT_RESUMABLE] * 2, job.outputs()
    stopped = {stage: last_step(base / "resumed" / stage) for stage in STEPS}
    for stage, step in stopped.items():
        assert checkpoint.complete(base / "resumed" / stage)[-1].name == f"step-{step:08d}"
        assert step < STEPS[stage] - 15, "the stop came too late to leave something to do"
    with Job([SEVERAL, recipes], bound_s=400) as job:
        job.until(lambda: last_step(base / "resumed" / KILLED) >= stopped[KILLED] + 7)
        job.kill()
    assert last_step(base / "resumed" / KILLED) < STEPS[KILLED]
    run_all([settings(tiny, base / "resumed" / KILLED, KILLED)])
    return base


@pytest.mark.parametrize("stage", STEPS)
def test_a_run_that_is_stopped_and_killed_ends_bitwise_as_one_that_is_not(stage, runs):
    folder, expected = runs / "resumed" / stage, runs / "whole" / stage
    assert hashes(folder) == hashes(expected)
    for name in ("train/loss", "train/gradient_norm", "train/learning_rate", "heldout/loss"):
        assert curve(folder, name) == curve(expected, name)
    assert [step for step, _ in curve(folder, "train/loss")] == list(range(1, STEPS[stage] + 1))
    resumed = ["resumed"] * (2 if stage == KILLED else 1)
    assert [event for event in events(folder) if event != "save"] == ["started", "stopped", *resumed, "done"]
