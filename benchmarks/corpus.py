"""What `prepare` costs on real text, beside what it is measured against. One JSON line a bar.

    python benchmarks/corpus.py [DATA]         DATA: biomed-raw-fr.jsonl.zst
    python benchmarks/corpus.py --limit 6      the same on 6 MB of the text, to try the script: keeps no result
    python benchmarks/corpus.py --table        what the kept rates make of larger corpora, as docs/corpus.md has it

DATA stands by default in ../shared/data beside the project, where quaero-brat and e3c-fr must be too: documents that
hold one of theirs are removed, so that every stage is on. Every build is a process of its own. CPU-seconds are those of
the process and its workers. Contestants take turns, for the machine's pace drifts, and the median counts; of memory the
largest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
import zstandard

from camembert_bio.corpus.documents import read
from camembert_bio.corpus.recipe import Source

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "corpus.jsonl"
TURNS = 3
CORES_A_NODE = 32

PREPARE = """
import sys, time
from camembert_bio import cli
try:
    cli.main(["prepare", sys.argv[1]])
finally:
    print(time.process_time())
"""
"""The coordinator's own CPU-seconds, from its start: hashing the inputs counts."""

TOKENISE = """
import json, sys, sentencepiece
processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
batch, size = [], 0
for line in open(sys.argv[2]):
    batch.append(json.loads(line)["text"])
    size += len(batch[-1])
    if size > 2_000_000:
        processor.encode(batch, out_type="numpy", num_threads=1)
        batch, size = [], 0
processor.encode(batch, out_type="numpy", num_threads=1)
"""
"""Bare tokenisation: sentencepiece on batches, nothing kept."""

MAP = """
import sys, time, datasets, transformers
datasets.disable_progress_bars()
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
data = datasets.load_dataset("json", data_files=sys.argv[2], split="train", cache_dir=sys.argv[3])
began = time.perf_counter()
data.map(lambda rows: {"input_ids": tokenizer(rows["text"], add_special_tokens=False, verbose=False)["input_ids"]},
         batched=True, num_proc=2, remove_columns=data.column_names)
print(time.perf_counter() - began)
"""
"""Tokenisation alone, as the libraries' guides do it."""

Bar = dict[str, Any]
Keep = Callable[..., None]


@dataclass(frozen=True)
class Texts:
    """The corpus as plain JSONL."""

    whole: Path
    leaflets: Path
    """Those of it alone."""
    other: Path
    """As long as the whole, as many sentences, none of them equal: each word of more than five letters is numbered."""
    num_words: int
    num_leaflet_words: int


@dataclass(frozen=True)
class Rates:
    """What `prepare` costs by the words of a corpus."""

    worker_s: float
    """CPU-seconds of the workers a million words."""
    fixed_s: float
    """CPU-seconds of the coordinator for a corpus of no words."""
    coordinator_s: float
    """More of them a million words."""
    work_mb: float
    """Of the work folder, a million words."""

    def seconds(self, million_words: float, num_nodes: int) -> float:
        """The workers' time, all cores busy, and the coordinator's: arithmetic that leaves the file system out."""
        workers = self.worker_s * million_words / (CORES_A_NODE * num_nodes)
        return workers + self.fixed_s + self.coordinator_s * million_words


def run(*command: object, work: Path | None = None) -> dict[str, Any]:
    """Wall and CPU-seconds of a process and its children, what it printed, the largest size of a folder in MB."""
    before, began, largest = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["OMP_NUM_THREADS"] = "1"
    arguments = [sys.executable, *map(str, command)]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            largest = max(largest, size_mb(work) if work else 0)
            time.sleep(0.5)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"the process on {arguments[-1]} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.perf_counter() - began, "cpu_s": cpu, "printed": printed, "work_mb": largest}


def size_mb(folder: Path) -> float:
    """Megabytes below a folder, of what is there while it is looked at."""
    total = 0
    for place, _, names in os.walk(folder):  # unlike rglob, it passes over a folder that goes meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total / 1e6


def prepare(
    folder: Path, name: str, sources: list[Path], tokenizer: dict[str, Any], every_stage: bool = True
) -> dict[str, Any]:
    """Build a corpus, with every stage on or sentences alone; its cost, the coordinator's, and its report."""
    values = {
        "output": str(folder / name),
        "sources": [
            {"name": f"s{place}", "path": str(path), "licence": "various"} for place, path in enumerate(sources)
        ],
        "tokenizer": tokenizer,
        "clean": {"languages": ["fr"], "boilerplate": 0.5 if every_stage else None},
        "deduplicate": {"near": 0.8 if every_stage else None, "sentences": 1},
        "decontaminate": {"tasks": evaluation_sets(folder), "remove": True} if every_stage else None,
        "num_workers": 2,
    }
    recipe = folder / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump({"prepare": values}))
    cost = run("-c", PREPARE, recipe, work=folder / f".work-{name}")
    report = json.loads((folder / name / "report.json").read_text())
    return {
        **cost,
        "coordinator_cpu_s": float(cost["printed"].splitlines()[-1]),
        "report": report,
        "mb": report["peak_memory_mb"],
    }


def evaluation_sets(folder: Path) -> dict[str, str]:
    """QUAERO's test set as it stands, and E3C's first layer, which is XMI, as JSONL."""
    e3c = folder / "e3c.jsonl"
    if not e3c.is_file():
        layer = SHARED / "e3c-fr" / "data_annotation" / "French" / "layer1"
        documents = read(Source("e3c", layer, "evaluation", format="e3c"))
        e3c.write_text("".join(json.dumps({"id": one.id, "text": one.text}) + "\n" for one in documents))
    return {"quaero": str(SHARED / "quaero-brat" / "corpus" / "test"), "e3c": str(e3c)}


def records(data: Path, limit_mb: float | None) -> Iterator[dict[str, Any]]:
    """The records of the text, the first so many MB of it."""
    left = limit_mb * 1e6 if limit_mb else float("inf")
    with open(data, "rb") as raw:
        lines = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw)
        rest = b""
        while block := lines.read(1 << 22):
            *full, rest = (rest + block).split(b"\n")
            for line in filter(None, full):
                yield json.loads(line)
                left -= len(line)
                if left <= 0:
                    return


def split(data: Path, folder: Path, limit_mb: float | None) -> Texts:
    """Write the text as the builds read it."""
    whole, leaflets, other = folder / "whole.jsonl", folder / "leaflets.jsonl", folder / "other.jsonl"
    num_words = num_leaflet_words = 0
    with open(whole, "w") as a, open(leaflets, "w") as b, open(other, "w") as c:
        for number, record in enumerate(records(data, limit_mb)):
            line = json.dumps({"id": record["id"], "text": record["text"]}) + "\n"
            words = record["text"].split()
            num_words += len(words)
            a.write(line)
            if record.get("corpus") == "e3c_l3_leaflets":
                num_leaflet_words += len(words)
                b.write(line)
            changed = " ".join(f"{word}{number}" if len(word) > 5 else word for word in words)
            c.write(json.dumps({"id": f"{record['id']}-other", "text": changed}) + "\n")
    return Texts(whole, leaflets, other, num_words, num_leaflet_words)


def middle(runs: list[dict[str, Any]], name: str) -> float:
    """The median of what several runs cost."""
    return round(median(one[name] for one in runs), 2)


def speed(texts: Texts, folder: Path, train: dict[str, Any], keep: Keep) -> tuple[Path, list[dict[str, Any]]]:
    """The bars of time; the folder of the tokenizer that was trained, and the builds of the whole with it."""
    trained = prepare(folder, "trained", [texts.whole], {"train": train})
    tokenizer = folder / "trained" / "tokenizer"
    ours, bare = [], []
    for turn in range(TURNS):
        ours.append(prepare(folder, f"whole-{turn}", [texts.whole], {"path": str(tokenizer)}))
        bare.append(run("-c", TOKENISE, tokenizer / "sentencepiece.bpe.model", texts.whole))
    base = middle(bare, "cpu_s")
    costs: Bar = {"prepare_cpu_s": middle(ours, "cpu_s"), "bare_cpu_s": base, "words": texts.num_words}
    costs["stages"] = ours[-1]["report"]["seconds"]
    costs["with_tokenizer_trained"] = {
        "prepare_cpu_s": round(trained["cpu_s"], 2),
        "over_tokenise": round(trained["cpu_s"] / base, 3),
        "mb": trained["mb"],
    }
    keep("corpus.cpu_over_tokenise", costs["prepare_cpu_s"] / base, "<= 3.0", **costs)
    mapped = run("-c", MAP, tokenizer, texts.whole, folder / "cache")
    map_s, wall_s = float(mapped["printed"].splitlines()[-1]), middle(ours, "wall_s")
    keep("corpus.speed_over_datasets_map", map_s / wall_s, ">= 1.5", prepare_wall_s=wall_s, map_wall_s=round(map_s, 1))
    return tokenizer, ours


def growth(texts: Texts, folder: Path, tokenizer: Path, single: list[dict[str, Any]], keep: Keep) -> None:
    """The bars of memory, and beside them what else grows with the words."""
    sources = [texts.whole, texts.other]
    double = [prepare(folder, f"double-{turn}", sources, {"path": str(tokenizer)}) for turn in range(TURNS)]
    runs = {"single": single, "double": double}
    peak = {name: max(one["mb"] for one in many) for name, many in runs.items()}
    keep("corpus.worker_peak_mb", peak["single"], "<= 700", words=texts.num_words)
    cost = {
        key: {name: middle(many, key) for name, many in runs.items()}
        for key in ("cpu_s", "coordinator_cpu_s", "work_mb")
    }
    keep(
        "corpus.peak_growth_at_double",
        peak["double"] / peak["single"],
        "<= 1.10",
        single_mb=peak["single"],
        double_mb=peak["double"],
        words={"single": texts.num_words, "double": 2 * texts.num_words},
        **cost,
    )


def leaflets(texts: Texts, folder: Path, tokenizer: Path, keep: Keep) -> None:
    """The bar of what the sentence stage leaves."""
    alone = prepare(folder, "leaflets", [texts.leaflets], {"path": str(tokenizer)}, every_stage=False)
    (source,) = alone["report"]["sources"].values()
    before, left = texts.num_leaflet_words, source["words"]
    keep("corpus.leaflet_words_left", left / before, "<= 0.45", words_before=before, words_left=left)


def rates(results: Path) -> Rates:
    """What the results say of a corpus of any size: the workers at twice the text, a line through the coordinator."""
    bars = {bar["name"]: bar["detail"] for bar in map(json.loads, results.read_text().splitlines())}
    found = bars["corpus.peak_growth_at_double"]
    single, double = (found["words"][name] / 1e6 for name in ("single", "double"))
    own = found["coordinator_cpu_s"]
    slope = max(0.0, (own["double"] - own["single"]) / (double - single))
    return Rates(
        worker_s=(found["cpu_s"]["double"] - own["double"]) / double,
        fixed_s=own["single"] - slope * single,
        coordinator_s=slope,
        work_mb=found["work_mb"]["double"] / double,
    )


def table(found: Rates) -> str:
    """The table of docs/corpus.md, and the rates that it follows from."""
    lines = [
        f"{found.worker_s:.2f} CPU-seconds a million words in the workers; in the coordinator "
        f"{found.fixed_s:.1f} CPU-seconds and {found.coordinator_s:.3f} a million words.",
        "",
        "| words | 1 node | 8 nodes | 64 nodes | work folder |",
        "|---|---|---|---|---|",
    ]
    for billions in (1, 100):
        times = (told(found.seconds(1000 * billions, num_nodes)) for num_nodes in (1, 8, 64))
        size_gb = found.work_mb * billions
        size = f"{size_gb:.0f} GB" if size_gb < 100 else f"{size_gb / 1000:.1f} TB"
        lines.append(f"| {billions} billion | {' | '.join(times)} | {size} |")
    return "\n".join(lines)


def told(seconds: float) -> str:
    """A duration with the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 60:
        return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"


def keeper(results: Path) -> Keep:
    """Prints a bar and adds it to the results."""
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}

    def keep(name: str, value: float, target: str, **detail: Any) -> None:
        value, (sign, limit) = round(value, 3), target.split()
        met = value <= float(limit) if sign == "<=" else value >= float(limit)
        line = json.dumps({"name": name, "value": value, "target": target, "met": met, "detail": {**detail, **machine}})
        print(line, flush=True)
        with open(results, "a") as file:
            file.write(line + "\n")

    return keep


def main() -> None:
    """Measure every bar that is a cost, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=SHARED / "biomed-raw-fr.jsonl.zst", help="the text")
    parser.add_argument("--limit", type=float, metavar="MB", help="take so much of it, and keep no result")
    parser.add_argument("--table", action="store_true", help="print the table from the kept results, measure nothing")
    options = parser.parse_args()
    if options.table:
        print(table(rates(RESULTS)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = folder / RESULTS.name if options.limit else RESULTS
        results.parent.mkdir(exist_ok=True)
        results.unlink(missing_ok=True)
        keep = keeper(results)
        texts = split(options.data, folder, options.limit)
        train = {"vocab_size": 2000} if options.limit else {}
        tokenizer, single = speed(texts, folder, train, keep)
        growth(texts, folder, tokenizer, single, keep)
        leaflets(texts, folder, tokenizer, keep)
        print(table(rates(results)))


if __name__ == "__main__":
    main()
