import itertools
import time

import numpy as np
import pytest
from scipy.optimize import root
from scipy.stats import norm

from winnow.core.errors import OptionError, TheoryError
from winnow.theory.kept_distribution import kept_distribution, moments, signed_threshold
from winnow.theory.perceptron import solve

RULES = list(itertools.product(("hardest", "easiest"), ("absolute", "signed")))
CHECKED = [  # probe's angle, keep, examples per parameter, r, then overlap, margin and error to six places
    (0, "random", 8, 1, 0.981751, 0.124483, 0.060904),
    (0, "hardest", 2, 0.5, 0.533044, 0.565005, 0.321048),
    (0, "easiest", 2, 0.5, 0.841231, 1.196545, 0.181832),
    (0, "hardest", 8, 0.5, 0.981697, 0.124494, 0.060994),
    (20, "hardest", 8, 0.4, 0.955809, 0.155191, 0.094983),
    (20, "easiest", 8, 0.4, 0.907025, 0.961570, 0.138348),
]


@pytest.mark.parametrize(("angle", "keep", "alpha", "r", "overlap", "kappa", "error"), CHECKED)
def test_checked_values(angle, keep, alpha, r, overlap, kappa, error):
    found = solve(alpha, r, keep=keep, probe_angle=angle)
    assert (found.overlap, found.margin, found.error) == pytest.approx((overlap, kappa, error), abs=6e-7)
    assert all(type(value) is float for value in (found.overlap, found.margin, found.error))


def panels(start, stop, pieces, order):
    """Gauss-Legendre nodes and weights; start and stop may be arrays."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    ends = np.linspace(start, stop, pieces + 1)
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    return middle[..., None] + half[..., None] * nodes, half[..., None] * weights


def reference(alpha, r, keep, angle, margin):
    """Overlap, margin and error by brute integration over polar (v, w) and over g, in the equations as published."""
    theta = np.deg2rad(angle)
    # z > 0, the other half being its mirror image; the sign of v changes at -90 and 90 degrees
    corners = sorted({theta - np.pi / 2, *(c for c in (-np.pi / 2, np.pi / 2) if abs(c - theta) < np.pi / 2),
                      theta + np.pi / 2})  # fmt: skip
    pieces = [panels(a, b, 40, 6) for a, b in itertools.pairwise(corners)]
    phi, phi_weight = (np.concatenate([piece[i].ravel() for piece in pieces]) for i in (0, 1))

    def data(threshold, below):
        """Nodes v, w and weights of one side of a positive threshold on the score, before normalisation."""
        score = np.abs(np.cos(phi)) if margin == "absolute" else np.cos(phi)
        cut = np.minimum(threshold / np.maximum(score, 1e-9), 12)  # along a ray of negative score all is below
        start, stop = (np.zeros_like(cut), cut) if below else (cut, np.full_like(cut, 12))
        rho, rho_weight = panels(start, stop, 10, 6)
        weight = 2 * phi_weight[None, :, None] * rho_weight * rho * np.exp(-(rho**2) / 2) / (2 * np.pi)
        return rho * np.cos(phi)[None, :, None], rho * np.sin(phi)[None, :, None], weight

    if margin == "absolute":
        threshold = norm.isf((1 - r) / 2) if keep == "hardest" else norm.isf(r / 2)
    else:
        threshold = root(lambda t: data(t[0], True)[2].sum() - (r if keep == "hardest" else 1 - r), [0.3]).x[0]
    v, w, weight = (array.ravel() for array in data(threshold, keep == "hardest"))
    v, w, weight = (array[weight > 1e-12] for array in (v, w, weight))
    weight /= weight.sum()

    def equations(x):
        k, p, q = x
        u = k - p * v - q * w
        g, g_weight = panels(np.minimum(-9.0, u), u, 5, 6)  # h is zero beyond u
        density = g_weight * np.exp(-(g**2) / 2) / np.sqrt(2 * np.pi)
        h = np.sum(density * (u[None, :, None] - g), axis=(0, 2))
        h2 = np.sum(density * (u[None, :, None] - g) ** 2, axis=(0, 2))
        length = 1 + p**2 + q**2
        mean = weight @ h
        return [
            alpha * r * (weight @ h2) - 1,
            length * (weight @ (h * v)) - k * p * mean,
            length * (weight @ (h * w)) - k * q * mean,
        ]

    found = root(equations, [0.6, 0.8, 0.1], tol=1e-10)
    assert found.success
    k, p, q = found.x
    n = np.sqrt(1 + p**2 + q**2)
    overlap = (p * np.cos(theta) + q * np.sin(theta)) / n
    return overlap, k / n, np.arccos(overlap) / np.pi


@pytest.mark.parametrize(
    ("alpha", "r", "keep", "angle", "margin"),
    [(3, 0.6, "hardest", 30, "absolute"), (2, 0.5, "easiest", 20, "absolute"), (4, 0.4, "hardest", 40, "signed")],
)
def test_brute_integration_gives_the_same(alpha, r, keep, angle, margin):
    found = solve(alpha, r, keep=keep, probe_angle=angle, margin=margin)
    expected = reference(alpha, r, keep, angle, margin)
    assert (found.overlap, found.margin, found.error) == pytest.approx(expected, rel=2e-5)


def test_all_data_are_the_same_by_every_rule_and_random_depends_on_what_is_kept_only():
    alpha = np.array([0.3, 2.0, 30.0])
    plain = solve(alpha, 1, keep="random").error
    for (keep, margin), angle in itertools.product(RULES, (0, 20, 90)):
        np.testing.assert_allclose(solve(alpha, 1, keep=keep, margin=margin, probe_angle=angle).error, plain, rtol=1e-9)
    np.testing.assert_allclose(solve(4 * alpha, 0.25, keep="random", probe_angle=30).error, plain, rtol=1e-9)


def test_margins_agree_where_the_probe_is_perfect():
    for keep in ("hardest", "easiest"):
        one, other = (solve([2, 16], 0.3, keep=keep, margin=margin) for margin in ("absolute", "signed"))
        np.testing.assert_allclose(one.error, other.error, rtol=1e-8)


def test_much_data_and_little():
    for alpha in (1e3, 1e5):
        assert solve(alpha, 1).error * alpha == pytest.approx(0.5005, abs=5e-5)
        # with a perfect probe the hard half is worth as much as all
        assert solve(alpha, 0.5).error * alpha == pytest.approx(0.5005, abs=5e-5)
    little = solve(1e-6, 0.5, keep="easiest", probe_angle=20)
    assert little.error == pytest.approx(0.5, abs=1e-3)
    assert little.margin == pytest.approx((0.5e-6) ** -0.5, rel=1e-5)
    # of only what a probe is sure of and gets right, a student learns the probe
    assert solve(1e4, 0.3, keep="easiest", probe_angle=20, margin="signed").error == pytest.approx(20 / 180, rel=1e-4)


@pytest.mark.parametrize(("keep", "margin"), RULES)
def test_more_data_narrow_the_margin_and_no_branch_is_lost(keep, margin):
    alpha, r = np.geomspace(1, 64, 61), np.array([0.1, 0.9])
    for angle in (0, 20):
        found = solve(alpha[:, None], r, keep=keep, probe_angle=angle, margin=margin)
        if margin == "absolute":  # the signed one chooses by label, which can mislead the more the more there is
            assert np.all(np.diff(found.error, axis=0) < 0)
        assert np.all(np.diff(found.margin, axis=0) < 0)
        for values in (found.error, found.margin):
            # between neighbours four times closer the largest step is that much smaller, unless it is a jump
            coarse, fine = (np.abs(np.diff(np.log(values[::step]), axis=0)).max(axis=0) for step in (4, 1))
            assert np.all(fine < 0.45 * coarse)


def test_a_fraction_of_one_is_reached_continuously():
    r = 1 - np.geomspace(1e-6, 1e-3, 4)
    for (keep, margin), angle in itertools.product(RULES, (0, 20)):
        error = solve(8, r, keep=keep, margin=margin, probe_angle=angle).error
        assert np.abs(error / solve(8, 1).error - 1).max() < 0.02
        assert abs(error[0] / solve(8, 1).error - 1) < 1e-4


def test_vectorised_is_scalar():
    alpha, r, angle = np.array([[1.0], [6.0], [64.0]]), np.array([0.1, 0.7]), 15.0
    for keep, margin in RULES:
        grid = solve(alpha, r, keep=keep, probe_angle=angle, margin=margin)
        assert grid.error.shape == grid.overlap.shape == grid.margin.shape == (3, 2)
        for i, j in np.ndindex(3, 2):
            one = solve(float(alpha[i, 0]), float(r[j]), keep=keep, probe_angle=angle, margin=margin)
            assert one.error == pytest.approx(grid.error[i, j], rel=1e-7)
    angles = solve(4, 0.5, probe_angle=[0.0, 20.0]).error
    assert angles[1] == pytest.approx(solve(4, 0.5, probe_angle=20).error, rel=1e-9)
    assert solve([], 0.5).error.shape == (0,)


def test_moments_are_those_of_the_kept_data():
    rng = np.random.default_rng(0)
    v, w, g = rng.standard_normal((3, 2_000_000))
    theta, r, k, p, q = 0.6, 0.35, 0.9, 1.3, 0.7
    y = np.sign(v * np.cos(theta) + w * np.sin(theta))
    for keep, margin in RULES:
        score = np.abs(v) if margin == "absolute" else y * v
        threshold = np.quantile(score, r if keep == "hardest" else 1 - r)
        chosen = score < threshold if keep == "hardest" else score > threshold
        h = np.maximum(k - y * (p * v + q * w) - g, 0)[chosen]
        c = np.stack([np.ones(h.size), (y * v)[chosen], (y * w)[chosen]])
        kept = kept_distribution(np.array([theta]), np.array([r]), keep, margin)
        found = moments(kept, *(np.array([value]) for value in (k, p, q)))
        np.testing.assert_allclose(found.h2[0], np.mean(h**2), rtol=0.01)
        np.testing.assert_allclose(found.h_c[0], c @ h / h.size, atol=0.004)
        np.testing.assert_allclose(found.active_cc[0], (c * (h > 0)) @ c.T / h.size, atol=0.006)


def test_signed_threshold_of_a_perfect_and_of_a_useless_probe():
    fraction = np.array([1e-4, 0.01, 0.5, 1.0])
    np.testing.assert_allclose(signed_threshold(np.zeros(4), fraction), norm.isf((1 - fraction) / 2), atol=1e-12)
    np.testing.assert_allclose(signed_threshold(np.full(4, np.pi / 2), fraction), norm.ppf(fraction), atol=1e-12)


def test_what_has_no_solution_or_no_meaning_is_refused():
    with pytest.raises(TheoryError, match=r"no solution was found at 1 of 2 .* 5e\+09 kept"):
        solve([2, 1e10], 0.5, probe_angle=20)
    for arguments, message in (
        ({"examples_per_parameter": 0, "r": 1}, "must be positive; got 0"),
        ({"examples_per_parameter": np.inf, "r": 1}, "must be positive; got inf"),
        ({"examples_per_parameter": 1, "r": [0.5, 1.5]}, r"r must be in \(0, 1\]; got 1.5"),
        ({"examples_per_parameter": 1, "r": 0.5, "probe_angle": -1}, "degrees; got -1"),
        ({"examples_per_parameter": 1, "r": 0.5, "keep": "middle"}, "hardest, easiest, random"),
        ({"examples_per_parameter": 1, "r": 0.5, "margin": "relative"}, "absolute, signed"),
    ):
        with pytest.raises(OptionError, match=message):
            solve(**arguments)


@pytest.mark.slow
def test_five_hundred_points_take_seconds():
    start = time.process_time()
    solve(np.geomspace(1, 64, 25)[:, None], np.linspace(0.1, 1, 20), keep="easiest", probe_angle=20)
    assert time.process_time() - start < 30
