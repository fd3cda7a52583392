"""How training scales: over two ranks here, measured; over nodes of GPUs, by a model of the bytes that they send.

    python benchmarks/scaling.py [--modelled]

Measured: the same work for each rank (weak scaling), one thread a rank, one and two ranks in turn, medians of three.
Model: the bytes that DeepSpeed 0.19.8 sends in a step at each ZeRO stage over the bandwidth of a node's link. Every
assumption is in the line that rests on it. One JSON line a bar. `--modelled` computes the model's lines alone anew.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from camembert_bio import config  # noqa: E402
from camembert_bio.devices import find_device  # noqa: E402
from camembert_bio.model.encoder import build_encoder  # noqa: E402
from camembert_bio.model.flops import model_flops  # noqa: E402
from camembert_bio.pretrain.recipe import Shape  # noqa: E402
from camembert_bio.samples.corpus import write_corpus  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "scaling.jsonl"

ROWS_OF_RANK = 8
STEPS = 20
SHAPE = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}

LINKS_GB_S = {"NVLink 4": 450.0, "InfiniBand HDR 200 Gb/s": 25.0, "100 GbE": 12.5, "25 GbE": 3.125}
"""GB/s in one direction: NVIDIA's 900 GB/s of an H100 counts both; a network's bits are of one direction."""
USABLE = 0.8
"""Share of a link that collectives reach."""
LATENCY_S = 10e-6
"""Of one of the 2 x (ranks - 1) hops of a ring."""
BACKWARD = 2 / 3
"""Share of the computation that is the backward pass."""
GRADIENT, WEIGHT = 4, 2
"""Bytes of one that is sent: `pretrain.settings` sends gradients in fp32 and DeepSpeed weights in bf16."""
MFU, ROWS = 0.4, 32
"""Of one device alone, and its windows of 512 in a micro-batch."""
GPUS_OF_NODE = 4
NODES = (2, 8, 32)


def prepare(folder: Path) -> Path:
    """A corpus of synthetic text."""
    write_corpus(folder / "sample", num_documents=600)
    sources = [{"name": "cases", "path": str(folder / "sample/clinical_cases.jsonl.gz"), "licence": "MIT"}]
    values = {"output": str(folder / "corpus"), "sources": sources, "tokenizer": {"train": {"vocab_size": 2000}}}
    values["validation_fraction"] = 0.05
    recipe = folder / "prepare.yaml"
    recipe.write_text(yaml.safe_dump({"prepare": values}))
    run(["prepare", str(recipe)], 1)
    return folder / "corpus"


def run(arguments: list[str], num_ranks: int) -> None:
    """A verb on some ranks, each a process with one thread, as a launcher starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if num_ranks > 1:
        shared |= {"WORLD_SIZE": str(num_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "camembert_bio", *arguments]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, **({"RANK": str(rank), "LOCAL_RANK": str(rank)} if num_ranks > 1 else {})},
            stdout=subprocess.DEVNULL,
        )
        for rank in range(num_ranks)
    ]
    if any(process.wait() for process in ranks):
        raise SystemExit(f"{arguments[0]} on {num_ranks} ranks failed")


def tokens_per_s(folder: Path, corpus: Path, num_ranks: int, turn: int) -> float:
    """Of all ranks, after the first steps, in which memory is first touched."""
    output = folder / f"run-{num_ranks}-{turn}"
    values = {
        "corpus": str(corpus),
        "output": str(output),
        "model": {"config": {**SHAPE, "max_position_embeddings": 258}},
        "seq_length": 256,
        "global_batch_size": ROWS_OF_RANK * num_ranks,
        "micro_batch_size": ROWS_OF_RANK,
        "schedule": {"max_steps": STEPS + 5},
        "ds_config": "cpu",
        "evaluation": {"every_steps": 1000, "max_windows": 8},
        "log_every_steps": 5,
    }
    recipe = folder / f"{output.name}.yaml"
    recipe.write_text(yaml.safe_dump({"pretrain": values}))
    run(["pretrain", str(recipe)], num_ranks)
    points = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(
        point["speed/tokens_per_s"] for point in points if point.get("speed/tokens_per_s") and point["step"] > 5
    )


def weak_scaling() -> None:
    """Two ranks against one, with the same work for each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = prepare(folder)
        speeds: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(3):  # interleaved: the machine's pace drifts
            for num_ranks, found in speeds.items():
                found.append(tokens_per_s(folder, corpus, num_ranks, turn))
    one, two = (statistics.median(found) for found in speeds.values())
    # Two ranks share the memory's bandwidth and the last cache, and send every gradient through the loopback device.
    detail = {
        "tokens_per_s": {ranks: [round(speed) for speed in found] for ranks, found in speeds.items()},
        "rows_of_rank": ROWS_OF_RANK,
        "shape": SHAPE,
        "zero_stage": 1,
        "backend": "gloo",
        "cores": os.cpu_count(),
    }
    report("scaling.weak_2_ranks", two / (2 * one), ">= 0.8", two / (2 * one) >= 0.8, **detail)


@dataclass(frozen=True)
class Sent:
    """What a rank sends in a step by rings: what the backward pass may hide, and what comes after it."""

    hideable: float
    """Bytes."""
    hideable_rings: int
    after: float
    """Bytes."""
    after_rings: int


def sent(stage: int, num_parameters: int, world_size: int, micro_batches: int) -> Sent:
    """What DeepSpeed 0.19.8 sends in bf16.

    Stage 1, its BF16_Optimizer, all-reduces the sums once, after the last backward pass, whatever `overlap_comm` says.
    Stage 2 all-reduces after each micro-batch. Both gather the updated weights once a step. Stage 3 gathers the
    weights and reduces the gradients to their owners for each micro-batch, ahead of what computes with them.
    """
    once = (world_size - 1) / world_size * num_parameters
    gradients, weights = once * GRADIENT, once * WEIGHT
    return {
        1: Sent(0.0, 0, 2 * gradients + weights, 2),
        2: Sent(2 * gradients * micro_batches, 1, weights, 1),
        3: Sent((gradients + weights) * micro_batches, 1, 0.0, 0),
    }[stage]


def efficiencies(stage: int, link_gb_s: float, world_size: int, compute_s: float, micro_batches: int) -> dict[str, Any]:
    """Time of computation over that of a step, with nothing hidden and with what fits behind the backward pass."""
    traffic = sent(stage, num_parameters(), world_size, micro_batches)
    speed, ring_s = link_gb_s * 1e9 * USABLE, 2 * (world_size - 1) * LATENCY_S
    hideable_s = traffic.hideable / speed + traffic.hideable_rings * ring_s
    after_s = traffic.after / speed + traffic.after_rings * ring_s
    compute_s *= micro_batches
    shown_s = max(0.0, hideable_s - BACKWARD * compute_s) + after_s
    return {
        "sent_mb": round((traffic.hideable + traffic.after) / 1e6),
        "hidden_none": round(compute_s / (compute_s + hideable_s + after_s), 3),
        "hidden_all": round(compute_s / (compute_s + shown_s), 3),
    }


@functools.cache
def encoder() -> Any:
    """camembert-base without weights."""
    with torch.device("meta"):
        return build_encoder(config.to_dict(Shape()), vocab_size=32_005, seed=0)


def num_parameters() -> int:
    """Of camembert-base."""
    return sum(parameter.numel() for parameter in encoder().parameters())


def modelled() -> None:
    """Efficiency at some numbers of nodes, for camembert-base on A100s in bf16."""
    device = find_device("A100-80")
    peak = device.peak_flops("bf16")
    assert peak is not None
    flops = model_flops(encoder().config).training([512] * ROWS, round(0.15 * 512 * ROWS))
    compute_s = flops / (MFU * peak)
    assumed = {
        "device": f"{device.name}, {GPUS_OF_NODE} a node, one link of each kind a node, in a ring",
        "sent_in": "gradients fp32, weights bf16",
        "mfu_alone": MFU,
        "windows_of_512_a_micro_batch": ROWS,
        "compute_s_a_micro_batch": round(compute_s, 4),
        "usable_share_of_link": USABLE,
        "latency_s_a_hop": LATENCY_S,
        "hidden_all": "at stage 2 gradients, at stage 3 weights too, travel behind the backward pass, two thirds of "
        "the work; at stage 1 nothing: DeepSpeed's bf16 reduces after it",
    }
    for nodes in NODES:
        world_size = nodes * GPUS_OF_NODE
        links = {
            link: {
                f"zero{stage}, {micro_batches} micro-batches": efficiencies(
                    stage, speed, world_size, compute_s, micro_batches
                )
                for stage in (1, 2, 3)
                for micro_batches in (1, 4)
            }
            for link, speed in LINKS_GB_S.items()
        }
        value = links["InfiniBand HDR 200 Gb/s"]["zero1, 1 micro-batches"]["hidden_all"]
        report(f"scaling.model_{nodes}_nodes", value, None, None, assumed=assumed, links=links)


def report(name: str, value: float, target: str | None, met: bool | None, **detail: Any) -> None:
    """Print one bar and keep it, in the place of its last value."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    kept = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    lines = {json.loads(old)["name"]: old for old in kept} | {name: line}
    RESULTS.write_text("".join(f"{old}\n" for old in lines.values()))


if __name__ == "__main__":
    RESULTS.parent.mkdir(exist_ok=True)
    modelled()
    if sys.argv[1:] != ["--modelled"]:
        weak_scaling()
