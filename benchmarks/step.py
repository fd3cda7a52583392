"""A training step on CPU beside transformers' Trainer: speed and memory. One JSON line a bar.

    python benchmarks/step.py [DATA]     DATA: the folder tasks/morfitt (default: in ../shared/data beside the project)

camembert-base's shape, dropout as published, fp32, four rows of 512 a step, 15 % masked, the same weights, fused AdamW
and clipping for all. Three processes take their steps in turn, for the machine's pace drifts:

- ours: the engine of `pretrain` under DeepSpeed's ZeRO 1, on windows packed from MORFITT's abstracts;
- packed: Trainer with transformers' own collator on the same windows;
- padded: Trainer on one abstract a row, padded to 512; its padding is not counted as tokens.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "tasks" / "morfitt"
RESULTS = ROOT / "benchmarks" / "results" / "step.jsonl"

PEERS = ("ours", "packed", "padded")
ROUNDS = 3
"""Steps of each that count; one more goes before them."""
ROWS, LENGTH, MASKED = 4, 512, 0.15
OPTIMIZER = {"learning_rate": 5e-5, "weight_decay": 0.01}
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
"""Passive: a thread that waits for another must not count as work."""


def prepare(data: Path, folder: Path) -> None:
    """The abstracts as `abstracts.jsonl` and as a corpus with a tokenizer of its own, and new weights."""
    from camembert_bio import config
    from camembert_bio.corpus import build, recipe
    from camembert_bio.model.encoder import build_encoder
    from camembert_bio.pretrain.recipe import Shape
    from camembert_bio.shards.manifest import open_corpus

    with open(folder / "abstracts.jsonl", "w") as out:
        for part in ("train", "dev", "test"):
            with open(data / f"{part}.tsv", newline="") as table:
                for number, record in enumerate(csv.DictReader(table, delimiter="\t")):
                    out.write(json.dumps({"id": f"{part}-{number}", "text": record["abstract"]}) + "\n")
    source = {"name": "morfitt", "path": str(folder / "abstracts.jsonl"), "licence": "CC BY-SA 4.0"}
    values = {"output": str(folder / "corpus"), "sources": [source], "tokenizer": {"train": {}}}
    build.prepare(config.build(recipe.Prepare, {**values, "validation_fraction": 0, "deduplicate": {"exact": False}}))
    ids = len(open_corpus(folder / "corpus").vocabulary)
    build_encoder(config.to_dict(Shape()), ids, seed=0).save_pretrained(folder / "model")


def batches(folder: Path) -> Any:
    """The loader of the windows."""
    from camembert_bio.data.loader import Loader
    from camembert_bio.shards.manifest import open_corpus

    return Loader(open_corpus(folder / "corpus"), LENGTH, 0, ROWS, ROWS, 0, 1, MASKED)


def rows(folder: Path, padded: bool) -> tuple[Any, list[dict[str, list[int]]]]:
    """Trainer's tokenizer, and its rows: the windows that ours reads, or abstracts padded to the same length."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "corpus" / "tokenizer", local_files_only=True)
    number = ROWS * (ROUNDS + 1)
    if padded:
        # The first ones have the mean length of all within 4 %: the same in every round.
        lines = (folder / "abstracts.jsonl").read_text().splitlines()[:number]
        texts = [json.loads(line)["text"] for line in lines]
        encoded = tokenizer(texts, truncation=True, max_length=LENGTH, padding="max_length")
        return tokenizer, [{key: encoded[key][row] for key in encoded} for row in range(number)]
    loader, windows = batches(folder), []
    for step in range(ROUNDS + 1):
        (batch,) = loader.batch(step)
        ids = batch.input_ids.flatten().scatter(0, batch.target_positions, batch.target_labels)
        windows += [{"input_ids": row} for row in ids.view(ROWS, LENGTH).tolist()]
    return tokenizer, windows


def answer(tokens: int, since: float) -> float:
    """Tell what a step took, and when the next one begins: now, after the wait for one's turn."""
    now = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"tokens": tokens, "cpu_s": now - since, "peak_mb": peak}), flush=True)
    return now


def ours(folder: Path) -> None:
    """Take a step each time a line comes in."""
    from camembert_bio import config
    from camembert_bio.model.encoder import load_encoder
    from camembert_bio.pretrain.engine import Engine, init_distributed
    from camembert_bio.pretrain.recipe import Pretrain

    init_distributed()
    values = {"corpus": str(folder / "corpus"), "output": str(folder / "run"), "model": {"path": str(folder / "model")}}
    sizes = {"global_batch_size": ROWS, "micro_batch_size": ROWS, "ds_config": "cpu", "optimizer": OPTIMIZER}
    recipe = config.build(Pretrain, {**values, **sizes, "schedule": {"max_steps": ROUNDS + 1}})
    engine = Engine(recipe, load_encoder(folder / "model"))
    steps = batches(folder).iterate(0)
    since = time.process_time()
    for step, _ in enumerate(sys.stdin):
        (batch,) = next(steps)
        engine.train_step(step, [batch], batch.num_targets, OPTIMIZER["learning_rate"])
        since = answer(batch.num_tokens, since)


def theirs(folder: Path, padded: bool) -> None:
    """Take a step of Trainer each time a line comes in."""
    from transformers import (
        AutoModelForMaskedLM,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    tokenizer, examples = rows(folder, padded)
    tokens = sum(id != tokenizer.pad_token_id for row in examples for id in row["input_ids"]) // (ROUNDS + 1)

    class Turns(TrainerCallback):
        since = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.since = time.process_time()

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            sys.stdin.readline()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.since = answer(tokens, self.since)

    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=ROWS,
        max_steps=ROUNDS + 1,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **OPTIMIZER,
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
    model = AutoModelForMaskedLM.from_pretrained(folder / "model", local_files_only=True)
    Trainer(model, arguments, collator, examples, callbacks=[Turns()]).train()


def start(peer: str, folder: Path) -> subprocess.Popen[str]:
    """A process that waits for its turns."""
    environment = {**os.environ, **THREADS, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    command = [sys.executable, __file__, peer, str(folder)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def turn(process: subprocess.Popen[str]) -> dict[str, float]:
    """One step of a process. What the libraries print is passed over."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith('{"tokens"'):
            return dict(json.loads(line))
    raise SystemExit(f"a peer ended early with {process.wait()}")


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Of each peer: tokens per CPU-second and CPU-seconds (medians), peak memory."""
    processes = {peer: start(peer, folder) for peer in PEERS}
    taken: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
    for number in range(ROUNDS + 1):
        for peer, process in processes.items():
            step = turn(process)
            if number:
                taken[peer].append(step)
    for process in processes.values():
        process.communicate()
    return {
        peer: {
            "tokens_per_cpu_s": round(median(step["tokens"] / step["cpu_s"] for step in steps), 1),
            "cpu_s": round(median(step["cpu_s"] for step in steps), 2),
            "peak_mb": round(steps[-1]["peak_mb"]),
        }
        for peer, steps in taken.items()
    }


def report(name: str, value: float, target: str, met: bool, detail: dict[str, Any]) -> None:
    """Print one bar and keep it."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    with open(RESULTS, "a") as file:
        file.write(line + "\n")


def main(data: Path) -> None:
    """Measure the bars of the step."""
    if not data.is_dir():
        raise SystemExit(f"{data} is not there; give the folder of MORFITT's train.tsv, dev.tsv and test.tsv")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        prepare(data, Path(name))
        peers = measure(Path(name))
    speed, over_packed, over_padded = (peers[peer]["tokens_per_cpu_s"] for peer in PEERS)
    over_packed, over_padded = speed / over_packed, speed / over_padded
    memory = peers["ours"]["peak_mb"] / peers["packed"]["peak_mb"]
    detail = {**peers, "rounds": ROUNDS, "python": platform.python_version(), "cores": os.cpu_count()}
    report("step.over_trainer_packed", over_packed, ">= 1.3", over_packed >= 1.3, detail)
    report("step.over_trainer_padded", over_padded, ">= 1.9", over_padded >= 1.9, detail)
    report("step.peak_memory_over_trainer", memory, "<= 1.0", memory <= 1, detail)


def be(peer: str, folder: Path) -> None:
    """Take steps when told, as one of the peers."""
    if peer == "ours":
        ours(folder)
    else:
        theirs(folder, padded=peer == "padded")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        be(sys.argv[1], Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
