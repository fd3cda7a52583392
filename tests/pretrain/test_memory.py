import json
from pathlib import Path

import pytest
import torch
from processes import run

from camembert_bio import config
from camembert_bio.devices import this_machine
from camembert_bio.model.encoder import build_encoder, num_parameters
from camembert_bio.pretrain import activations, memory
from camembert_bio.pretrain.activations import Work
from camembert_bio.pretrain.memory import Layout
from camembert_bio.pretrain.recipe import Shape
from camembert_bio.pretrain.settings import read_ds_config

MEASURED = Path(__file__).with_name("measured.py")
SHAPE = {
    "hidden_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "max_position_embeddings": 130,
}
VOCAB_SIZE = 12_000


def encoder_of(shape):
    with torch.device("meta"):
        return build_encoder(config.to_dict(config.build(Shape, shape)), VOCAB_SIZE, seed=0)


def test_the_predicted_memory_is_that_of_a_step(monkeypatch):
    # A real engine in a process of its own: bytes above what it took after training a tiny model.
    accumulation = 2
    lengths, rows, num_targets = [70, 58], 6, 120
    recipe = {
        "corpus": "none",
        "output": "none",
        "model": {"config": SHAPE},
        "seq_length": sum(lengths),
        "micro_batch_size": rows,
        "global_batch_size": rows * accumulation,
        "schedule": {"max_steps": 2},
        "ds_config": "zero1",
    }
    tiny = {**SHAPE, "hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 8}
    asked = {"recipe": recipe, "tiny": tiny, "vocab_size": VOCAB_SIZE, "lengths": lengths, "num_targets": num_targets}
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    (output,) = run([MEASURED, json.dumps({**asked, "accumulation": accumulation})], num_ranks=1)
    measured = json.loads(output.splitlines()[-1])["rss"]

    encoder = encoder_of(SHAPE)
    device = this_machine()
    attention = activations.attention_on(device, "fp32", encoder.config)
    work = Work(rows, sum(lengths), num_targets, "fp32", attention, tuple(lengths) * rows)
    total = num_parameters(encoder)
    layout = Layout(total, 2 * total, 1, "fp32", accumulation, device.is_cpu)
    zero = read_ds_config("zero1")["zero_optimization"]
    predicted = memory.stage_memory(activations.trace(encoder.config, work), layout, zero)
    assert predicted.peak == pytest.approx(measured, rel=0.15)
    assert predicted.weights + predicted.optimizer == 16 * layout.num_parameters
