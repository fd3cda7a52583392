"""The loader beside what it is measured against: tokens per CPU-second of shuffled windows. One JSON line a bar.

    python benchmarks/loader.py [DATA]

DATA is the text to prepare (default: biomed-raw-fr.jsonl.zst in ../shared/data beside the project) or a corpus that
stands already. `MDS_PYTHON` names the Python of an environment with mosaicml-streaming, which pins other versions of
transformers and numpy than ours; without it webdataset takes its place.

Each contestant is a process of its own that makes int64 tensors of 512 ids a row and yields how many ids; they take
turns, for the machine's pace drifts, and the median counts. The page cache is warm. Peers read rows that were cut
beforehand and hold nothing but tokens, in one file; ours lays the windows out from the documents as it reads.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "biomed-raw-fr.jsonl.zst"
RESULTS = ROOT / "benchmarks" / "results" / "loader.jsonl"

TURNS = 15
TURN_CPU_S = 0.3
LENGTH = 512
STEP, MICRO = 256, 8
"""Windows of a step and of a micro-batch: the published recipe's, on one device."""
SMALL = 32
"""Windows of a smaller step."""
FEW = 20_000
"""Rows of the peers that need a second for a few thousand."""
RESUMED_AT = (0, 1, 1_000, 1_000_000, 1_000_000_000)


def open_loader(folder: Path, size: int) -> Any:
    """Ours, on one rank."""
    from camembert_bio.data.loader import Loader
    from camembert_bio.shards.manifest import open_corpus

    corpus = open_corpus(folder / "corpus")
    return Loader(corpus, LENGTH, 0, size, MICRO, 0, 1, mlm_probability=0.15)


def ours(folder: Path, size: int) -> Iterator[int]:
    """The windows of steps of `size`, before masking."""
    import torch

    loader = open_loader(folder, size)
    for _, rows in loader.samples(0, 4096 // size):
        ids = rows.read(loader.collator.shards, loader.corpus.vocabulary)
        yield torch.from_numpy(ids.astype(np.int64)).numel()


def masked(folder: Path, size: int) -> Iterator[int]:
    """The batches of steps as training gets them, made in a thread."""
    for batches in open_loader(folder, size).iterate(0):
        yield sum(batch.input_ids.numel() for batch in batches)


def mask(folder: Path, size: int) -> Iterator[int]:
    """Whole-word masking alone, of windows that stay the same."""
    loader = open_loader(folder, size)
    draws, rows = next(loader.samples(0, 1))
    ids = rows.read(loader.collator.shards, loader.corpus.vocabulary)
    for _ in itertools.count():
        corrupted, _ = loader.collator.masking.apply(ids, draws.epoch, draws.draw, 0.15)
        yield corrupted.size


def shuffled(num_rows: int, size: int) -> Iterator[Any]:
    """Random indices, `size` at a time, each once an epoch."""
    for epoch in itertools.count():
        order = np.random.default_rng(epoch).permutation(num_rows)
        for first in range(0, num_rows - size, size):
            yield order[first : first + size]


def memmap(folder: Path, size: int) -> Iterator[int]:
    """Bare numpy: rows of a memory-mapped file."""
    import torch

    rows = np.load(folder / "rows.npy", mmap_mode="r")
    for indices in shuffled(len(rows), size):
        yield torch.from_numpy(rows[indices].astype(np.int64)).numel()


def datasets(folder: Path, size: int, form: str) -> Iterator[int]:
    """Rows of datasets' memory-mapped table by their indices, in one of its formats."""
    import torch
    from datasets import Dataset

    table = Dataset.from_file(str(folder / "rows.arrow")).with_format(form)
    for indices in shuffled(len(table), size):
        rows = table[indices]["input_ids"]
        if form == "arrow":
            rows = rows.combine_chunks().flatten().to_numpy().reshape(size, LENGTH)
        yield (rows if form == "torch" else torch.from_numpy(rows)).to(torch.int64).numel()


def mds(folder: Path, size: int) -> Iterator[int]:
    """mosaicml-streaming, from the disk, shuffled by itself."""
    import torch
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    if not (folder / "mds").is_dir():
        with MDSWriter(out=str(folder / "mds"), columns={"input_ids": f"ndarray:uint16:{LENGTH}"}) as out:
            for row in np.load(folder / "rows.npy", mmap_mode="r")[:FEW]:
                out.write({"input_ids": np.array(row)})
    rows = StreamingDataset(local=str(folder / "mds"), shuffle=True, batch_size=size)
    samples = (row["input_ids"] for _ in itertools.count() for row in rows)
    while True:
        yield torch.from_numpy(np.stack(list(itertools.islice(samples, size))).astype(np.int64)).numel()


def webdataset(folder: Path, size: int) -> Iterator[int]:
    """webdataset, from the disk, shuffled in a buffer of 1,000."""
    import torch
    from webdataset import TarWriter, WebDataset

    tar = folder / "rows.tar"
    if not tar.is_file():
        with TarWriter(str(tar)) as out:
            for number, row in enumerate(np.load(folder / "rows.npy", mmap_mode="r")[:FEW]):
                out.write({"__key__": f"{number:08d}", "npy": np.array(row)})
    rows = WebDataset(str(tar), shardshuffle=False).shuffle(1000).decode()
    samples = (row["npy"] for _ in itertools.count() for row in rows)
    while True:
        yield torch.from_numpy(np.stack(list(itertools.islice(samples, size))).astype(np.int64)).numel()


def serve(name: str, folder: Path, size: int, *options: str) -> None:
    """A contestant's process: for each line of stdin, its M tokens per CPU-second over the next turn."""
    import torch

    torch.set_num_threads(1)
    stream = globals()[name](folder, size, *options)
    next(stream)
    print("ready", flush=True)
    began = time.process_time()
    for _ in sys.stdin:
        num_tokens = 0
        while (now := time.process_time()) - began < TURN_CPU_S:
            num_tokens += next(stream)
        print(num_tokens / (now - began) / 1e6, flush=True)
        began = now  # a thread goes on between the turns: what it makes ahead is not for nothing


def resume(folder: Path) -> None:
    """Wall ms to the first batches of an iteration that begins at each step, and to open a loader; medians as JSON."""
    import torch

    torch.set_num_threads(1)
    first: dict[int, list[float]] = {step: [] for step in RESUMED_AT}
    opening = []
    for _ in range(TURNS):
        began = time.perf_counter()
        loader = open_loader(folder, STEP)
        opening.append(1e3 * (time.perf_counter() - began))
        for step, times in first.items():
            began = time.perf_counter()
            batches = loader.iterate(step)
            next(batches)
            times.append(1e3 * (time.perf_counter() - began))
            batches.close()
    print(json.dumps({"opening": median(opening), "first": {step: median(times) for step, times in first.items()}}))


def environment() -> dict[str, str]:
    """One thread each, and no network."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class Contestant:
    """A process that serves turns."""

    def __init__(self, *command: object, python: str = sys.executable) -> None:
        arguments = [python, __file__, "serve", *map(str, command)]
        self.process = subprocess.Popen(
            arguments, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.rates: list[float] = []

    def wait(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended")
        return line

    def turn(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.rates.append(float(self.wait()))

    @property
    def rate(self) -> float:
        return median(self.rates)


def prepare(data: Path, folder: Path) -> None:
    """The corpus, and its tokens as rows for the peers: as many as there are windows' worth of tokens."""
    import pyarrow as pa
    import yaml

    from camembert_bio.shards.manifest import TRAIN, open_corpus

    if (data / "corpus.json").is_file():
        (folder / "corpus").symlink_to(data.resolve())
    else:
        source = {"name": "biomed", "path": str(data), "licence": "various"}
        values = {"output": str(folder / "corpus"), "sources": [source], "tokenizer": {"train": {}}, "num_workers": 2}
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"prepare": values}))
        command = [sys.executable, "-m", "camembert_bio", "prepare", folder / "recipe.yaml"]
        subprocess.run(command, env=environment(), check=True, stdout=sys.stderr)
    corpus = open_corpus(folder / "corpus")
    tokens = np.concatenate([corpus.open(entry).input_ids for _, entry in corpus.manifest.shards(TRAIN)])
    rows = tokens[: len(tokens) // LENGTH * LENGTH].reshape(-1, LENGTH)
    np.save(folder / "rows.npy", rows)
    table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), LENGTH)})
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)


def peer() -> tuple[str, str] | None:
    """The streaming library that is at hand, and its Python."""
    if python := os.environ.get("MDS_PYTHON"):
        return "mds", python
    if importlib.util.find_spec("webdataset"):
        return "webdataset", sys.executable
    print("loader.over_mds: neither MDS_PYTHON nor webdataset is there", file=sys.stderr)
    return None


def report(name: str, value: float, target: str, met: bool, **detail: Any) -> None:
    """Print one bar and keep it, in the place of its last measurement."""
    detail |= {"python": platform.python_version(), "cores": os.cpu_count()}
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    kept = RESULTS.read_text().splitlines() if RESULTS.is_file() else []
    RESULTS.write_text("\n".join([*(other for other in kept if json.loads(other)["name"] != name), line]) + "\n")


def compete(folder: Path) -> dict[str, Contestant]:
    """Every contestant after its turns."""
    there = {f"{name} {size}": Contestant(name, folder, size) for name in ("ours", "memmap") for size in (STEP, SMALL)}
    there |= {
        f"datasets {form} {size}": Contestant("datasets", folder, size, form)
        for form in ("arrow", "numpy", "torch")
        for size in (STEP, SMALL)
    }
    there |= {"masked": Contestant("masked", folder, STEP), "mask": Contestant("mask", folder, SMALL)}
    if found := peer():
        there["peer"] = Contestant(found[0], folder, SMALL, python=found[1])
    for contestant in there.values():
        contestant.wait()
    for _ in range(TURNS):
        for contestant in there.values():
            contestant.turn()
    for contestant in there.values():
        contestant.process.stdin.close()
        contestant.process.wait()
    return there


def main() -> None:
    """Measure every bar of the loader."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    RESULTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(data, folder)
        there = compete(folder)
        command = [sys.executable, __file__, "resume", folder]
        done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, text=True)
        resumed = json.loads(done.stdout)
    rates = {name: round(contestant.rate, 1) for name, contestant in there.items()}
    windows = there[f"ours {STEP}"].rate
    over = {size: there[f"ours {size}"].rate / there[f"memmap {size}"].rate for size in (STEP, SMALL)}
    report(
        "loader.over_memmap", over[STEP], ">= 0.3", over[STEP] >= 0.3, over_memmap_at_32=round(over[SMALL], 3),
        mtok_per_cpu_s=rates,
    )  # fmt: skip
    best = max((key for key in there if key.startswith("datasets")), key=lambda key: there[key].rate)
    ratio = windows / there[best].rate
    report("loader.over_datasets_map", ratio, ">= 2", ratio >= 2, fastest=best, mtok_per_cpu_s=rates[best])
    if found := peer():
        ratio = there[f"ours {SMALL}"].rate / there["peer"].rate
        report("loader.over_mds", ratio, ">= 20", ratio >= 20, peer=found[0], mtok_per_cpu_s=rates["peer"])
    cost_ms = SMALL * LENGTH / there["mask"].rate / 1e3
    report("mask.ms_per_16k", cost_ms, "<= 1.0", cost_ms <= 1.0)
    rate = there["masked"].rate
    report("loader.masked_mtok_per_cpu_s", rate, ">= 8", rate >= 8, step=STEP, micro_batch=MICRO)
    worst = max(resumed["first"].values())
    report(
        "loader.resume_first_batch_ms", worst, "<= 50", worst <= 50, windows=STEP,
        ms_at_step=resumed["first"], ms_to_open_corpus_and_loader=round(resumed["opening"], 1),
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
    elif sys.argv[1:2] == ["resume"]:
        resume(Path(sys.argv[2]))
    else:
        main()
