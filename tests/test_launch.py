"""launch/local.sh under the real `deepspeed` launcher: a signal to the script stops every rank with a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import yaml

from camembert_bio.errors import EXIT_RESUMABLE
from camembert_bio.pretrain import checkpoint, metrics

ROOT = Path(__file__).resolve().parents[1]
BOUND_S = 300


def running(folder: Path) -> dict[int, str]:
    """The command lines of this machine's processes that name the folder, by process."""
    lines = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            lines[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return {process: line for process, line in lines.items() if str(folder) in line}


def test_a_signal_to_the_script_stops_every_rank_with_a_checkpoint(tiny, tmp_path):
    run = tmp_path / "run"
    values = tiny(run, schedule={"max_steps": 100_000}, evaluation={"every_steps": 100_000})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"pretrain": values}), encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    script = subprocess.Popen(["bash", ROOT / "launch" / "local.sh", "2", recipe, run], env=environment)
    try:
        deadline = time.monotonic() + BOUND_S
        while not metrics.read(run):
            assert script.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        script.send_signal(signal.SIGTERM)
        assert script.wait(BOUND_S) == EXIT_RESUMABLE
        assert running(tmp_path) == {}
    finally:
        script.kill()
        for process in running(tmp_path):  # none of them, where the signal did its work
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    last = checkpoint.complete(run)[-1]
    assert checkpoint.problem_of(last) is None
    assert checkpoint.read_state(last)["step"] == metrics.read(run)[-1]["step"] > 0
