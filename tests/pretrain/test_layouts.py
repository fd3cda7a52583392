"""One step is the same mathematics however it is laid out."""

from pathlib import Path

import pytest
import torch

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE
from camembert_bio.pretrain import checkpoint, metrics
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain

STAGES = ("zero0", "zero1", "zero2", "zero3")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# The first moment after a step is half of its gradient, exactly.
HALF = {"learning_rate": 1e-3, "betas": [0.5, 0.98], "gradient_clipping": 0}


def share_in_bf16(run: Path) -> float:
    """The share of the gradients of a run's first step that bf16 can hold, but for those that are zero."""
    state = checkpoint.read_optimizer(checkpoint.path_of(run, 1))
    gradients = torch.cat([value.flatten() for name, value in state.items() if name.startswith("exp_avg.")])
    gradients = gradients[gradients != 0]
    return float((gradients == gradients.bfloat16()).float().mean())


@pytest.mark.usefixtures("world_of_one")
def test_loss_and_gradient_norm_of_one_step_are_equal_over_layouts_and_stages(tiny, run_all, tmp_path):
    points = {}
    for world_size, accumulations in ((1, (1, 4)), (2, (1, 2))):
        recipes = []
        for accumulation in accumulations:
            for stage in STAGES:
                folder = tmp_path / f"{world_size}x{accumulation}-{stage}"
                values = tiny(folder, ds_config=stage, schedule={"max_steps": 1}, optimizer=HALF)
                values["micro_batch_size"] = 8 // (world_size * accumulation)
                values["model"]["config"] |= NO_DROPOUT
                recipes.append(values)
        if world_size == 2:
            # One micro-batch a rank at ZeRO 1 to 3, two at 1 and 2.
            low = (1, 2, 3, 5, 6)
            recipes += [
                dict(recipes[place], precision="bf16", output=f"{recipes[place]['output']}-bf16") for place in low
            ]
        if world_size == 1:
            assert {pretrain(config.build(Pretrain, values)) for values in recipes} == {EXIT_DONE}
        else:
            run_all(recipes, world_size)
        for values in recipes:
            folder = tmp_path / values["output"]
            train, heldout, _ = metrics.read(folder)  # the last says how long the checkpoint took
            points[folder.name] = [train["train/loss"], train["train/gradient_norm"], heldout["heldout/loss"]]
    low = {name: points.pop(name) for name in list(points) if name.endswith("bf16")}
    assert (len(points), len(low)) == (16, 5)
    expected = points["1x1-zero0"]
    assert 5 < expected[0] < 8 and expected[1] > 0.1
    for name, values in points.items():
        assert values == pytest.approx(expected, rel=1e-5), name
    for name, values in low.items():
        assert values == pytest.approx(expected, rel=0.01), name
        assert share_in_bf16(tmp_path / name) < 0.9, f"{name}: over micro-batches and ranks gradients add in fp32"
    assert low["2x2-zero1-bf16"] == pytest.approx(low["2x2-zero2-bf16"], rel=2e-3)
