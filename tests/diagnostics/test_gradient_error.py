from functools import cache

import numpy as np
import pytest
from scipy.special import softmax

from winnow.core.errors import ShapeError
from winnow.diagnostics.gradient_error import gradient_error
from winnow.selectors.calibrated import Calibrated

N, CLASSES, WIDTH, R = 300, 4, 6, 0.2
PROTOCOLS = {"exact": {}, "approximate": {}, "tempered": {"tau": 0.4}}


@cache
def planted():
    """Logits, labels, features and difficulty of a probe whose hardest examples have by far the largest gradients."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, N)
    difficulty = rng.exponential(size=N)
    logits = rng.normal(0, 0.5, (N, CLASSES)) + (2 - 2 * difficulty[:, None]) * np.eye(CLASSES)[labels]
    features = np.maximum(rng.normal(0.5, 1, (N, WIDTH)) * (1 + difficulty[:, None]), 0)
    return logits.astype(np.float32), labels, features.astype(np.float32), difficulty


@cache
def gradients():
    """Every per-example gradient, [N, C (d + 1)], formed."""
    logits, labels, features, _ = planted()
    errors = softmax(logits.astype(np.float64), axis=1) - np.eye(CLASSES)[labels]
    inputs = np.hstack([features.astype(np.float64), np.ones((N, 1))])
    return np.einsum("ic,id->icd", errors, inputs).reshape(N, -1)


def subsets(protocol, alphas, *, r=R, seed=0):
    selector = Calibrated(protocol=protocol, **PROTOCOLS[protocol])
    _, labels, _, difficulty = planted()
    return [selector.select(difficulty, labels, r=r, alpha=alpha, seed=seed) for alpha in alphas]


def curve(protocol, alphas, *, r=R, **options):
    drawn = subsets(protocol, alphas, r=r)
    signals = [subset.indices[subset.is_signal] for subset in drawn]
    shares = [subset.weights[subset.is_signal].sum() / subset.m for subset in drawn]
    return gradient_error(*planted()[:3], signals=signals, shares=shares, kept=drawn[0].m, **options)


def monte_carlo(protocol, alpha, draws):
    """bias² and variance over draws by the selector, and the standard error of the variance."""
    weights = np.zeros((draws, N))
    for seed in range(draws):
        (subset,) = subsets(protocol, [alpha], seed=seed)
        weights[seed, subset.indices] = subset.weights / subset.m
    means = weights @ gradients()
    centre = means.mean(axis=0)
    squares = np.square(means - centre).sum(axis=1)
    variance = squares.sum() / (draws - 1)
    # The squared length of an average is too long by the variance of the average.
    bias2 = np.square(centre - gradients().mean(axis=0)).sum() - variance / draws
    return bias2, variance, squares.std() / np.sqrt(draws)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8])
def test_against_draws_of_the_selector(protocol, alpha):
    draws = 500
    bias2, variance, error = monte_carlo(protocol, alpha, draws)
    found = curve(protocol, [alpha])
    assert abs(found.variance[0] - variance) < max(0.05 * variance, 3 * error)
    # Cross terms of bias and sampling error make the standard error of bias² 2 √(bias² · variance / draws) at most.
    assert abs(found.bias2[0] - bias2) < 3 * (2 * np.sqrt(found.bias2[0] * variance / draws) + variance / draws)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_optimum_is_that_of_five_thousand_draws(protocol):
    draws = 5000
    alphas = np.arange(0, 0.96, 0.05)
    truth = [monte_carlo(protocol, alpha, draws) for alpha in alphas]
    found = curve(protocol, alphas)
    for j, (bias2, variance, error) in enumerate(truth):
        assert abs(found.variance[j] - variance) < max(0.05 * variance, 3 * error)
        assert abs(found.bias2[j] - bias2) < 3 * (2 * np.sqrt(found.bias2[j] * variance / draws) + variance / draws)
    mse = [bias2 + variance for bias2, variance, _ in truth]
    fine = np.round(np.arange(0, 0.96, 0.01), 2)
    chosen = fine[np.argmin(np.sum(curve(protocol, fine), axis=0))]
    assert abs(chosen - alphas[np.argmin(mse)]) <= 0.05 + 1e-9


def test_exact_has_no_bias_and_an_optimum_inside():
    alphas = np.round(np.arange(0, 0.99, 0.01), 2)
    found = curve("exact", alphas)
    assert np.all(found.bias2 < 1e-30)
    assert 0.2 < alphas[np.argmin(found.variance)] < 0.95


def test_by_hand():
    # One feature, two classes, all softmax (1/2, 1/2): g = ±(−1/2, 1/2) ⊗ [h, 1], so its length² is (h² + 1) / 2.
    # Three examples of class 0 with h = 4, 0, 2; the signal is the first, one of the others is drawn.
    parts = np.zeros((3, 2)), np.zeros(3, dtype=int), np.array([[4.0], [0.0], [2.0]])
    found = gradient_error(*parts, signals=[np.array([0])], shares=[0.5], kept=2)
    # The means of h are 4 and 1, so the gap² is 9 / 2; V_R is that of h = 0, 2 with divisor 1, 2 / 2.
    np.testing.assert_allclose(found.bias2, (1 / 2 - 1 / 3) ** 2 * 4.5)
    np.testing.assert_allclose(found.variance, (1 / 2) ** 2 * (1 - 1 / 2) * 1)


def test_sets_may_grow_shrink_or_change():
    rng = np.random.default_rng(1)
    signals = [rng.choice(N, size, replace=False) for size in (10, 0, 40, 40, 3)]
    shares = np.linspace(0, 0.5, 5)
    together = gradient_error(*planted()[:3], signals=signals, shares=shares, kept=60)
    for j, signal in enumerate(signals):
        alone = gradient_error(*planted()[:3], signals=[signal], shares=shares[j : j + 1], kept=60)
        np.testing.assert_allclose([together.bias2[j], together.variance[j]], np.ravel(alone), rtol=1e-9, atol=1e-15)


def test_among_some_is_as_if_the_others_were_not_there():
    some = np.arange(0, N, 2)
    signals, shares = [some[:5], some[:20]], [0.1, 0.5]
    found = gradient_error(*planted()[:3], signals=signals, shares=shares, kept=40, among=some)
    parts = [part[some] for part in planted()[:3]]
    alone = gradient_error(*parts, signals=[np.arange(5), np.arange(20)], shares=shares, kept=40)
    np.testing.assert_allclose(found, alone)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_that_is_kept_has_no_error(protocol):
    found = curve(protocol, [0, 0.4, 1], r=1)
    np.testing.assert_allclose(np.ravel(found), 0, atol=1e-30)


def test_a_probe_that_is_certain_gives_finite_numbers():
    logits, labels, features, _ = planted()
    certain = (1e4 * np.eye(CLASSES)[labels]).astype(np.float32)
    found = gradient_error(certain, labels, features, signals=[np.arange(9)], shares=[0.03], kept=60)
    assert np.ravel(found).tolist() == [0, 0]
    with pytest.raises(ShapeError, match="not finite"):
        gradient_error(logits * np.nan, labels, features, signals=[np.arange(9)], shares=[0.03], kept=60)
    with pytest.raises(ShapeError, match="one share"):
        gradient_error(logits, labels, features, signals=[np.arange(9)], shares=[0.1, 0.2], kept=60)
