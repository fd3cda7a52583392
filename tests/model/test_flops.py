from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForMaskedLM, ModernBertConfig

from camembert_bio.model.families import head_logits
from camembert_bio.model.flops import model_flops

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 120}
BASE = {"num_hidden_layers": 2, "vocab_size": 32_005, "max_position_embeddings": 514}
"""camembert-base's widths in few layers."""


def profiled(config, lengths, num_targets, checkpointed):
    """FLOPs of forward and backward by torch's counter, one segment a row: then no attention is masked away.

    Attention is the eager one, for the counter does not know SDPA on CPU. Wide models run on fake tensors.
    """
    mode = FakeTensorMode() if config.hidden_size > 32 else nullcontext()
    with mode, FlopCounterMode(display=False) as counter:
        model = AutoModelForMaskedLM.from_config(config, attn_implementation="eager").train()
        if checkpointed:
            model.gradient_checkpointing_enable()
        for length in lengths:
            hidden = model.base_model(torch.zeros(1, length, dtype=torch.long)).last_hidden_state[0]
            logits = head_logits(model, hidden[: num_targets // len(lengths)])
            F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long), reduction="sum").backward()
    return counter.get_total_flops()


CASES = [
    pytest.param("camembert", TINY, [7, 33, 24], False, id="camembert"),
    pytest.param("camembert", TINY, [7, 33, 24], True, id="checkpointed"),
    pytest.param("bert", TINY, [7, 33, 24], False, id="bert"),
    pytest.param(
        "modernbert",
        {**TINY, "pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 2, "cls_token_id": 2, "sep_token_id": 3},
        [7, 33, 24],
        False,
        id="modernbert",
    ),
    pytest.param("camembert", BASE, [100, 350], False, id="base widths"),
]


@pytest.mark.parametrize(("model_type", "shape", "lengths", "checkpointed"), CASES)
def test_flops_are_those_of_the_profiler(model_type, shape, lengths, checkpointed):
    config, num_targets = AutoConfig.for_model(model_type, **shape), 6 * len(lengths)
    flops = model_flops(config)
    counted = flops.executed(lengths, num_targets) if checkpointed else flops.training(lengths, num_targets)
    assert counted == pytest.approx(profiled(config, lengths, num_targets, checkpointed), rel=0.02)


def test_the_published_shape_costs_what_is_known_of_it():
    flops = model_flops(AutoConfig.for_model("camembert", vocab_size=32_005))
    # By hand for 12 layers of 768 at length 512, 15 % masked, a token: 588.9 MFLOP.
    assert (flops.training([512] * 20, 1536)) / (20 * 512) == pytest.approx(588.9e6, rel=1e-4)


def seen(length, reach, causal):
    """Pairs by trying every one."""
    places = np.arange(length)
    apart = places[:, None] - places[None]
    return int(((np.abs(apart) <= reach) & ((apart >= 0) | (not causal))).sum())


@pytest.mark.parametrize("causal", [False, True])
def test_local_and_causal_attention_counts_the_pairs_that_are_seen(causal):
    config = ModernBertConfig(num_hidden_layers=4, local_attention=10, hidden_size=32, intermediate_size=48)
    assert config.layer_types.count("full_attention") == 2
    flops, lengths = model_flops(config), [1, 2, 5, 6, 7, 40]
    pairs = sum(2 * seen(n, n, causal) + 2 * seen(n, 5, causal) for n in lengths)
    assert flops.layers(lengths, causal) == flops.per_token * sum(lengths) + 4 * 32 * pairs
    assert flops.per_token == 2 * 4 * (4 * 32 * 32 + 3 * 32 * 48)
