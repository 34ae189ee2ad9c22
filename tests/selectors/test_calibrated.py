from itertools import pairwise

import numpy as np
import pytest

from winnow.core.errors import BudgetError, OptionError
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random

N = 300
RNG = np.random.default_rng(11)
SCORES = RNG.normal(size=N) ** 2
LABELS = RNG.permutation(np.repeat([0, 1, 2], [40, 100, 160]))
CORRELATED = SCORES + 0.3 * RNG.normal(size=N) + 0.5 * LABELS
UNRELATED = RNG.exponential(size=N)


def weight_of(selector, *, n, r, alpha):
    """The weights of signal and explored examples of n with distinct scores."""
    subset = selector.select(np.arange(n), np.zeros(n, dtype=int), r=r, alpha=alpha, seed=3)
    return set(subset.weights[subset.is_signal].tolist()), set(subset.weights[~subset.is_signal].tolist())


def test_signal_is_the_hardest_and_the_rest_is_drawn():
    subset = Calibrated().select(np.arange(20), np.zeros(20, dtype=int), r=0.5, alpha=0.4, seed=0)
    assert subset.indices[subset.is_signal].tolist() == [16, 17, 18, 19]
    assert (~subset.is_signal).sum() == 6


def test_weights_by_hand():
    # n = 20, m = 10, s = 4, e = 6: γ = 16/6; exact w_S = 1/2, w_E = 4/3.
    assert weight_of(Calibrated(), n=20, r=0.5, alpha=0.4) == ({0.5}, {16 / 12})
    assert weight_of(Calibrated(protocol="approximate"), n=20, r=0.5, alpha=0.4) == ({1.0}, {1.0})
    # n = 10, m = 5, s = 1, e = 4: γ = 9/4, and tau = 1/2 makes it 3/2; w_S = 5 / (1 + 6), w_E = 3/2 of it.
    (w_signal,), (w_explored,) = weight_of(Calibrated(protocol="tempered"), n=10, r=0.5, alpha=0.2)
    assert (w_signal, w_explored) == (pytest.approx(5 / 7), pytest.approx(7.5 / 7))


def test_weights_use_the_rounded_counts():
    # r n = 3.5 and alpha m = 1.2 round to m = 4 and s = 1: w_S = 4/7 and w_E = (4/7)(6/3), not r and (1 − αr)/(1 − α).
    (w_signal,), (w_explored,) = weight_of(Calibrated(), n=7, r=0.5, alpha=0.3)
    assert (w_signal, w_explored) == (4 / 7, pytest.approx(8 / 7))


def test_tempered_ends_are_the_other_protocols():
    one, exact = (
        s.select(SCORES, LABELS, r=0.3, alpha=0.5, seed=0)
        for s in (Calibrated(protocol="tempered", tau=1), Calibrated())
    )
    assert one.content_hash == exact.content_hash
    none = Calibrated(protocol="tempered", tau=0).select(SCORES, LABELS, r=0.3, alpha=1, seed=0)
    assert np.all(none.weights == 1)


def test_stratified_weights_by_hand():
    labels = np.repeat([0, 1], [10, 30])
    subset = Calibrated(balance="exact").select(np.arange(40), labels, r=0.5, alpha=0.4, seed=0)
    # Class 0: n = 10, m = 5, s = 2; class 1: n = 30, m = 15, s = 6. γ = 8/3 and 24/9; w_S = 1/2.
    assert np.bincount(labels[subset.indices]).tolist() == [5, 15]
    assert np.bincount(labels[subset.indices[subset.is_signal]]).tolist() == [2, 6]
    assert np.all(subset.weights[subset.is_signal] == 0.5)
    assert subset.weights[~subset.is_signal] == pytest.approx(4 / 3)


@pytest.mark.parametrize("balance", [None, "exact", 0.5])
@pytest.mark.parametrize("protocol", ["exact", "approximate", "tempered"])
@pytest.mark.parametrize("alpha", [0, 0.3, 1])
def test_full_data_weigh_exactly_one(protocol, balance, alpha):
    tau = {"tau": 0.37} if protocol == "tempered" else {}
    subset = Calibrated(protocol=protocol, balance=balance, **tau).select(SCORES, LABELS, r=1, alpha=alpha, seed=0)
    assert np.array_equal(subset.indices, np.arange(N))
    assert np.all(subset.weights == 1.0)


@pytest.mark.parametrize("protocol", ["exact", "approximate", "tempered"])
@pytest.mark.parametrize("r", [0.05, 0.31, 0.7])
def test_without_signal_it_is_random(protocol, r):
    subset = Calibrated(protocol=protocol).select(SCORES, LABELS, r=r, alpha=0, seed=5)
    assert subset.content_hash == Random().select(None, LABELS, r=r, seed=5).content_hash


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
def test_a_smaller_subset_is_part_of_a_larger(alpha):
    nested = [set(Calibrated().select(SCORES, LABELS, r=r, alpha=alpha, seed=2).indices) for r in (0.1, 0.3, 0.6, 1)]
    assert all(small < large for small, large in pairwise(nested))


def estimates(selector, *values, alpha, r, draws=200):
    """Weighted means of each of the values over subsets of as many seeds, [values, draws]."""
    subsets = [selector.select(SCORES, LABELS, r=r, alpha=alpha, seed=seed) for seed in range(draws)]
    return np.array([[subset.weights @ each[subset.indices] / subset.m for subset in subsets] for each in values])


def distances_in_standard_errors(selector, *values, **point):
    drawn = estimates(selector, *values, **point)
    return abs(drawn.mean(axis=1) - np.mean(values, axis=1)) / (drawn.std(axis=1, ddof=1) / np.sqrt(drawn.shape[1]))


@pytest.mark.parametrize("balance", [None, "exact", 0.5, 0.95])
@pytest.mark.parametrize(("alpha", "r"), [(0.25, 0.1), (0.5, 0.3), (0.8, 0.2), (0.3, 0.75)])
def test_exact_weights_are_unbiased(balance, alpha, r):
    assert max(distances_in_standard_errors(Calibrated(balance=balance), CORRELATED, UNRELATED, alpha=alpha, r=r)) < 4


def test_keys_that_chose_the_class_budgets_do_not_choose_the_examples():
    # Only the five hardest of class 1 count. Sharing the keys would overestimate their mean by six standard errors.
    rng = np.random.default_rng(0)
    scores, labels = np.concatenate([rng.random(12), rng.random(12) + 0.5]), np.repeat([0, 1], 12)
    values = (scores > np.sort(scores[12:])[-5]).astype(float)
    subsets = (Calibrated(balance=0.5).select(scores, labels, r=0.5, alpha=0.5, seed=s) for s in range(3000))
    drawn = np.array([subset.weights @ values[subset.indices] / subset.m for subset in subsets])
    assert abs(drawn.mean() - values.mean()) < 4 * drawn.std() / np.sqrt(drawn.size)


@pytest.mark.parametrize("balance", [None, "exact"])
@pytest.mark.parametrize("protocol", ["approximate", "tempered"])
def test_other_weights_are_biased_towards_the_signal(protocol, balance):
    selector = Calibrated(protocol=protocol, balance=balance)
    assert distances_in_standard_errors(selector, CORRELATED, alpha=0.5, r=0.3, draws=100) > 4
    assert estimates(selector, CORRELATED, alpha=0.5, r=0.3, draws=50).mean() > CORRELATED.mean()


def test_no_explored_example_is_an_error_before_there_are_scores():
    for alpha in (1, 0.99):
        with pytest.raises(BudgetError, match=r"at least 1 kept at random.*protocol=approximate"):
            Calibrated().check(LABELS, r=0.1, alpha=alpha)
    with pytest.raises(BudgetError):
        Calibrated(protocol="tempered").check(LABELS, r=0.1, alpha=1)
    with pytest.raises(BudgetError, match="at least 3 kept at random"):
        Calibrated(balance="exact").check(LABELS, r=0.1, alpha=0.95)
    Calibrated(protocol="approximate").check(LABELS, r=0.1, alpha=1)
    Calibrated().check(LABELS, r=1, alpha=1)


def test_a_class_without_a_kept_example_is_an_error():
    labels = np.repeat([0, 1], [3, 97])
    with pytest.raises(BudgetError, match="a class of 3 examples keeps none"):
        Calibrated(balance="exact").check(labels, r=0.1, alpha=0)
    Calibrated(protocol="approximate", balance="exact").check(labels, r=0.1, alpha=0)


def test_a_class_that_is_cut_keeps_an_explored_example():
    labels = np.repeat([0, 1], [10, 90])
    subset = Calibrated(balance="exact").select(np.arange(100), labels, r=0.2, alpha=0.9, seed=0)
    explored = labels[subset.indices[~subset.is_signal]]
    assert np.bincount(explored).tolist() == [1, 1]


def test_rule_and_protocol():
    assert Calibrated().rule("el2n", 0.5) == "el2n exact 0.5"
    assert Calibrated(protocol="tempered").rule("el2n", 0.5) == "el2n tempered 0.5 tau=0.5"
    assert Calibrated(protocol="approximate", balance="exact").rule("aum", 0.25) == "aum approximate 0.25 balance=exact"
    assert Calibrated(protocol="approximate").protocol == "approximate"
    assert Calibrated().effective_alpha(0.3) == 0.3


def test_bad_options():
    with pytest.raises(OptionError, match="exact, approximate, tempered"):
        Calibrated(protocol="unbiased")
    with pytest.raises(OptionError, match="tau"):
        Calibrated(protocol="tempered", tau=1.5)
