"""Requests to stop and to save: none is lost, and none is made up."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import ROOT

from camembert_bio.pretrain.stopping import SAVE_FILE, STOP_FILE, StopRequests

ORPHAN = """
import os, sys, time
from pathlib import Path
from camembert_bio.pretrain.stopping import StopRequests

requests, shell = StopRequests(Path(sys.argv[1])), os.getppid()
Path(sys.argv[1], "made").touch()
while os.getppid() == shell:
    time.sleep(0.01)
Path(sys.argv[1], "polled").write_text(str(requests.poll()))
"""


@pytest.fixture
def requests(tmp_path, monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield StopRequests(tmp_path)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_stop_that_comes_while_a_save_is_honoured_stays(requests, tmp_path):
    (tmp_path / SAVE_FILE).touch()
    assert requests.poll() == (False, True)
    (tmp_path / STOP_FILE).touch()
    requests.done(stop=False, save=True)
    assert requests.poll() == (True, False)
    requests.done(stop=True, save=False)
    assert requests.poll() == (False, False)


def test_what_an_earlier_start_was_asked_is_removed(requests, tmp_path):
    for name in (STOP_FILE, SAVE_FILE):
        (tmp_path / name).touch()
    requests.watch()
    assert requests.poll() == (False, False)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert requests.poll() == (True, False)


@pytest.mark.parametrize("by_launcher", [True, False])
def test_a_rank_stops_with_its_launcher_and_a_run_by_hand_outlives_its_shell(by_launcher, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "RANK"} | {"PYTHONPATH": str(ROOT)}
    if by_launcher:
        environment["RANK"] = "0"
    shell = f"'{sys.executable}' -c '{ORPHAN}' '{tmp_path}' & while [ ! -e '{tmp_path}/made' ]; do sleep 0.05; done"
    subprocess.run(["bash", "-c", shell], env=environment, timeout=100, check=True)
    deadline = time.monotonic() + 100
    while not (tmp_path / "polled").exists() or not (tmp_path / "polled").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "polled").read_text() == str((by_launcher, False))
