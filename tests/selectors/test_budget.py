import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import BudgetError
from winnow.selectors.budget import kept_count, largest_remainder, least_counts, round_half_up


@pytest.mark.parametrize(
    ("x", "rounded"),
    [(0.5, 1), (1.5, 2), (2.5, 3), (2.49, 2), (0.0, 0), (0.285 * 100, 29), (0.1 * 5, 1), (1.005 * 100 + 2, 103)],
)
def test_halves_go_up(x, rounded):
    assert round_half_up(x) == rounded


def test_kept_count():
    assert [kept_count(10, r) for r in (0.05, 0.25, 0.5, 1)] == [1, 3, 5, 10]


@pytest.mark.parametrize("r", [0, -0.1, 1.1, float("nan")])
def test_r_outside_its_range(r):
    with pytest.raises(BudgetError, match=rf"r={r} .* 10 examples .*\(0, 1\]"):
        kept_count(10, r)


def test_less_than_one_example():
    with pytest.raises(BudgetError, match=r"r=0.01 of n=10 .* raise r to 0.05"):
        kept_count(10, 0.01)


def test_least_counts_do_not_round_an_exact_product_up():
    assert least_counts(np.array([30, 10, 1]), 0.1).tolist() == [3, 1, 1]


def test_largest_remainder_by_hand():
    caps = np.array([10, 10, 10])
    assert largest_remainder(np.array([2.5, 1.2, 3.3]), 7, caps).tolist() == [3, 1, 3]
    assert largest_remainder(np.array([2.5, 2.5, 2.5]), 8, caps).tolist() == [3, 3, 2]
    assert largest_remainder(np.array([4.0, 1.0, 1.0]), 6, np.array([1, 3, 10])).tolist() == [1, 3, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.floats(0.02, 1))
def test_largest_remainder_is_within_one_of_each_share(sizes, r):
    sizes = np.array(sizes)
    total = round_half_up(r * sizes.sum())
    budgets = largest_remainder(r * sizes, total, sizes)
    assert budgets.sum() == total
    assert np.all(budgets <= sizes)
    assert np.all(np.abs(budgets - r * sizes) < 1 + 1e-6)
