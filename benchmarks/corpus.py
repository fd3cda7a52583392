"""What `prepare` costs on real text, beside what it is measured against. One JSON line a bar.

    python benchmarks/corpus.py [DATA]     DATA: biomed-raw-fr.jsonl.zst (default: ../shared/data beside the project)

Every build is a process of its own. CPU-seconds are those of the process and its workers.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
import zstandard

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "biomed-raw-fr.jsonl.zst"
RESULTS = ROOT / "benchmarks" / "results" / "corpus.jsonl"

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


def run(*command: object) -> dict[str, Any]:
    """Wall and CPU-seconds of a process and its children, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["OMP_NUM_THREADS"] = "1"
    arguments = [sys.executable, *map(str, command)]
    done = subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(cpu, 1), "printed": done.stdout}


def prepare(
    folder: Path,
    name: str,
    sources: list[Path],
    tokenizer: dict[str, Any],
    near: float | None = 0.8,
    boilerplate: float | None = 0.5,
) -> dict[str, Any]:
    """Build a corpus with every stage on; its cost and its report."""
    values = {
        "output": str(folder / name),
        "sources": [
            {"name": f"s{place}", "path": str(path), "licence": "various"} for place, path in enumerate(sources)
        ],
        "tokenizer": tokenizer,
        "clean": {"languages": ["fr"], "boilerplate": boilerplate},
        "deduplicate": {"near": near, "sentences": 1},
        "decontaminate": {"tasks": {"self": str(folder / "evaluation.jsonl")}},
        "num_workers": 2,
    }
    recipe = folder / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump({"prepare": values}))
    cost = run("-m", "camembert_bio", "prepare", recipe)
    return {**cost, "report": json.loads((folder / name / "report.json").read_text())}


def report(name: str, value: float, target: str, met: bool, **detail: Any) -> None:
    """Print one bar and keep it."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    with open(RESULTS, "a") as file:
        file.write(line + "\n")


def split(data: Path, folder: Path) -> tuple[Path, Path, Path, int, int]:
    """The text as plain JSONL: all, the leaflets alone, a second corpus of the same size whose words differ, words."""
    whole, leaflets, other = folder / "whole.jsonl", folder / "leaflets.jsonl", folder / "other.jsonl"
    num_words = num_leaflet_words = 0
    with open(data, "rb") as raw, open(whole, "w") as a, open(leaflets, "w") as b, open(other, "w") as c:
        lines = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw)
        rest, held = b"", []
        while block := lines.read(1 << 22):
            *full, rest = (rest + block).split(b"\n")
            for line in filter(None, full):
                record = json.loads(line)
                a.write(json.dumps({"id": record["id"], "text": record["text"]}) + "\n")
                words = record["text"].split()
                num_words += len(words)
                if record.get("corpus") == "e3c_l3_leaflets":
                    num_leaflet_words += len(words)
                    b.write(json.dumps({"id": record["id"], "text": record["text"]}) + "\n")
                # As long, as many sentences, none of them equal: each word of more than five letters is numbered.
                changed = [f"{word}{len(held)}" if len(word) > 5 else word for word in words]
                c.write(json.dumps({"id": f"{record['id']}-other", "text": " ".join(changed)}) + "\n")
                held.append(len(words))
    with open(folder / "evaluation.jsonl", "w") as file:
        for number in range(800):
            file.write(
                json.dumps({"id": str(number), "text": f"Le patient numéro {number} est venu hier soir."}) + "\n"
            )
    return whole, leaflets, other, num_words, num_leaflet_words


def main() -> None:
    """Measure every bar of issue 3 that is a cost."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.unlink(missing_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, leaflets, other, num_words, before = split(data, folder)
        trained = prepare(folder, "trained", [whole], {"train": {}})
        tokenizer = folder / "trained" / "tokenizer"
        ours, bare = [], []
        for turn in range(3):  # interleaved: the machine's pace drifts
            ours.append(prepare(folder, f"whole-{turn}", [whole], {"path": str(tokenizer)}))
            bare.append(run("-c", TOKENISE, tokenizer / "sentencepiece.bpe.model", whole))
        mapped = run("-c", MAP, tokenizer, whole, folder / "cache")
        cpu, base = (sorted(one["cpu_s"] for one in many)[1] for many in (ours, bare))
        wall = sorted(one["wall_s"] for one in ours)[1]
        stages = ours[1]["report"]["seconds"]
        report(
            "corpus.cpu_over_tokenise",
            cpu / base,
            "<= 3.0",
            cpu / base <= 3,
            prepare_cpu_s=cpu,
            bare_cpu_s=base,
            words=num_words,
            stages=stages,
            with_tokenizer_trained=trained["cpu_s"],
            **machine,
        )
        map_s = float(mapped["printed"].splitlines()[-1])
        speed = map_s / wall
        report(
            "corpus.speed_over_datasets_map",
            speed,
            ">= 1.5",
            speed >= 1.5,
            prepare_wall_s=wall,
            map_wall_s=round(map_s, 1),
            **machine,
        )
        peak = ours[1]["report"]["peak_memory_mb"]
        report(
            "corpus.worker_peak_mb",
            peak,
            "<= 700",
            peak <= 700,
            words=num_words,
            with_tokenizer_trained=trained["report"]["peak_memory_mb"],
            **machine,
        )
        double = prepare(folder, "double", [whole, other], {"path": str(tokenizer)})
        growth = double["report"]["peak_memory_mb"] / peak
        report(
            "corpus.peak_growth_at_double",
            growth,
            "<= 1.10",
            growth <= 1.1,
            double_mb=double["report"]["peak_memory_mb"],
            **machine,
        )
        alone = prepare(folder, "leaflets", [leaflets], {"path": str(tokenizer)}, near=None, boilerplate=None)
        (source,) = alone["report"]["sources"].values()
        left = source["words"] / before
        report(
            "corpus.leaflet_words_left",
            left,
            "<= 0.45",
            left <= 0.45,
            words_before=before,
            words_left=source["words"],
            near=source["near_duplicates"],
            **machine,
        )


if __name__ == "__main__":
    main()
