import json
import signal
from pathlib import Path

import pytest
from processes import CLI, Job, run

from camembert_bio import config
from camembert_bio.errors import EXIT_RESUMABLE
from camembert_bio.pretrain import checkpoint, metrics

# Steps by stage: enough that stop and kill land inside the run on an idle machine, where stage 0 is quick.
STEPS = {"zero0": 120, "zero1": 80, "zero2": 80, "zero3": 40}


def hashes(run_folder: Path) -> dict[str, str]:
    """Of the tensors in a run's last checkpoint."""
    last = checkpoint.complete(run_folder)[-1]
    entries = config.read_json(last / checkpoint.MANIFEST)["files"]
    return {name: entries[name]["sha256"] for name in (checkpoint.MODEL, checkpoint.OPTIMIZER)}


def curve(run_folder: Path, name: str) -> list[tuple[int, float]]:
    return [(point["step"], point[name]) for point in metrics.read(run_folder) if name in point]


def last_step(run_folder: Path) -> int:
    return max((point["step"] for point in metrics.read(run_folder)), default=0)


def settings(tiny, folder: Path, stage: str) -> dict:
    return tiny(
        folder,
        ds_config=stage,
        schedule={"max_steps": STEPS[stage]},
        checkpoint={"every_steps": 5, "keep": 2},
        evaluation={"every_steps": 12, "max_windows": 6},
    )


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Path]:
    """Folders of runs that nothing disturbed, by stage; filled by the first test that asks."""
    return {}


@pytest.mark.parametrize("stage", STEPS)
def test_a_run_that_is_stopped_and_killed_ends_bitwise_as_one_that_is_not(
    stage, uninterrupted, tiny, run_all, write_recipe, tmp_path, tmp_path_factory
):
    if not uninterrupted:
        base = tmp_path_factory.mktemp("uninterrupted")
        run_all([settings(tiny, base / name, name) for name in STEPS])
        uninterrupted |= {name: base / name for name in STEPS}
    folder = tmp_path / "run"
    command = [*CLI, "pretrain", write_recipe(settings(tiny, folder, stage))]
    with Job(command) as job:
        job.until(lambda: last_step(folder) >= 2)
        job.processes[1].send_signal(signal.SIGTERM)
        assert job.wait() == [EXIT_RESUMABLE] * 2, job.outputs()
    stopped = last_step(folder)
    assert checkpoint.complete(folder)[-1].name == f"step-{stopped:08d}"
    assert stopped < STEPS[stage] - 15, "the stop came too late to leave room for the kill"
    with Job(command) as job:
        job.until(lambda: last_step(folder) >= stopped + 7)
        job.kill()
    assert last_step(folder) < STEPS[stage]
    run(command)

    expected = uninterrupted[stage]
    assert hashes(folder) == hashes(expected)
    for name in ("train/loss", "train/gradient_norm", "train/learning_rate", "heldout/loss"):
        assert curve(folder, name) == curve(expected, name)
    assert [step for step, _ in curve(folder, "train/loss")] == list(range(1, STEPS[stage] + 1))
    events = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event for event in events if event != "save"] == ["started", "stopped", "resumed", "resumed", "done"]
