"""One step is the same mathematics however it is laid out."""

import pytest

from camembert_bio import config
from camembert_bio.errors import EXIT_DONE
from camembert_bio.pretrain import metrics
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain

STAGES = ("zero0", "zero1", "zero2", "zero3")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.mark.usefixtures("world_of_one")
def test_loss_and_gradient_norm_of_one_step_are_equal_over_layouts_and_stages(tiny, run_all, tmp_path):
    points = {}
    for world_size, accumulations in ((1, (1, 4)), (2, (1, 2))):
        recipes = []
        for accumulation in accumulations:
            for stage in STAGES:
                folder = tmp_path / f"{world_size}x{accumulation}-{stage}"
                values = tiny(folder, ds_config=stage, schedule={"max_steps": 1})
                values["micro_batch_size"] = 8 // (world_size * accumulation)
                values["model"]["config"] |= NO_DROPOUT
                recipes.append(values)
        if world_size == 2:
            low = [
                dict(recipes[place], precision="bf16", output=f"{recipes[place]['output']}-bf16") for place in (5, 6)
            ]
            recipes += low  # two micro-batches a rank, and communication that overlaps, in ZeRO 1 and 2
        if world_size == 1:
            assert {pretrain(config.build(Pretrain, values)) for values in recipes} == {EXIT_DONE}
        else:
            run_all(recipes, world_size)
        for values in recipes:
            folder = tmp_path / values["output"]
            train, heldout, _ = metrics.read(folder)  # the last says how long the checkpoint took
            points[folder.name] = [train["train/loss"], train["train/gradient_norm"], heldout["heldout/loss"]]
    low = {name: points.pop(name) for name in list(points) if name.endswith("bf16")}
    assert (len(points), len(low)) == (16, 2)
    expected = points["1x1-zero0"]
    assert 5 < expected[0] < 8 and expected[1] > 0.1
    for name, values in points.items():
        assert values == pytest.approx(expected, rel=1e-5), name
    for name, values in low.items():
        assert values == pytest.approx(expected, rel=0.01), name
    assert low["2x2-zero1-bf16"] == pytest.approx(low["2x2-zero2-bf16"], rel=2e-3)
