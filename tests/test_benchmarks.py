"""The benchmarks: what needs a GPU is proved without one, and what was measured is kept in one form."""

import json
import operator
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

BOUNDS = {">=": operator.ge, "<=": operator.le, "==": operator.eq}
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.jsonl"))


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_gpu_benchmark_runs_dry_on_cpu_and_keeps_nothing():
    kept = {path: path.read_bytes() for path in RESULTS}
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    bars = {bar["name"]: bar for bar in lines(done.stdout)}
    assert list(bars) == ["gpu.mfu", "gpu.over_trainer"]
    detail = bars["gpu.over_trainer"]["detail"]
    assert detail["dry_run"] is True
    fastest = {peer: max(one["tokens_per_s"] for one in detail[peer]) for peer in ("eager", "trainer")}
    assert bars["gpu.over_trainer"]["value"] == pytest.approx(fastest["eager"] / fastest["trainer"], abs=0.01)
    assert {path: path.read_bytes() for path in sorted((ROOT / "benchmarks/results").glob("*.jsonl"))} == kept


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_is_a_bar_with_its_target(path: Path):
    measured = lines(path.read_text())
    assert measured
    for bar in measured:
        assert set(bar) == {"name", "value", "target", "met", "detail"}
        if bar["target"] is None:  # what a model says is told, not judged
            assert bar["met"] is None
            continue
        sign, limit = bar["target"].split()
        assert bar["met"] is BOUNDS[sign](bar["value"], float(limit)), bar["name"]


def test_the_page_has_the_figures_of_the_results():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = {name.strip("`"): told for name, _, *told in cells}
    measured = {bar["name"]: bar for path in RESULTS for bar in lines(path.read_text())}
    assert set(rows) == set(measured)
    for name, told in rows.items():
        assert told[0] == str(measured[name]["value"]), name
        assert (told[1:] or [None])[0] == measured[name]["target"], name
