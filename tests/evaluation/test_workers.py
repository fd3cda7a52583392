import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from camembert_bio.errors import RunError
from camembert_bio.evaluation.predictions import score
from camembert_bio.evaluation.workers import environments, run_workers
from tests.processes import CLI


@pytest.mark.parametrize(
    ("visible", "num_gpus", "expected"),
    [
        (None, 2, ["0", "1", "0"]),
        ("3,5", 2, ["3", "5", "3"]),
        ("GPU-a, GPU-b,GPU-c,GPU-d", 4, ["GPU-a", "GPU-b", "GPU-c"]),
    ],
)
def test_each_worker_has_one_gpu(visible, num_gpus, expected):
    assert environments(3, visible, num_gpus, 16) == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in expected]


def test_workers_without_a_gpu_share_the_cores():
    assert environments(2, None, 0, 9) == [{"OMP_NUM_THREADS": "4"}] * 2
    assert environments(4, "0", 0, 2) == [{"OMP_NUM_THREADS": "1"}] * 4


def command(values, tmp_path, *arguments):
    parts = {key: str(value) for key, value in values["tasks"][0].items()}
    recipe = tmp_path / "grid.yaml"
    recipe.write_text(yaml.safe_dump({"finetune": {**values, "tasks": [parts], "output": str(values["output"])}}))
    return [sys.executable, *CLI, "finetune", str(recipe), *arguments]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, bound_s):
    limit = time.monotonic() + bound_s
    while not condition() and time.monotonic() < limit:
        time.sleep(0.1)
    assert condition()


def test_workers_do_a_grid_and_the_report_has_all(recipe_values, tmp_path):
    grid = command({**recipe_values, "seeds": [0, 1]}, tmp_path, "--workers", "2")
    done = subprocess.run(grid, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert sorted(score(recipe_values["output"])) == [f"drugs/tiny/seed-{seed}" for seed in (0, 1)]
    said = [line for line in done.stderr.splitlines() if ": F1 " in line]
    assert len(said) == 2, done.stderr
    assert all(line.startswith(("[worker 0] ", "[worker 1] ")) for line in said), said
    assert "2 of 2 runs are done" in done.stderr
    assert (recipe_values["output"] / "report.html").is_file()


def test_a_worker_that_fails_is_told(tmp_path, capsys):
    message = "2 of 2 workers failed: worker 0 with code 2, worker 1 with code 2; their messages stand above"
    with pytest.raises(RunError, match=message):
        run_workers(["finetune", str(tmp_path / "missing.yaml")], 2)
    said = capsys.readouterr().err
    for number in (0, 1):
        assert f"[worker {number}] " in said
    assert "is neither a file nor a recipe of the package" in said


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(recipe_values, tmp_path, kind):
    grid = command({**recipe_values, "seeds": [0, 1], "max_steps": 100_000}, tmp_path, "--workers", "2")
    parent = subprocess.Popen(grid, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers = []
    try:
        until(lambda: len(list(recipe_values["output"].rglob(".lock-seed-*"))) == 2, 120)
        workers = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
        assert len(workers) == 2
        parent.send_signal(kind)
        parent.wait(60)
        until(lambda: not any(map(is_alive, workers)), 60)
    finally:
        parent.kill()
        for pid in filter(is_alive, workers):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_whose_parent_has_ended_does_not_begin(recipe_values, tmp_path):
    orphan = {**os.environ, "CAMEMBERT_BIO_PARENT": "1"}
    done = subprocess.run(command(recipe_values, tmp_path), capture_output=True, text=True, env=orphan, timeout=120)
    assert done.returncode == 1
    assert "the process that started this worker has ended; start it again" in done.stderr
    assert not recipe_values["output"].exists()
