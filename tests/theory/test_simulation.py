import numpy as np
import pytest

from winnow.core.errors import OptionError, TheoryError
from winnow.theory import simulation
from winnow.theory.perceptron import solve
from winnow.theory.simulation import max_margin, simulate


def teacher_data(m, n, seed=0):
    x = np.random.default_rng(seed).standard_normal((m, n))
    return x * np.sign(x[:, :1])


@pytest.mark.parametrize("m", [5, 60, 400])
def test_the_student_fulfils_the_optimality_conditions(m):
    signed = teacher_data(m, 30)
    weights, violation = max_margin(signed)
    assert 0 <= violation < 1e-8
    margins = signed @ weights
    support = margins < 1 + 1e-9
    assert margins.min() > 1 - 1e-9
    assert support.sum() <= 30
    # w = Σ a_i y_i x_i over the support, with a >= 0
    a, *_ = np.linalg.lstsq(signed[support].T, weights, rcond=None)
    np.testing.assert_allclose(signed[support].T @ a, weights, atol=1e-8)
    assert a.min() > 0


def test_no_other_direction_has_a_larger_margin():
    signed = teacher_data(80, 10)
    weights, _ = max_margin(signed)
    best = 1 / np.linalg.norm(weights)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1, 1):
        other = weights + size * np.linalg.norm(weights) * rng.standard_normal((1000, 10))
        margins = (signed @ other.T).min(axis=0) / np.linalg.norm(other, axis=1)
        assert margins.max() < best


def test_one_example():
    weights, _ = max_margin(np.array([[3.0, 4.0]]))
    np.testing.assert_allclose(weights, [3 / 25, 4 / 25])


def test_inseparable_examples_and_inexact_solutions_are_refused(monkeypatch):
    with pytest.raises(TheoryError, match="no common positive margin"):
        max_margin(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    real = simulation.nnls
    monkeypatch.setattr(simulation, "nnls", lambda *args, **kwargs: (real(*args, **kwargs)[0].round(2), 0.5))
    with pytest.raises(TheoryError, match="misses its optimality conditions"):
        max_margin(teacher_data(100, 30))


@pytest.mark.parametrize(
    ("alpha", "r", "options"),
    [
        (2, 1, {"keep": "random"}),
        (2, 0.5, {"keep": "easiest"}),
        (4, 0.4, {"probe_angle": 30, "margin": "signed"}),
        (6, 0.5, {"probe_angle": 20, "keep": "easiest", "margin": "signed"}),
        (5, 0.4, {"probe_angle": 20}),
    ],
)
def test_the_theory_is_met(alpha, r, options):
    found = simulate(alpha, r, n_parameters=200, repeats=8, **options)
    expected = solve(alpha, r, **options)
    for name in ("overlap", "margin", "error"):
        value = getattr(expected, name)
        assert abs(getattr(found, name) - value) < 3 * getattr(found, f"{name}_se") + 0.01 * abs(value), name
    assert found.kkt_violation < 1e-8
    assert (found.n_kept, found.repeats) == (round(alpha * r * 200), 8)


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
@pytest.mark.parametrize("margin", ["absolute", "signed"])
@pytest.mark.parametrize("angle", [0, 20, 40])
def test_the_theory_is_met_on_a_grid(keep, margin, angle):
    for alpha, r in ((2, 0.3), (4, 0.6), (10, 0.4)):
        options = {"keep": keep, "margin": margin, "probe_angle": angle}
        found, expected = simulate(alpha, r, repeats=16, seed=1, **options), solve(alpha, r, **options)
        for name in ("overlap", "margin", "error"):
            value = getattr(expected, name)
            assert abs(getattr(found, name) - value) < 3 * getattr(found, f"{name}_se") + 0.01 * abs(value), (alpha, r)


@pytest.mark.slow
def test_by_the_signed_margin_more_data_can_hurt():
    options = {"r": 0.6, "keep": "easiest", "probe_angle": 40, "margin": "signed"}
    assert solve(40, **options).error > solve(10, **options).error + 0.01
    few, many = (simulate(alpha, seed=1, **options) for alpha in (10, 40))
    assert many.error - few.error > 4 * np.hypot(many.error_se, few.error_se)


def test_seeds():
    one, again, other = (simulate(2, 0.5, n_parameters=20, repeats=3, seed=seed) for seed in (0, 0, 1))
    assert one.error == again.error != other.error


def test_arguments_out_of_range():
    for options, message in (
        ({"examples_per_parameter": np.inf}, "must be positive; got inf"),
        ({"r": 0}, "r must be"),
        ({"probe_angle": 91}, "probe_angle"),
        ({"keep": "middle"}, "hardest"),
        ({"margin": "wide"}, "absolute"),
        ({"repeats": 1}, "repeats"),
        ({"examples_per_parameter": 0.001}, "keep no example"),
    ):
        with pytest.raises(OptionError, match=message):
            simulate(**{"examples_per_parameter": 2, "r": 0.5, "n_parameters": 20, **options})
