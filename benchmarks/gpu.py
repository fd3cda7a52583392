"""A training step on one NVIDIA GPU beside transformers' Trainer: tokens/s, MFU, memory. One JSON line a bar.

    python benchmarks/gpu.py [--dry-run]     --dry-run: the same code on CPU with a tiny model; its figures say nothing

camembert-base's shape in bf16, windows of 512 packed from the embedded sample (1.7 documents each), 256 of them a step,
15 % masked, dropout 0.1 but of attention weights, which torch's variable-length attention has not. Processes one after
the other, each with every size of micro-batch that fits: ours; Trainer with transformers' own collator on the same
windows; both compiled, at the size that was fastest for each. The best of either counts. No data and no network are
needed. Under 8 minutes on an H200.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.jsonl"
MASKED = 0.15
COMPILED = {"eager": "compiled", "trainer": "trainer-compiled"}
"""The peers, and each under torch.compile."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    shape: dict[str, Any]
    precision: str
    seq_length: int
    windows_per_step: int
    micro_batch_sizes: tuple[int, ...]
    """In rising order; the rest is left out once one does not fit."""
    warmup_steps: int
    steps: int
    num_documents: int


_DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.0}
GPU = Plan({"max_position_embeddings": 514, **_DROPOUT}, "bf16", 512, 256, (16, 32, 64, 128), 3, 20, 2000)
DRY = Plan(
    {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
        **_DROPOUT,
    },
    "fp32",
    64,
    8,
    (2, 4),
    1,
    2,
    60,
)


def prepare(folder: Path, plan: Plan) -> None:
    """The sample as a corpus with a small tokenizer, and a model whose vocabulary has camembert-base's size."""
    from camembert_bio import config
    from camembert_bio.corpus import build, recipe
    from camembert_bio.model.encoder import build_encoder
    from camembert_bio.pretrain.recipe import Shape
    from camembert_bio.samples.corpus import write_corpus

    write_corpus(folder / "raw", num_documents=plan.num_documents)
    paths = {"cases": "clinical_cases.jsonl.gz", "abstracts": "abstracts.jsonl.zst"}
    sources = [{"name": name, "path": str(folder / "raw" / path), "licence": "MIT"} for name, path in paths.items()]
    values = {"output": str(folder / "corpus"), "sources": sources, "tokenizer": {"train": {"vocab_size": 600}}}
    build.prepare(config.build(recipe.Prepare, {**values, "validation_fraction": 0}))
    shape = config.to_dict(config.build(Shape, plan.shape))
    build_encoder(shape, vocab_size=32_005, seed=0).save_pretrained(folder / "model")


def loader(folder: Path, plan: Plan, micro_batch_size: int) -> Any:
    """The batches of the windows."""
    from camembert_bio.data.loader import Loader
    from camembert_bio.shards.manifest import open_corpus

    corpus = open_corpus(folder / "corpus")
    return Loader(corpus, plan.seq_length, 0, plan.windows_per_step, micro_batch_size, 0, 1, MASKED)


def synchronise() -> float:
    """The time when the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def fresh() -> None:
    """Give memory back and count its peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def say(micro_batch_size: int, tokens: int, seconds: float, flops: float = 0.0) -> None:
    """One measurement, as a line that the parent reads."""
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    values = {"micro_batch_size": micro_batch_size, "tokens_per_s": round(tokens / seconds)}
    print(
        json.dumps({**values, "peak_gb": round(peak / 1e9, 2), "tflops": round(flops / seconds / 1e12, 3)}), flush=True
    )


def ours(folder: Path, plan: Plan, micro_batch_sizes: Sequence[int], compiled: bool) -> None:
    """The engine of `pretrain`, with its loader and its prefetch thread."""
    from camembert_bio import config
    from camembert_bio.model.encoder import load_encoder
    from camembert_bio.model.flops import model_flops
    from camembert_bio.pretrain.engine import Engine, init_distributed
    from camembert_bio.pretrain.recipe import Pretrain

    init_distributed()
    values = {"corpus": str(folder / "corpus"), "output": str(folder / "run"), "model": {"path": str(folder / "model")}}
    values |= {"precision": plan.precision, "compile": compiled, "schedule": {"max_steps": 1}, "ds_config": "zero1"}
    sizes = {"global_batch_size": plan.windows_per_step, "micro_batch_size": micro_batch_sizes[0]}
    encoder = load_encoder(folder / "model")
    flops = model_flops(encoder.config)
    engine = Engine(config.build(Pretrain, {**values, **sizes, "seq_length": plan.seq_length}), encoder)
    for size in micro_batch_sizes:
        fresh()
        tokens, operations, began = 0, 0, 0.0
        for step, batches in zip(
            range(plan.warmup_steps + plan.steps), loader(folder, plan, size).iterate(0), strict=False
        ):
            if step == plan.warmup_steps:
                tokens, operations, began = 0, 0, synchronise()
            engine.train_step(step, batches, sum(batch.num_targets for batch in batches), 5e-5)
            tokens += sum(batch.num_tokens for batch in batches)
            # Of segments without the rows' padding, which the table of windows knows as well.
            operations += sum(flops.training(segment_lengths(batch), batch.num_targets) for batch in batches)
        say(size, tokens, synchronise() - began, operations)


def segment_lengths(batch: Any) -> Any:
    """Tokens of each segment of a batch."""
    lengths = batch.cu_seqlens.diff()
    return lengths[batch.segment_ids.flatten()[batch.cu_seqlens[:-1].long()] > 0].tolist()


def trainer_windows(folder: Path, plan: Plan) -> tuple[list[dict[str, list[int]]], int]:
    """The windows of all steps, so that Trainer's loading processes live as long as it, and tokens of a mean step."""
    windows, num_tokens, steps = [], 0, plan.warmup_steps + plan.steps
    batches = loader(folder, plan, plan.windows_per_step)
    for step in range(steps):
        for batch in batches.batch(step):
            ids = batch.input_ids.flatten().scatter(0, batch.target_positions, batch.target_labels)
            windows += [{"input_ids": row} for row in ids.view_as(batch.input_ids).tolist()]
            num_tokens += batch.num_tokens
    return windows, num_tokens // steps


def theirs(folder: Path, plan: Plan, micro_batch_sizes: Sequence[int], compiled: bool) -> None:
    """Trainer with four loading processes."""
    import transformers as hf

    windows, num_tokens = trainer_windows(folder, plan)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / "corpus" / "tokenizer", local_files_only=True)

    class Clock(hf.TrainerCallback):
        began = 0.0

        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            if state.global_step == plan.warmup_steps:
                self.began = synchronise()

    for size in micro_batch_sizes:
        fresh()
        arguments = hf.TrainingArguments(
            output_dir=str(folder / "trainer"),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=plan.windows_per_step // size,
            max_steps=plan.warmup_steps + plan.steps,
            bf16=plan.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            torch_compile=compiled,
            dataloader_num_workers=4 if torch.cuda.is_available() else 0,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        clock, collator = Clock(), hf.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
        model = hf.AutoModelForMaskedLM.from_pretrained(folder / "model", local_files_only=True)
        hf.Trainer(model, arguments, collator, windows, callbacks=[clock]).train()
        del model
        say(size, num_tokens * plan.steps, synchronise() - clock.began)


def be(peer: str, folder: Path, dry_run: bool, sizes: Sequence[int]) -> None:
    """Measure one peer in this process, size by size, until one does not fit."""
    plan = DRY if dry_run else GPU
    try:
        contestant = theirs if peer.startswith("trainer") else ours
        contestant(folder, plan, sizes, compiled=peer.endswith("compiled"))
    except torch.OutOfMemoryError:
        print("the next size does not fit", file=sys.stderr)


def measure(peer: str, folder: Path, dry_run: bool, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """What a peer says in a process of its own, one measurement a size."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if dry_run:
        environment |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    options = ["--dry-run"] if dry_run else []
    command = [sys.executable, __file__, *options, "--peer", peer, "--folder", str(folder), "--sizes", *map(str, sizes)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"micro_batch_size"')]


def report(name: str, value: float, target: str, met: bool, detail: dict[str, Any], keep: bool) -> None:
    """Print one bar; keep it unless it is of a dry run."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    if keep:
        with open(RESULTS, "a") as file:
            file.write(line + "\n")


def peak_tflops() -> float:
    """The device's dense peak in bf16."""
    from camembert_bio.devices import recognise

    device = recognise(torch.cuda.get_device_name())
    if device is None or device.half_tflops is None:
        raise SystemExit(f"the peak of {torch.cuda.get_device_name()} is not known; add it to camembert_bio/devices.py")
    return device.half_tflops


def speed(one: dict[str, Any]) -> int:
    """Of a measurement."""
    return int(one["tokens_per_s"])


def main(dry_run: bool) -> None:
    """Measure the bars of the GPU."""
    if not dry_run and not torch.cuda.is_available():
        print("gpu.py: no NVIDIA GPU is here, nothing measured; --dry-run proves the script without", file=sys.stderr)
        return
    plan, peak = (DRY, 1.0) if dry_run else (GPU, peak_tflops())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, plan)
        measured = {peer: measure(peer, folder, dry_run, plan.micro_batch_sizes) for peer in ("eager", "trainer")}
        for peer in () if dry_run else ("eager", "trainer"):  # on CPU it would take a compiler, and minutes
            size = max(measured[peer], key=speed)["micro_batch_size"]
            measured[COMPILED[peer]] = measure(COMPILED[peer], folder, dry_run, [size])
    best = max([*measured["eager"], *measured.get("compiled", [])], key=speed)
    trainer = max([*measured["trainer"], *measured.get("trainer-compiled", [])], key=speed)
    mfu, ratio = best["tflops"] / peak, best["tokens_per_s"] / trainer["tokens_per_s"]
    device = "cpu" if dry_run else torch.cuda.get_device_name()
    detail = {**measured, "device": device, "peak_tflops": peak, "torch": torch.__version__, "dry_run": dry_run}
    if not dry_run:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.unlink(missing_ok=True)
    report("gpu.mfu", mfu, ">= 0.45", mfu >= 0.45, detail, keep=not dry_run)
    report("gpu.over_trainer", ratio, ">= 2", ratio >= 2, detail, keep=not dry_run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--peer", choices=[*COMPILED, *COMPILED.values()])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[])
    given = parser.parse_args()
    if given.peer:
        be(given.peer, given.folder, given.dry_run, given.sizes)
    else:
        main(given.dry_run)
