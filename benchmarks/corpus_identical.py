"""The campaign of `prepare`: the same bytes from one process, three MPI ranks, and a build killed three times.

python benchmarks/corpus_identical.py [DATA] [SEED]
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "biomed-raw-fr.jsonl.zst"
RESULTS = ROOT / "benchmarks" / "results" / "corpus_identical.jsonl"


def command(folder: Path, data: Path, name: str, num_workers: int) -> list[str]:
    """The command that builds the corpus `name` with every stage on and a tokenizer trained."""
    values = {
        "output": str(folder / name),
        "sources": [{"name": "biomed", "path": str(data), "licence": "various"}],
        "tokenizer": {"train": {"vocab_size": 8000, "sample_bytes": 4_000_000}},
        "clean": {"languages": ["fr"], "boilerplate": 0.5},
        "deduplicate": {"near": 0.8, "sentences": 1},
        "num_workers": num_workers,
    }
    recipe = folder / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump({"prepare": values}))
    return [sys.executable, "-m", "camembert_bio", "prepare", str(recipe)]


def digest(folder: Path) -> str:
    """One hash of every file of a corpus but the reports, which hold times."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stem != "report":
            found.update(str(path.relative_to(folder)).encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def size_mb(folder: Path) -> float:
    """Megabytes below a folder, as far as they stand still."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total / 1e6


def killed(arguments: list[str], work: Path, generator: random.Random, whole_s: float) -> tuple[list[float], float]:
    """Start a build and kill it three times; when, in seconds after its start, and the largest work folder in MB.

    `whole_s` is what a build by one process takes: two that go on from one another's work are done in half of it.
    """
    times, largest = [], 0.0
    for _ in range(3):
        seconds = whole_s * generator.uniform(0.05, 0.2)
        process = subprocess.Popen(arguments)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            times.append(round(seconds, 1))
        largest = max(largest, size_mb(work))
        time.sleep(2)  # its workers see that it is gone, and end
    return times, largest


def main() -> None:
    """Build in three ways and compare."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    generator = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ.update(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    mpirun = shutil.which("mpirun", path=search)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = {}
        began = time.monotonic()
        subprocess.run(command(folder, data, "one", 1), check=True)
        seconds["one process"] = round(time.monotonic() - began, 1)
        digests = {"one process": digest(folder / "one")}
        if mpirun:
            began = time.monotonic()
            ranks = [mpirun, "--allow-run-as-root", "--oversubscribe", "-n", "3"]
            subprocess.run([*ranks, *command(folder, data, "ranks", 1)], check=True)
            seconds["three MPI ranks"] = round(time.monotonic() - began, 1)
            digests["three MPI ranks"] = digest(folder / "ranks")
        arguments = command(folder, data, "killed", 2)
        times, largest = killed(arguments, folder / ".work-killed", generator, seconds["one process"])
        subprocess.run(arguments, check=True)
        digests["killed"] = digest(folder / "killed")
    different = len(set(digests.values()))
    detail = {"builds": list(digests), "killed_at_s": times, "work_folder_mb": round(largest), "wall_s": seconds}
    met = different == 1 and len(times) == 3
    line = {"name": "corpus.different_bytes", "value": different - 1, "target": "== 0", "met": met}
    text = json.dumps({**line, "detail": detail})
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
