import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from camembert_bio.evaluation.power import detectable, power, seeds_needed
from camembert_bio.evaluation.spread import Ratios, Spread, spread_of
from camembert_bio.evaluation.statistics import analytic_interval, difference, holm, interval
from camembert_bio.evaluation.wording import ENOUGH_DOCUMENTS, FEWEST_DOCUMENTS
from tests.evaluation.synthetic import World

NUM_EXPERIMENTS = 1000
NUM_DRAWS = 1000

# As EMEA: few long documents. As E3C: more, shorter, ten seeds. Where seeds or single cells vary most. Short titles.
WORLDS = {
    "few documents": World(10, 15, mean_gold=146, document=0.5, seed=0.05, both=0.2, model=0.2, dispersion=18),
    "documents vary": World(10, 45, mean_gold=17, document=0.5, seed=0.05, both=0.2, model=0.2),
    "seeds vary": World(5, 60, mean_gold=30, document=0.2, seed=0.15, both=0.2, model=0.05),
    "cells vary": World(10, 45, mean_gold=30, document=0.2, seed=0.02, both=0.8),
}


@pytest.mark.parametrize("name", WORLDS)
def test_intervals_cover_the_truth_at_the_nominal_rate(name):
    truth = WORLDS[name].truth()
    experiments = WORLDS[name].experiments(NUM_EXPERIMENTS, np.random.default_rng(1))
    found = [interval(ratios, num_draws=NUM_DRAWS) for (ratios,) in experiments]
    covered = sum(one.low <= truth <= one.high for one in found)
    assert binomtest(covered, NUM_EXPERIMENTS, 0.95).pvalue > 0.002, covered
    means = np.array([one.mean for one in found])
    errors = np.array([spread_of(ratios).standard_error for (ratios,) in experiments])
    assert (errors**2).mean() / means.var() == pytest.approx(1, abs=0.2)


# A label that half of the documents, or a third, do not have.
LABEL = World(5, 45, mean_gold=4, document=0.5, seed=0.1, both=0.2, absent=0.5)
LABELLED = {"all": WORLDS["documents vary"], "label": LABEL, "few": replace(LABEL, num_documents=15, absent=0.3)}


@pytest.mark.parametrize("measure", ["precision", "recall", "f1"])
@pytest.mark.parametrize("name", LABELLED)
def test_intervals_without_draws_cover_the_truth_at_the_nominal_rate(name, measure):
    truth = LABELLED[name].truth()
    experiments = LABELLED[name].experiments(NUM_EXPERIMENTS, np.random.default_rng(1), measure=measure)
    found = [analytic_interval(ratios) for (ratios,) in experiments]
    covered = sum(one.low <= truth <= one.high for one in found)
    assert binomtest(covered, NUM_EXPERIMENTS, 0.95).pvalue > 0.002, covered


@pytest.mark.parametrize("num_seeds", [5, 10])
def test_equal_models_on_the_fewest_documents_differ_at_most_at_the_nominal_rate(num_seeds):
    world = World(num_seeds, ENOUGH_DOCUMENTS, mean_gold=30, document=0.2, seed=0.15, both=0.2, model=0.05)
    experiments = world.experiments(NUM_EXPERIMENTS, np.random.default_rng(2), num_models=2)
    found = [difference(*models, num_draws=NUM_DRAWS // 2) for models in experiments]
    check_rates(found)


@pytest.fixture(scope="module", params=["documents vary", "seeds vary"])
def equal_models(request):
    """Experiments in which both models are the same, each with its own luck."""
    experiments = WORLDS[request.param].experiments(NUM_EXPERIMENTS, np.random.default_rng(2), num_models=2)
    return request.param, experiments, [difference(*models, num_draws=NUM_DRAWS) for models in experiments]


def test_equal_models_differ_at_most_at_the_nominal_rate(equal_models):
    _, _, found = equal_models
    check_rates(found)


def check_rates(found):
    """Of differences of equal models: those that are told, and the intervals that leave out 0."""
    for p in (lambda one: one.p, lambda one: one.p_permutation):
        told = sum(p(one) <= 0.05 for one in found)
        assert binomtest(told, NUM_EXPERIMENTS, 0.05, alternative="greater").pvalue > 0.002, told
    covered = sum(one.interval.low <= 0 <= one.interval.high for one in found)
    assert binomtest(covered, NUM_EXPERIMENTS, 0.95, alternative="less").pvalue > 0.002, covered


def test_documents_alone_take_the_luck_of_seeds_for_a_difference(equal_models):
    name, experiments, _ = equal_models
    if name != "seeds vary":
        pytest.skip("seeds that hardly vary fool nobody")

    def of_one_model(ratios):
        return Ratios(ratios.numerator.mean(0, keepdims=True), ratios.denominator.mean(0, keepdims=True))

    averaged = [difference(*map(of_one_model, models), num_draws=NUM_DRAWS).p for models in experiments[:300]]
    assert sum(p <= 0.05 for p in averaged) > 60


def mean_of(spreads):
    """The spread that experiments vary around."""
    return Spread(
        **{name: np.mean([getattr(one, name) for one in spreads]) for name in spreads[0].__dataclass_fields__}
    )


def test_a_true_difference_is_told_as_often_as_the_power_says():
    world = World(8, 45, mean_gold=30, document=0.4, seed=0.1, both=0.2, model=0.1, gain=0.2)
    experiments = world.experiments(200, np.random.default_rng(3), num_models=2)
    found = [difference(*models, num_draws=NUM_DRAWS) for models in experiments]
    expected = power(mean_of([one.spread for one in found]), np.mean([one.interval.mean for one in found]))
    told = np.mean([one.p <= 0.05 for one in found])
    assert 0.3 < expected < 0.9
    assert told == pytest.approx(expected, abs=0.1)


def test_the_seeds_that_are_needed_suffice_and_fewer_do_not():
    world = World(10, 60, mean_gold=30, document=0.4, seed=0.1, both=0.2, model=0.05, gain=0.12)
    pilots = [difference(*models, num_draws=2) for models in world.experiments(60, np.random.default_rng(4), 2)]
    gain = float(np.mean([one.interval.mean for one in pilots]))
    needed = seeds_needed(mean_of([one.spread for one in pilots]), gain)
    rates = []
    for seeds in (needed // 2, needed):
        runs = replace(world, num_seeds=seeds).experiments(120, np.random.default_rng(5), 2)
        rates.append(np.mean([difference(*models, num_draws=NUM_DRAWS).p <= 0.05 for models in runs]))
    assert rates[1] == pytest.approx(0.8, abs=0.1)
    assert rates[0] < 0.65


def test_holm_is_the_closed_test_of_bonferroni():
    rng = np.random.default_rng(6)
    for size in range(1, 7):
        p_values = rng.uniform(0, 0.3, size).tolist()
        sets = [s for n in range(1, size + 1) for s in itertools.combinations(range(size), n)]
        for index, adjusted in enumerate(holm(p_values)):
            bounds = [min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets if index in s]
            assert adjusted == pytest.approx(max(bounds))
    assert holm([]) == []
    assert holm([0.01, 0.01]) == [0.02, 0.02]


def ratios(numerator, denominator):
    return Ratios(np.array(numerator, dtype=float), np.array(denominator, dtype=float))


def test_the_score_of_a_seed_is_over_all_documents():
    table = ratios([[2, 4], [0, 0]], [[4, 8], [0, 0]])
    assert table.per_seed.tolist() == [0.5, 0.0]
    assert interval(table).mean == 0.25


def test_one_seed_varies_by_documents_alone():
    (table,) = World(1, 40, 20, 0.5, 0.3, 0.2).experiments(1, np.random.default_rng(7))[0:1][0]
    found, spread = interval(table), spread_of(table)
    assert spread.seed_variance == 0 < spread.document_part
    assert found.low < found.mean < found.high
    assert seeds_needed(spread, 0.01) is None


def test_one_document_has_no_interval():
    table = ratios([[2.0], [3.0]], [[4.0], [4.0]])
    found = interval(table)
    assert (found.mean, found.low, found.high) == (0.625, None, None)
    with pytest.raises(ValueError, match="two documents"):
        difference(table, table)


def test_other_seeds_or_documents_cannot_be_compared():
    with pytest.raises(ValueError, match="the same seeds and documents"):
        difference(ratios([[1, 2]], [[3, 4]]), ratios([[1, 2, 3]], [[3, 4, 5]]))


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_what_never_varies_has_no_interval_and_nothing_is_told_of_it(value):
    table = ratios(np.full((3, 5), value), np.full((3, 5), 4.0))
    for found in (interval(table), analytic_interval(table)):
        assert (found.low, found.mean, found.high) == (None, value / 4, None)
    same = difference(table, table)
    assert (same.p, same.p_permutation, same.interval.mean, same.effect) == (1.0, 1.0, 0.0, None)
    assert (same.interval.low, detectable(same.spread), seeds_needed(same.spread, 0.01)) == (None, None, None)
    with pytest.raises(ValueError, match="a standard error of 0 says nothing"):
        power(same.spread, 0.1)


def test_no_entity_at_all_scores_zero():
    found = interval(ratios(np.zeros((2, 3)), np.zeros((2, 3))))
    assert (found.low, found.mean, found.high) == (None, 0.0, None)


@pytest.mark.parametrize("num_documents", [2, 3, 5, 6, 20])
@pytest.mark.parametrize("size", [1.0, 3.0])  # thirds do not add up exactly
def test_all_right_against_all_wrong_is_told_from_six_documents_on(num_documents, size):
    shape = (5, num_documents)
    found = difference(ratios(np.zeros(shape), np.full(shape, size)), ratios(np.ones(shape), np.full(shape, size)))
    assert found.p == pytest.approx(2.0 ** (1 - num_documents), abs=0.015)
    assert (found.p < 0.05) == (num_documents >= FEWEST_DOCUMENTS)
    assert (found.interval.low, detectable(found.spread), seeds_needed(found.spread, 0.01)) == (None, None, None)


def test_one_document_out_of_many_tells_nothing():
    wrong, right = np.zeros((5, 40)), np.zeros((5, 40))
    right[:, 7] = 2.0
    sizes = np.zeros((5, 40))
    sizes[:, 7] = 2.0
    found = difference(ratios(wrong, sizes), ratios(right, sizes))
    assert (found.p, found.interval.low) == (1.0, None)
    found = difference(ratios(wrong, sizes + 1), ratios(right, sizes + 1))
    assert found.p == 1.0


def test_too_few_documents_have_no_power_whatever_the_seeds():
    ((one, two),) = World(5, 5, 30, 0.4, 0.05, 0.2, gain=2.0).experiments(1, np.random.default_rng(1), num_models=2)
    found = difference(one, two)
    assert found.spread.varies and found.p > 0.05
    assert power(found.spread, 1.0) == 0.0
    assert detectable(found.spread) is seeds_needed(found.spread, 0.5) is None


@pytest.mark.parametrize("where", [(0,), (0, 1), (0, 1, 2)])
def test_a_mean_lies_within_its_interval_where_few_documents_count(where):
    rng = np.random.default_rng(0)
    found, size = np.zeros((5, 5)), np.zeros((5, 5))
    size[:, where] = 20.0
    found[:, where] = rng.binomial(20, 0.58, size=(5, len(where)))
    for around in (interval(ratios(found, size)), analytic_interval(ratios(found, size))):
        assert (around.low is None) == (len(where) == 1)
        assert around.low is None or around.low < around.mean < around.high
    gain = difference(ratios(found, size), ratios(found + (size > 0), size))
    assert gain.interval.low is None or gain.interval.low <= gain.interval.mean <= gain.interval.high


def test_draws_that_leave_a_seed_nothing_to_count_do_not_count_as_zero():
    """Precision where each of three seeds predicts in two documents of its own."""
    size = np.kron(np.eye(3), np.full((1, 2), 20.0))
    found = interval(ratios(size / 2 + (size > 0) * np.array([1, -1, 2, 0, 0, -2]), size))
    assert 0.3 < found.low < found.mean < found.high < 0.7


def test_the_same_model_twice_differs_by_nothing():
    ((table,),) = World(5, 20, 20, 0.5, 0.1, 0.2).experiments(1, np.random.default_rng(8))
    found = difference(table, table)
    assert (found.p, found.p_permutation) == (1.0, 1.0)


def test_a_model_that_is_better_everywhere_is_told_and_the_sign_is_right():
    world = World(5, 40, 30, 0.4, 0.02, 0.1, gain=0.8)
    ((one, two),) = world.experiments(1, np.random.default_rng(9), num_models=2)
    up, down = difference(one, two), difference(two, one)
    assert up.p < 0.001
    assert 0 < up.interval.low < up.interval.mean < up.interval.high
    assert down.interval.mean == -up.interval.mean
    assert up.effect == pytest.approx(np.mean(up.per_seed) / np.std(up.per_seed, ddof=1))
    assert difference(one, two) == up  # nothing is drawn anew


def test_few_draws_end_where_the_t_distribution_does():
    (table,) = World(2, 3, 20, 0.5, 0.3, 0.2).experiments(1, np.random.default_rng(10))[0]
    found = interval(table)
    assert 0 <= found.low < found.mean < found.high <= 1


def test_documents_limit_what_any_number_of_seeds_can_tell():
    ((one, two),) = World(10, 15, 20, 0.5, 0.05, 0.2, model=0.4).experiments(1, np.random.default_rng(11), 2)
    spread = difference(one, two).spread
    assert seeds_needed(spread, 0.001) is None
    smallest = detectable(spread)
    assert power(spread, smallest) == pytest.approx(0.8, abs=1e-3)
    assert 2 <= seeds_needed(spread, 2 * smallest) <= 10


def test_of_what_varies_by_rounding_alone_nothing_is_told():
    spread = Spread(1, 30, seed_variance=0.0, residual_variance=0.0, document_variance=1e-34, document_df=29.0)
    assert power(spread, 0.5) == 1.0
    assert not spread.varies and detectable(spread) is None
