import pytest

from camembert_bio import config
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import learning_rate, num_steps, tokens_per_step


def recipe(**schedule) -> Pretrain:
    values = {"corpus": "c", "output": "o", "seq_length": 64, "global_batch_size": 8, "optimizer": {"learning_rate": 2}}
    return config.build(Pretrain, {**values, "schedule": schedule})


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
def test_the_rate_rises_to_the_peak_and_no_step_runs_at_zero(kind):
    values = recipe(max_steps=100, warmup_ratio=0.1, kind=kind)
    rates = [learning_rate(values, step) for step in range(100)]
    assert rates[:10] == pytest.approx([2 * (step + 1) / 10 for step in range(10)])
    assert rates[10] == max(rates) == 2
    assert min(rates) > 0
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_sum_of_a_linear_schedule():
    # Warm-up 2 * (1 + ... + 10) / 10, decay 2 * (90 + ... + 1) / 90.
    assert sum(learning_rate(recipe(max_steps=100, warmup_ratio=0.1), step) for step in range(100)) == pytest.approx(
        11 + 91
    )


def test_the_final_ratio_bounds_the_decay():
    values = recipe(max_steps=100, warmup_ratio=0, kind="cosine", final_ratio=0.1)
    assert learning_rate(values, 0) == 2
    assert learning_rate(values, 50) == pytest.approx(2 * 0.55)
    assert 0.2 < learning_rate(values, 99) < 0.21


def test_tokens_become_the_steps_that_reach_them():
    assert tokens_per_step(recipe(max_steps=1)) == 512
    assert [num_steps(recipe(max_tokens=number)) for number in (1, 512, 513)] == [1, 1, 2]


def test_one_length_is_asked_for():
    for schedule in ({}, {"max_steps": 1, "max_tokens": 1}):
        with pytest.raises(Exception, match=r"give exactly one of schedule\.max_steps and schedule\.max_tokens"):
            recipe(**schedule)
