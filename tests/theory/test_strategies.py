import numpy as np
import pytest

from winnow.core.errors import OptionError
from winnow.theory.perceptron import solve
from winnow.theory.strategies import best_strategy, crossover, envelope


def test_hardest_overtakes_easiest():
    errors = [[solve(alpha, 0.5, keep=keep).error for keep in ("hardest", "easiest")] for alpha in (5.045, 5.055)]
    assert [hardest > easiest for hardest, easiest in errors] == [True, False]
    at = crossover([0.3, 0.5], probe_angle=20)
    for r, alpha in zip((0.3, 0.5), at, strict=True):
        hardest, easiest = (solve(alpha, r, keep=keep, probe_angle=20).error for keep in ("hardest", "easiest"))
        assert hardest == pytest.approx(easiest, rel=1e-5)


def test_hardest_overtakes_random():
    (alpha,) = crossover([0.5], other="random", between=(1, 10))
    assert solve(alpha, 0.5).error == pytest.approx(solve(alpha, 0.5, keep="random").error, rel=1e-5)


def test_no_crossover_is_nan():
    assert np.isnan(crossover(1.0)).all()
    assert np.isnan(crossover([0.5], between=(0.1, 2))).all()
    with pytest.raises(OptionError, match="between"):
        crossover(0.5, between=(2, 1))


def test_the_envelope_is_the_lowest_error_over_fractions():
    kept, r = np.array([0.3, 1.2, 2.0, 6.0]), np.linspace(0.1, 1, 61)
    found = envelope(kept, probe_angle=20)
    table = solve(kept[:, None] / r, r, probe_angle=20).error
    assert np.all(found.error <= table.min(axis=1) * (1 + 1e-9))
    np.testing.assert_allclose(found.error, table.min(axis=1), rtol=1e-3)
    np.testing.assert_allclose(found.r, r[table.argmin(axis=1)], atol=0.016)
    again = solve(kept / found.r, found.r, probe_angle=20).error
    np.testing.assert_allclose(again, found.error, rtol=1e-7)
    for least in (0, 1):
        with pytest.raises(OptionError, match="least"):
            envelope(1.0, least=least)


def test_the_envelope_is_steeper_than_a_power_law_for_a_stretch_only():
    kept = np.array([0.8, 1.2, 1.8, 2.1, 2.5, 3.4, 7, 12])
    found = envelope(kept, least=0.1)
    error = found.error
    assert found.r[kept < 1.5].min() > 0.5
    np.testing.assert_allclose(found.r[kept > 2], 0.1)  # the least allowed
    slope = -np.diff(np.log(error)) / np.diff(np.log(kept))
    middle = np.sqrt(kept[1:] * kept[:-1])
    assert slope[middle < 1.4].max() < 1
    assert slope[(middle > 1.7) & (middle < 2.6)].min() > 1.5
    assert slope[middle > 3.2].max() < 1.3
    np.testing.assert_allclose(slope[middle > 6], 1, atol=0.01)  # a power law again, with the exponent 1
    around = np.array([2.5, 3.4, 3.6, 5])
    imperfect = envelope(around, probe_angle=20).error
    slopes = -np.diff(np.log(imperfect)) / np.diff(np.log(around))
    assert slopes[0] < slopes.max() == pytest.approx(1.39, abs=0.02)
    assert slopes[-1] < slopes.max()
    rate = -np.diff(np.log(error)) / np.diff(kept)  # of an exponential, a constant
    assert rate.max() / rate[middle > 3.2].max() > 5


def test_each_fixed_fraction_is_a_power_law_in_the_end():
    kept = np.array([1e3, 1e4])
    for r, angle in ((0.2, 0), (0.5, 20), (0.8, 40)):
        error = solve(kept / r, r, probe_angle=angle).error
        assert np.log(error[0] / error[1]) / np.log(10) == pytest.approx(1, abs=0.01)


def test_the_best_strategy_has_the_lowest_error():
    alpha, r = np.array([2.0, 5.0, 50.0]), np.array([[0.3], [1.0]])
    found = best_strategy(alpha, r, probe_angle=40)
    assert found.keep.tolist() == [["easiest", "random", "hardest"], ["random"] * 3]
    for keep, error in found.error.items():
        np.testing.assert_allclose(error, solve(alpha, r, keep=keep, probe_angle=40).error)
    assert best_strategy(2, 0.5).keep == "easiest"
    assert best_strategy(8, 0.5).keep == "hardest"
