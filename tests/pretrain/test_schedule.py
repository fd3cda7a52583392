import math

import pytest

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import learning_rate, num_steps, num_tokens, phase_of, phases, tokens_before


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
    assert phases(recipe(max_steps=1))[0].tokens_per_step == 512
    assert [num_steps(recipe(max_tokens=number)) for number in (1, 512, 513)] == [1, 1, 2]


def in_phases(*phases, **changes) -> Pretrain:
    values = {"corpus": "c", "output": "o", "seq_length": 64, "global_batch_size": 8, "optimizer": {"learning_rate": 2}}
    return config.build(Pretrain, {**values, "phases": list(phases), **changes})


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("linear", lambda progress: 1 - progress),
        ("cosine", lambda progress: (1 + math.cos(math.pi * progress)) / 2),
        ("1-sqrt", lambda progress: 1 - progress**0.5),
    ],
    ids=["linear", "cosine", "1-sqrt"],
)
def test_the_closed_form_of_each_decay(kind, left):
    values = recipe(max_steps=50, warmup_tokens=10 * 512, kind=kind, final_ratio=0.1)
    expected = [2 * (0.1 + 0.9 * left(step / 40)) for step in range(40)]
    assert [learning_rate(values, step) for step in range(10, 50)] == pytest.approx(expected)
    decays = recipe(max_steps=50, warmup_ratio=0.2, kind="wsd", decay_ratio=0.4, decay_shape=kind, final_ratio=0.1)
    rates = [learning_rate(decays, step) for step in range(50)]
    assert rates[9:30] == [2] * 21
    assert rates[30:] == pytest.approx([2 * (0.1 + 0.9 * left(step / 20)) for step in range(20)])


def test_wsd_falls_by_a_root_over_the_last_tenth_unless_told_otherwise():
    values = recipe(max_tokens=100 * 512, warmup_ratio=0, kind="wsd")
    rates = [learning_rate(values, step) for step in range(100)]
    assert rates[:90] == [2] * 90
    assert rates[90:] == pytest.approx([2 * (1 - (step / 10) ** 0.5) for step in range(10)])


def test_phases_fill_in_what_they_leave_out_and_follow_each_other():
    values = in_phases(
        {"max_steps": 3, "seq_length": 32, "global_batch_size": 4},
        {"max_tokens": 1025, "objective": {"kind": "causal"}, "learning_rate": 1},
        {"max_steps": 5, "seq_length": 32, "micro_batch_size": 2},
    )
    first, second, third = phases(values)
    assert [phase.num_steps for phase in phases(values)] == [3, 3, 5] and num_steps(values) == 11
    assert [phase.first_step for phase in phases(values)] == [0, 3, 6]
    assert [phase.first_token for phase in phases(values)] == [0, 384, 1920]
    assert num_tokens(values) == 1920 + 5 * 256
    # The third reads on in the windows of 32 where the first stopped.
    assert [phase.first_sample for phase in phases(values)] == [0, 0, 12]
    assert (second.objective.kind, first.objective.kind) == ("causal", "masked")
    assert (second.seq_length, second.global_batch_size, third.micro_batch_size, first.micro_batch_size) == (
        64,
        8,
        2,
        8,
    )
    assert [phase_of(values, step).number for step in (0, 2, 3, 5, 6, 10, 11)] == [1, 1, 2, 2, 3, 3, 3]
    assert [tokens_before(values, step) for step in (0, 2, 3, 4, 6, 11)] == [0, 256, 384, 896, 1920, 3200]


def test_the_run_has_one_curve_over_its_phases_unless_a_phase_has_its_own():
    lengths = [{"max_steps": 20, "global_batch_size": 4}, {"max_steps": 10}]
    whole, parts = recipe(max_steps=20, warmup_ratio=0.1), in_phases(*lengths, schedule={"warmup_ratio": 0.1})
    # Two steps of half the batch have the tokens of one: the curve is counted in tokens.
    assert [learning_rate(parts, step) for step in range(4, 20, 2)] == [
        learning_rate(whole, step) for step in range(2, 10)
    ]
    assert [learning_rate(parts, step) for step in range(20, 30)] == [
        learning_rate(whole, step) for step in range(10, 20)
    ]
    own = in_phases(
        lengths[0],
        {**lengths[1], "learning_rate": 3, "schedule": {"kind": "1-sqrt"}},
        schedule={"kind": "constant", "warmup_ratio": 0},
    )
    assert [learning_rate(own, step) for step in range(20)] == [2] * 20
    assert [learning_rate(own, 20 + step) for step in range(10)] == pytest.approx(
        [3 * (1 - (step / 10) ** 0.5) for step in range(10)]
    )


def test_a_mask_rate_goes_linearly_from_its_first_value_to_its_last():
    phase = {"objective": {"mlm_probability": 0.3, "final_mlm_probability": 0.15}}
    values = in_phases({"max_steps": 2}, {"max_steps": 6, **phase}, {"max_steps": 1, **phase})
    rates = [phase_of(values, step).mlm_probability(step) for step in range(9)]
    assert rates == pytest.approx([0.15, 0.15, 0.3, 0.27, 0.24, 0.21, 0.18, 0.15, 0.3])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phases": [{"max_tokens": 0}]}, r"phases\.0\.max_tokens: .*greater than 0"),
        ({"phases": [{}]}, "give a phase exactly one of max_steps and max_tokens"),
        ({"phases": [{"max_steps": 1, "max_tokens": 1}]}, "give a phase exactly one of max_steps and max_tokens"),
        (
            {"phases": [{"max_steps": 1}], "schedule": {"max_steps": 1}},
            "remove schedule.max_steps and schedule.max_tok",
        ),
        ({"phases": [{"max_steps": 1, "seqlength": 8}]}, r"phases\.0\.seqlength: unknown option .*'seq_length'"),
        ({"schedule": {"max_steps": 1, "decay_ratio": 0.2}}, "decay_ratio and decay_shape are wsd's; remove them"),
        ({"schedule": {"max_steps": 1, "kind": "wsd", "warmup_ratio": 0.5, "decay_ratio": 0.6}}, "exceed 1 together"),
        ({"objective": {"kind": "causal", "final_mlm_probability": 0.1}}, "a causal objective masks nothing"),
    ],
)
def test_phases_and_curves_that_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        config.build(Pretrain, {"corpus": "c", "output": "o", **values})


def test_one_length_is_asked_for():
    for schedule in ({}, {"max_steps": 1, "max_tokens": 1}):
        with pytest.raises(Exception, match=r"give exactly one of schedule\.max_steps and schedule\.max_tokens"):
            recipe(**schedule)
