import numpy as np
import pytest

from winnow.core.errors import BudgetError, OptionError
from winnow.selectors.random import Random

LABELS = np.random.default_rng(1).integers(0, 4, 200)


def test_every_example_is_as_likely():
    draws = 2000
    counts = np.zeros(20)
    for seed in range(draws):
        counts[Random().select(None, LABELS[:20], r=0.25, seed=seed).indices] += 1
    assert np.all(np.abs(counts / draws - 0.25) < 4.5 * np.sqrt(0.25 * 0.75 / draws))


def test_nothing_is_signal_and_all_weigh_one():
    subset = Random().select(None, LABELS, r=0.3, alpha=0.9, seed=0)
    assert not subset.is_signal.any()
    assert np.all(subset.weights == 1)


def test_a_smaller_subset_is_part_of_a_larger():
    small, large = (Random().select(None, LABELS, r=r, seed=7).indices for r in (0.1, 0.45))
    assert set(small) < set(large)


def test_exact_balance_shares_by_class():
    labels = np.repeat([0, 1, 2], [40, 100, 60])
    subset = Random(balance="exact").select(None, labels, r=0.1, seed=0)
    assert np.bincount(labels[subset.indices]).tolist() == [4, 10, 6]


def test_rule():
    assert Random().rule(None, 0.5) == "random"
    assert Random(balance="exact").rule("el2n", 0.5) == "random balance=exact"
    assert Random(balance=0.5).rule("el2n", 0.0) == "random balance=0.5"


@pytest.mark.parametrize("balance", ["even", 0, 1.5, -1, True])
def test_unknown_balance(balance):
    with pytest.raises(OptionError, match="balance"):
        Random(balance=balance)


def test_floors_beyond_the_budget():
    with pytest.raises(BudgetError, match=r"at least 50 examples of 50 classes, but r=0.1 keeps 5"):
        Random(balance=0.5).check(np.arange(50), r=0.1, alpha=0)
