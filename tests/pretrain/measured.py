"""Prints the memory that one step of an engine takes in this process, for tests: {"rss": bytes above a start}.

The start is the same process after a step of a tiny model: Python, torch and DeepSpeed are in memory by then. The peak
is the kernel's own count (VmHWM), set back before the steps. Freed memory must go back to the kernel at once to be
counted as free: the caller sets MALLOC_MMAP_THRESHOLD_.
"""

import gc
import json
import sys
from pathlib import Path

import torch

from camembert_bio import config
from camembert_bio.data.batch import Batch
from camembert_bio.model.encoder import build_encoder
from camembert_bio.pretrain.engine import Engine, init_distributed, leave_distributed
from camembert_bio.pretrain.recipe import Pretrain


def resident(field: str) -> int:
    """`VmRSS` or `VmHWM` of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def batch(lengths: list[int], rows: int, num_targets: int) -> Batch:
    """Rows that segments of these lengths fill."""
    bounds = torch.tensor(lengths * rows, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    shape = (rows, sum(lengths))
    return Batch(
        input_ids=torch.full(shape, 7),
        segment_ids=torch.ones(shape, dtype=torch.int32),
        cu_seqlens=torch.cat([torch.zeros(1, dtype=torch.int32), bounds]),
        position_ids=torch.zeros(shape, dtype=torch.long),
        target_positions=torch.arange(num_targets),
        target_labels=torch.full((num_targets,), 8),
        sources=torch.zeros(rows, dtype=torch.long),
        causal=False,
        num_tokens=rows * sum(lengths),
    )


def step(recipe: Pretrain, vocab_size: int, batches: list[Batch], num_steps: int) -> int:
    """The most bytes that were resident during some steps of a new engine."""
    engine = Engine(recipe, build_encoder(config.to_dict(recipe.model.config), vocab_size, seed=0))
    Path("/proc/self/clear_refs").write_text("5")
    for number in range(num_steps):
        engine.train_step(number, batches, 100.0, 1e-4)
    return resident("VmHWM")


def main() -> None:
    asked = json.loads(sys.argv[1])
    recipe = config.build(Pretrain, asked["recipe"])
    init_distributed()
    tiny = config.build(Pretrain, {**asked["recipe"], "model": {"config": asked["tiny"]}})
    step(tiny, 50, [batch([8], 1, 2)], 2)
    gc.collect()
    before = resident("VmRSS")
    batches = [batch(asked["lengths"], recipe.micro_batch_size, asked["num_targets"])] * asked["accumulation"]
    peak = step(recipe, asked["vocab_size"], batches, 2)
    leave_distributed()
    print(json.dumps({"rss": peak - before}))


if __name__ == "__main__":
    main()
