"""`prepare` by several workers: the same bytes whoever does the work, and however often it is interrupted."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from camembert_bio.samples.corpus import write_corpus
from camembert_bio.samples.ner import write_ner
from camembert_bio.shards.manifest import open_corpus, verify

ROOT = Path(__file__).resolve().parents[2]
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe with every stage on, over three sources of which one has several blocks."""
    folder = tmp_path_factory.mktemp("scale")
    write_corpus(folder / "raw", num_documents=120)
    write_ner(folder / "ner", num_documents=14)
    leaflets = [path.read_text(errors="replace") for path in sorted((folder / "raw" / "leaflets").glob("*.txt"))]
    generator = random.Random(1)
    with open(folder / "many.jsonl", "w") as file:
        for number in range(1000):
            own = f"Observation {number} : le patient numéro {number} est suivi depuis {7 * number} jours.\n"
            text = own + "\n".join(generator.sample(leaflets, 3))
            file.write(json.dumps({"id": str(number), "text": text if number % 5 else leaflets[0] + own}) + "\n")
        file.write(json.dumps({"id": "leak", "text": (folder / "ner/test/test-00000.txt").read_text()}) + "\n")
    assert (folder / "many.jsonl").stat().st_size > 10 << 20
    return {
        "sources": [
            {"name": "cases", "path": str(folder / "raw/clinical_cases.jsonl.gz"), "licence": "MIT"},
            {"name": "many", "path": str(folder / "many.jsonl"), "licence": "MIT"},
            {"name": "leaflets", "path": str(folder / "raw/leaflets"), "licence": "MIT"},
        ],
        "tokenizer": {"train": {"vocab_size": 600}},
        "validation_fraction": 0.1,
        "shard_bytes": 2000,
        "deduplicate": {"near": 0.8, "sentences": 1},
        "decontaminate": {"tasks": {"ner": str(folder / "ner" / "test")}, "remove": True},
        "clean": {"languages": ["fr"], "boilerplate": 0.5},
    }


def command(folder: Path, values: dict[str, Any], num_workers: int, output: str) -> list[str]:
    recipe = folder / f"{output}.yaml"
    changes = {"output": str(folder / output), "num_workers": num_workers}
    recipe.write_text(yaml.safe_dump({"prepare": {**values, **changes}}))
    return [sys.executable, "-m", "camembert_bio", "prepare", str(recipe), "--json"]


def run(arguments: list[str], code: int = 0, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def content(folder: Path) -> dict[str, bytes]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stem != "report"]
    assert len(found) >= 10
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def alone(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus that one process builds."""
    folder = tmp_path_factory.mktemp("alone")
    run(command(folder, values, 1, "corpus"))
    return folder / "corpus"


def test_every_stage_removes_what_it_should(alone: Path) -> None:
    verify(open_corpus(alone))
    report = json.loads((alone / "report.json").read_text())
    many, leaflets = report["sources"]["many"], report["sources"]["leaflets"]
    assert many["dropped"]["contaminated"] == 1
    assert many["near_duplicates"] >= 199 and many["sentences_left_out"] > 10_000
    assert many["boilerplate"]["learnt"] > 0 and many["boilerplate"]["documents"] > 500
    # The same leaflets again, in a later source: their sentences are gone, or they are similar as a whole.
    assert leaflets["words"] < many["words"] / 4
    assert report["evaluation_sets"]["ner"]["contained"]


def test_three_processes_write_the_same_bytes(values: dict[str, Any], alone: Path, tmp_path: Path) -> None:
    run(command(tmp_path, values, 3, "corpus"))
    assert content(tmp_path / "corpus") == content(alone)


@pytest.mark.skipif(MPIRUN is None, reason="no mpirun here")
def test_three_ranks_of_mpi_write_the_same_bytes_and_one_speaks(
    values: dict[str, Any], alone: Path, tmp_path: Path
) -> None:
    launcher = [str(MPIRUN), "--allow-run-as-root", "--oversubscribe", "-n", "3"]
    # As in a shell from `srun --pty`, whose one task is not the three ranks.
    told = run([*launcher, *command(tmp_path, values, 1, "corpus")], SLURM_STEP_NUM_TASKS="1")
    assert [json.loads(line)["hash"] for line in told.splitlines()] == [open_corpus(alone).manifest.hash]
    assert content(tmp_path / "corpus") == content(alone)
    refused = command(tmp_path, {**values, "decontaminate": {"tasks": {"ner": "nowhere"}}}, 1, "refused")
    told = run([*launcher, *refused], code=2)
    assert told.count("camembert-bio:") == 1 and "nowhere does not exist" in told


@pytest.mark.skipif(MPIRUN is None, reason="no mpirun here")
def test_one_of_three_ranks_of_mpi_tells_a_mistake_of_the_recipe(values: dict[str, Any], tmp_path: Path) -> None:
    launcher = [str(MPIRUN), "--allow-run-as-root", "--oversubscribe", "-n", "3"]
    told = run([*launcher, *command(tmp_path, {**values, "cleen": {}}, 1, "corpus")], code=2)
    assert told.count("camembert-bio:") == 1 and told.count("did you mean 'clean'?") == 1


KILLS = (
    (".work-corpus/read/*.json", 2, ".work-corpus/layout.npz"),
    (".work-corpus/kept/*.json", 4, ".work-corpus/tokens/*.json"),
    (".tmp-*/*/*.arrow", 20, "corpus/corpus.json"),
)
"""Of a phase: what each task of it leaves, after how many a kill comes at most, and what only a later phase leaves."""


def test_a_build_killed_in_three_phases_does_no_block_again_and_ends_with_the_same_bytes(
    values: dict[str, Any], alone: Path, tmp_path: Path
) -> None:
    generator = random.Random(os.environ.get("PYTEST_SEED", "7"))
    crews = generator.sample((2, 3, 0), 3)  # processes; 0: three ranks of MPI
    done: dict[Path, int] = {}
    for num_workers, (left, most, later) in zip(crews, KILLS, strict=True):
        process = begun(tmp_path, values, num_workers, left, generator.randint(1, most))
        time.sleep(generator.uniform(0, 0.05))
        kill(process, tmp_path / "corpus.yaml")
        assert list(tmp_path.glob(left)) and not list(tmp_path.glob(later))
        assert done.items() <= finished(tmp_path / ".work-corpus").items(), "a finished block was done again"
        done = finished(tmp_path / ".work-corpus")
    process = begun(tmp_path, values, 1, KILLS[-1][0], 1)
    process.send_signal(signal.SIGSTOP)  # its work folder goes with the last shard
    assert len(done) > 30 and done.items() <= finished(tmp_path / ".work-corpus").items()
    process.send_signal(signal.SIGCONT)
    assert process.wait(180) == 0
    assert content(tmp_path / "corpus") == content(alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "corpus.yaml"]


def begun(folder: Path, values: dict[str, Any], num_workers: int, left: str, number: int) -> subprocess.Popen[bytes]:
    """A build in a process group of its own, from the moment at which it has left so many files more of a phase."""
    arguments = command(folder, values, num_workers or 1, "corpus")
    if MPIRUN and not num_workers:
        arguments = [MPIRUN, "--allow-run-as-root", "--oversubscribe", "-n", "3", *arguments]
    before = there(folder, left)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 180
    while len(there(folder, left) - before) < number:
        assert process.poll() is None and time.monotonic() < deadline, f"no {number} files more of {left}"
        time.sleep(0.005)
    return process


def there(folder: Path, pattern: str) -> set[Path]:
    """What matches now; nothing while a folder goes that is looked into."""
    try:
        return set(folder.glob(pattern))
    except FileNotFoundError:
        return set()


def finished(work: Path) -> dict[Path, int]:
    """When each file of a block was written, in the phases that have done it."""
    marks = [mark for phase in ("read", "kept", "tokens") for mark in (work / phase).glob("[0-9]*.json")]
    return {path: path.stat().st_mtime_ns for mark in marks for path in mark.parent.glob(f"{mark.stem}.*")}


def kill(process: subprocess.Popen[bytes], recipe: Path) -> None:
    """End a build at once, as a power cut does: its group, and ranks of MPI, which have groups of their own."""
    os.killpg(process.pid, signal.SIGKILL)
    for pid in living(recipe):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while living(recipe):
        assert time.monotonic() < deadline, "ranks outlive a build that was killed"
        time.sleep(0.01)


def living(recipe: Path) -> list[int]:
    """The processes of this machine that were started with a recipe."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(recipe).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_unreadable_documents_are_quarantined_up_to_a_share(tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(i), "text": f"Le patient numéro {i} est venu pour une douleur."}) for i in range(98)]
    bad = ['{"id": "cut", "text": "Madame Lefort', json.dumps({"id": "nul", "text": "L\0e\0f\0o\0r\0t"})]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, *bad]))
    values = {
        "sources": [{"name": "a", "path": str(tmp_path / "a.jsonl"), "licence": "MIT"}],
        "tokenizer": {"train": {"vocab_size": 50}},
        "validation_fraction": 0,
    }
    told = run(command(tmp_path, {**values, "max_rejected": 0.015}, 1, "refused"), code=2)
    assert "2 of 100 documents cannot be read, over max_rejected 0.015" in told and "Lefort" not in told
    run(command(tmp_path, {**values, "max_rejected": 0.02}, 1, "corpus"))
    content = (tmp_path / "corpus" / "quarantine.jsonl").read_text()
    lines = [json.loads(line) for line in content.splitlines()]
    assert [(line["source"], line["id"]) for line in lines] == [("a", None), ("a", "nul")]
    assert [line["where"].endswith(f"a.jsonl line {99 + i}") for i, line in enumerate(lines)] == [True, True]
    assert "Lefort" not in content and "holds 5 NUL bytes" in lines[1]["reason"]
    source = json.loads((tmp_path / "corpus" / "report.json").read_text())["sources"]["a"]
    assert source["dropped"] == {"unreadable": 2} and source["unreadable"] == {"NUL bytes": 1, "not JSON": 1}
    assert "by what they are: NUL bytes 1, not JSON 1; quarantine" in (tmp_path / "corpus" / "report.html").read_text()


LAYER_3 = ROOT.parent / "shared" / "data" / "e3c-fr" / "data_collection" / "French" / "layer3"


@pytest.mark.skipif(not LAYER_3.is_dir(), reason=f"needs real data at {LAYER_3}")
def test_the_copies_in_e3c_are_found_by_id(tmp_path: Path) -> None:
    source = {"name": "e3c", "path": str(LAYER_3), "licence": "CC BY-NC", "format": "e3c"}
    run(command(tmp_path, {"sources": [source], "tokenizer": {"train": {"vocab_size": 2000}}}, 2, "corpus"))
    corpus = open_corpus(tmp_path / "corpus")
    entries = [entry for split in ("train", "validation") for _, entry in corpus.manifest.shards(split)]
    kept = [name for entry in entries for name in corpus.open(entry).doc_ids]
    assert not any("EN" in name for name in kept)
    # 250 EN* copies, and one FR* text that differs from another by white space.
    assert len(kept) == 799
    assert json.loads((tmp_path / "corpus" / "report.json").read_text())["sources"]["e3c"]["duplicates"] == 251
