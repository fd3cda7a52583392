"""The published fine-tuning protocol end to end: three corpora, two small models, ten seeds, killed and resumed.

    python benchmarks/campaigns/paper_protocol.py FOLDER [DATA]

DATA holds the French corpora (default: ../shared/data beside the project). In FOLDER, which may be that of a campaign
that was broken off: a model of general French is trained for some minutes and adapted to biomedical French, both are
fine-tuned by the recipe `paper`, two processes sharing the 60 runs; with half of them done both are killed, and started
again. Then no run that was done may have been done again, and every score must follow from its predictions. The table
is kept in benchmarks/results/paper_protocol.md. An hour of two cores.

What the paper states is kept. Its learning rate, 5e-5, teaches a model of 32 hidden units nothing in 2,000 steps
(0.1 F1 on MEDLINE), and one of 128 takes too long here with windows of 512: the models are 128 wide, of 64 positions.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "paper_protocol.md"
NUM_RUNS = 60
SEQ_LENGTH = 64
SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": SEQ_LENGTH + 2,
    "attention_probs_dropout_prob": 0.0,  # half of a step's time on CPU
}
STEPS = 800


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A verb of the command line in the campaign's folder, with one thread and no network."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "camembert_bio", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def run(folder: Path, *arguments: str) -> None:
    if start(folder, *arguments).wait():
        raise SystemExit(f"camembert-bio {' '.join(arguments)} failed")


def write_recipe(path: Path, **sections: Any) -> str:
    path.write_text(yaml.safe_dump(sections))
    return str(path)


def train(folder: Path, data: Path) -> None:
    """The folders models/general and models/bio, the second from the first, with one tokenizer."""
    for name, text in (("general", "general-fr.jsonl.zst"), ("bio", "biomed-raw-fr.jsonl.zst")):
        is_first = name == "general"
        tokenizer = {"train": {"vocab_size": 8000}} if is_first else {"path": "models/general"}
        prepare = {
            "output": f"corpora/{name}",
            "sources": [{"name": name, "path": str(data / text), "licence": "various"}],
            "tokenizer": tokenizer,
            "num_workers": 2,
        }
        pretrain = {
            "corpus": f"corpora/{name}",
            "output": f"runs/{name}",
            "model": {"config": SHAPE} if is_first else {"path": "models/general"},
            "seq_length": SEQ_LENGTH,
            "global_batch_size": 64,
            "micro_batch_size": 64,
            "optimizer": {"learning_rate": 2e-3},
            "schedule": {"max_steps": STEPS},
            "evaluation": {"every_steps": STEPS, "max_windows": 500},
            "ds_config": "cpu",
        }
        recipe = write_recipe(folder / f"{name}.yaml", prepare=prepare, pretrain=pretrain)
        if not (folder / "models" / name).is_dir():
            run(folder, "prepare", recipe)
            run(folder, "pretrain", recipe)
            run(folder, "export", f"runs/{name}", f"models/{name}")


def finished(folder: Path) -> dict[Path, tuple[str, int]]:
    """The hash and the time of the last change of each finished run's result."""
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.glob("results/*/*/seed-*/result.json"))
    }


def finetune(folder: Path, kill_at: int | None) -> None:
    """Two processes on the grid, to its end or until so many runs are done."""
    models = "models={general: models/general, bio: models/bio}"
    windows = (f"seq_length={SEQ_LENGTH}", f"window_overlap={SEQ_LENGTH // 4}")
    processes = [start(folder, "finetune", "paper", models, *windows, "output=results") for _ in range(2)]
    while any(process.poll() is None for process in processes):
        if kill_at is not None and len(finished(folder)) >= kill_at:
            for process in processes:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return
        time.sleep(1)
    if kill_at is not None or any(process.returncode for process in processes):
        raise SystemExit("finetune failed" if kill_at is None else "finetune ended before it was killed")


def main() -> None:
    """Run what is left of the campaign, check it and keep its table."""
    folder = Path(sys.argv[1]).resolve()
    data = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else ROOT.parent / "shared" / "data"
    for name, place in (("quaero", "quaero-brat"), ("e3c", "e3c-fr")):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        if not (folder / "data" / name).is_symlink():
            (folder / "data" / name).symlink_to(data / place)
    (folder / "models").mkdir(exist_ok=True)
    train(folder, data)
    killed = folder / "killed.json"  # what was done then, for a campaign that is broken off after it
    if not killed.is_file():
        finetune(folder, kill_at=NUM_RUNS // 2)
        killed.write_text(json.dumps({str(path): state for path, state in finished(folder).items()}))
    before = {Path(path): tuple(state) for path, state in json.loads(killed.read_text()).items()}
    finetune(folder, kill_at=None)
    after = finished(folder)
    assert len(after) == NUM_RUNS, f"{len(after)} of {NUM_RUNS} runs are done"
    assert {path: after[path] for path in before} == before, "a finished run was done again"
    run(folder, "score", "results")
    run(folder, "report", "results")
    told = (folder / "results" / "report.md").read_text()
    about = (
        f"Two models of {SHAPE['num_hidden_layers']} layer of {SHAPE['hidden_size']}, trained here for {STEPS} steps "
        f"each, by the recipe `paper` with windows of their {SEQ_LENGTH} positions: they prove the protocol, and say "
        "nothing about CamemBERT-bio. Both processes of "
        f"the grid were killed with {len(before)} of {NUM_RUNS} runs done and started again; none of these was done "
        "twice. Made by `python benchmarks/campaigns/paper_protocol.py FOLDER`.\n\n"
    )
    RESULTS.write_text(f"# The published protocol, end to end\n\n{about}{told}")
    print(f"{len(after)} runs; {RESULTS}")


if __name__ == "__main__":
    main()
