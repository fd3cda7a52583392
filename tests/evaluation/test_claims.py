import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from camembert_bio.errors import UserError
from camembert_bio.evaluation import claims
from camembert_bio.evaluation.claims import alone, claim, lock_path
from camembert_bio.evaluation.predictions import score
from tests.processes import CLI, Job

SEEDS = list(range(8))


def child(code, *arguments):
    """A process that claims the folder, says so, and waits."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    return process


CLAIMS = """
import sys, time
from pathlib import Path
from camembert_bio.evaluation.claims import claim
with claim(Path(sys.argv[1])) as is_ours:
    assert is_ours
    print("here", flush=True)
    time.sleep(60)
"""


def test_a_claim_keeps_others_out_until_it_ends(tmp_path):
    folder = tmp_path / "task" / "seed-0"
    with claim(folder) as first, claim(folder) as second, claim(tmp_path / "task" / "seed-1") as other:
        assert (first, second, other) == (True, False, True)
        assert lock_path(folder).read_text().startswith(f"process {os.getpid()} on ")
    assert list(folder.parent.iterdir()) == []
    with claim(folder) as again:
        assert again


def test_an_error_gives_the_claim_back(tmp_path):
    with pytest.raises(RuntimeError), claim(tmp_path / "seed-0"):
        raise RuntimeError
    with claim(tmp_path / "seed-0") as is_ours:
        assert is_ours


def test_the_claim_of_a_killed_process_is_stale_at_once(tmp_path):
    process = child(CLAIMS, tmp_path / "seed-0")
    with claim(tmp_path / "seed-0") as is_ours:
        assert not is_ours
    process.kill()
    process.wait()
    assert lock_path(tmp_path / "seed-0").read_text().startswith(f"process {process.pid} ")
    with claim(tmp_path / "seed-0") as is_ours:
        assert is_ours
        assert lock_path(tmp_path / "seed-0").read_text().startswith(f"process {os.getpid()} ")


def test_a_lock_file_that_its_holder_removed_is_not_mistaken_for_the_next(tmp_path, monkeypatch):
    """Between opening the file and locking it, the holder ends and a third process claims the run anew."""
    path = lock_path(tmp_path / "seed-0")
    path.write_text("")
    system = fcntl.flock
    others = []

    def flock(handle, kind):
        monkeypatch.setattr(fcntl, "flock", system)
        path.unlink()
        others.append(claim(tmp_path / "seed-0"))
        assert others[0].__enter__()
        system(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(tmp_path / "seed-0") as is_ours:
        assert not is_ours
    others[0].__exit__(None, None, None)


def test_a_file_system_without_locks_is_named(tmp_path):
    # A descriptor of a path alone takes no lock: the system's own refusal.
    class Opened:
        def __init__(self, path, *_, **__):
            self.descriptor = os.open(path.parent, os.O_PATH)

        def fileno(self):
            return self.descriptor

        def close(self):
            os.close(self.descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "open", Opened, raising=False)
        with pytest.raises(UserError, match=r"does not lock files \(Bad file descriptor\).*with flock"):
            claim(tmp_path / "seed-0").__enter__()


ALONE = """
import sys, time
from pathlib import Path
from camembert_bio.evaluation.claims import alone
with alone(Path(sys.argv[1])):
    print("here", flush=True)
    time.sleep(0.5)
    Path(sys.argv[1], "written").touch()
"""


def test_alone_waits_for_the_one_before(tmp_path):
    process = child(ALONE, tmp_path / "out")
    with alone(tmp_path / "out"):
        assert (tmp_path / "out" / "written").exists()
    assert process.wait() == 0


def done_by(text):
    """The seeds that a process says it has done."""
    return [int(line.split("seed ")[1].split(":")[0]) for line in text.splitlines() if ": F1 " in line]


def test_processes_share_a_grid_and_nothing_runs_twice(recipe_values, tmp_path):
    """Three processes on one grid; one is killed in a run and started again."""
    values = {**recipe_values, "seeds": SEEDS, "max_steps": 30, "evaluate_every": 30, "output": "out"}
    parts = {key: str(value) for key, value in values["tasks"][0].items()}
    recipe = tmp_path / "grid.yaml"
    recipe.write_text(yaml.safe_dump({"finetune": {**values, "tasks": [parts]}}))
    finetune = (*CLI, "finetune", recipe, f"output={tmp_path / 'out'}")
    runs = tmp_path / "out" / "drugs" / "tiny"

    def claimed_by(pid):
        return any(f"process {pid} " in read(path) for path in runs.glob(".lock-*"))

    with ExitStack() as stack:
        jobs = [stack.enter_context(Job(finetune, num_ranks=1, bound_s=400)) for _ in range(3)]
        (victim,) = jobs[0].processes
        jobs[0].until(lambda: claimed_by(victim.pid))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        jobs.append(stack.enter_context(Job(finetune, num_ranks=1, bound_s=400)))
        codes = [job.wait() for job in jobs]
        outputs = [text for job in jobs for text in job.outputs()]
    assert codes == [[-signal.SIGKILL], [0], [0], [0]], outputs
    done = [seed for text in outputs for seed in done_by(text)]
    assert sorted(done) == SEEDS, outputs
    assert sorted(score(tmp_path / "out")) == [f"drugs/tiny/seed-{seed}" for seed in SEEDS]
    assert sorted(path.name for path in runs.iterdir()) == [f"seed-{seed}" for seed in SEEDS]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| 8 |" in report


def read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:  # given back just now
        return ""
