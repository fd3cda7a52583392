"""The benchmarks: what needs a GPU is proved without one, and what was measured is kept in one form."""

import importlib.util
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


@pytest.fixture(scope="module")
def corpus():
    """The script benchmarks/corpus.py as a module."""
    spec = importlib.util.spec_from_file_location("corpus_benchmark", ROOT / "benchmarks" / "corpus.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_larger_corpus_takes_follows_from_the_measured_rates(corpus, tmp_path):
    detail = {
        "words": {"single": 30_000_000, "double": 60_000_000},
        "cpu_s": {"single": 57.2, "double": 108.2},
        "coordinator_cpu_s": {"single": 5.6, "double": 6.2},
        "work_mb": {"single": 160, "double": 300},
    }
    bar = {"name": "corpus.peak_growth_at_double", "value": 1, "target": "<= 1.10", "met": True, "detail": detail}
    (tmp_path / "results.jsonl").write_text(json.dumps(bar) + "\n")
    found = corpus.rates(tmp_path / "results.jsonl")
    # 102 s for 60 million words; a line through 5.6 s at 30 and 6.2 s at 60.
    assert (found.worker_s, found.work_mb) == (pytest.approx(1.7), 5)
    assert (found.fixed_s, found.coordinator_s) == (pytest.approx(5), pytest.approx(0.02))
    assert found.seconds(1000, 1) == pytest.approx(1700 / 32 + 5 + 20)
    assert found.seconds(100_000, 64) == pytest.approx(170_000 / 2048 + 5 + 2000)
    *_, one, hundred = corpus.table(found).splitlines()
    assert one == "| 1 billion | 1.3 min | 32 s | 26 s | 5 GB |"
    assert hundred == "| 100 billion | 2.0 h | 44 min | 35 min | 0.5 TB |"


def test_the_coordinator_takes_no_less_for_more_words(corpus, tmp_path):
    """Two figures of a second's difference: what drifts must not promise time back."""
    detail = {
        "words": {"single": 30_000_000, "double": 60_000_000},
        "cpu_s": {"single": 50, "double": 100},
        "coordinator_cpu_s": {"single": 6.1, "double": 6.0},
        "work_mb": {"single": 1, "double": 2},
    }
    (tmp_path / "results.jsonl").write_text(json.dumps({"name": "corpus.peak_growth_at_double", "detail": detail}))
    assert corpus.rates(tmp_path / "results.jsonl").seconds(100_000, 1000) > 6.0


def test_the_page_of_the_corpus_has_the_times_that_the_results_give(corpus):
    *_, one, hundred = corpus.table(corpus.rates(corpus.RESULTS)).splitlines()
    page = (ROOT / "docs" / "corpus.md").read_text().splitlines()
    assert one in page and hundred in page


def test_the_page_has_the_figures_of_the_results():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = {name.strip("`"): told for name, _, *told in cells}
    measured = {bar["name"]: bar for path in RESULTS for bar in lines(path.read_text())}
    assert set(rows) == set(measured)
    for name, told in rows.items():
        assert told[0] == str(measured[name]["value"]), name
        assert (told[1:] or [None])[0] == measured[name]["target"], name
