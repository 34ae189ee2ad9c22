import numpy as np
import pytest
from scipy.stats import t as student

from helpers.conditional import DEPTHS, PLANTED, SIZES, WIDTHS, planted_error, simulated
from winnow.core.errors import FitError, OptionError
from winnow.scaling.laws import fit
from winnow.scaling.laws.conditional import fit_conditional


def names(*left_out):
    return [name for name in PLANTED if name not in left_out]


@pytest.mark.parametrize(
    ("shape", "merged", "left_out"),
    [
        ({"widths": WIDTHS}, ("depth",), "De"),
        ({"widths": (None,), "depths": DEPTHS}, ("width",), "Bc"),
        ({"widths": WIDTHS, "depths": DEPTHS}, (), ""),
    ],
)
def test_planted_parameters_come_back_without_noise(shape, merged, left_out):
    fitted = fit_conditional(**simulated(np.random.default_rng(0), 0.0, **shape))
    assert fitted.merged == merged
    assert dict(fitted.parameters) == pytest.approx({name: PLANTED[name] for name in names(*left_out)}, rel=1e-5)
    width, depth = (None if name in merged else 11 for name in ("width", "depth"))
    for rule in ("random", "el2n"):
        expected = planted_error(rule, np.array([60.0, 700.0]), width, depth)
        np.testing.assert_allclose(fitted.predict([60, 700], rule, width, depth), expected, rtol=1e-6)
    assert all(low == pytest.approx(high, rel=1e-5) for low, high in fitted.intervals.values())


def test_a_size_that_does_not_vary_is_part_of_the_floor():
    fitted = fit_conditional(**simulated(np.random.default_rng(0), 0.0, widths=(16,)))
    assert fitted.merged == ("width", "depth")
    assert fitted.parameters["E"] == pytest.approx(PLANTED["E"] + PLANTED["B"] * 16 ** -PLANTED["c"])
    np.testing.assert_allclose(fitted.predict(100, "random"), planted_error("random", 100, 16))


def test_one_rule_and_no_shape_is_the_power_law_with_a_floor():
    generator = np.random.default_rng(2)
    given = simulated(generator, 0.05, widths=(None,), rules=("random",), sizes=tuple(np.geomspace(50, 5000, 8)))
    joint = fit_conditional(**given)
    alone = fit(given["n"], given["error"], "power_floor")
    for ours, theirs in (("A random", "a"), ("b random", "b"), ("E", "c")):
        assert joint.parameters[ours] == pytest.approx(alone.parameters[theirs], rel=1e-4)
        assert joint.intervals[ours] == pytest.approx(alone.intervals[theirs], rel=2e-3)
    assert joint.sigma == pytest.approx(alone.sigma, rel=1e-4)


def test_no_other_start_finds_a_better_fit():
    generator = np.random.default_rng(3)
    for noise in (0.1, 0.3):
        fitted = fit_conditional(**simulated(generator, noise, widths=(4, 8, 16)))
        estimator = fitted.estimator
        others = [estimator._search(fitted.theta + generator.normal(0, 2, fitted.theta.size)) for _ in range(12)]
        assert min(other.squares for other in others) >= estimator.estimate.squares * (1 - 1e-6)


def test_intervals_end_where_the_sum_of_squares_reaches_its_limit():
    fitted = fit_conditional(**simulated(np.random.default_rng(5), 0.1))
    estimator, p = fitted.estimator, fitted.theta.size
    least = estimator.estimate.squares
    limit = least * (1 + student.ppf(0.975, fitted.distinct - p) ** 2 / (fitted.distinct - p))
    for j, ends in enumerate(fitted.intervals.values()):
        for end in ends:
            if end > 0:  # a floor of zero is within the limit
                starts = [fitted.theta + shift for shift in (0.0, 0.1, -0.1)]
                held = min(estimator._profile(j, np.log(end), start).squares for start in starts)
                assert held == pytest.approx(limit, rel=2e-3)


def coverage(sets, noise, seed, **shape):
    generator = np.random.default_rng(seed)
    hits: dict[str, int] = {}
    for _ in range(sets):
        fitted = fit_conditional(**simulated(generator, noise, **shape))
        for name, (low, high) in fitted.intervals.items():
            hits[name] = hits.get(name, 0) + (low <= PLANTED[name] <= high)
    return hits


def test_intervals_hold_the_planted_parameters():
    hits = coverage(10, 0.1, seed=0)
    assert set(hits) == set(names("D", "e"))
    assert min(hits.values()) >= 8, hits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "shape"),
    [
        (0.05, {}),
        (0.15, {"widths": (4, 8, 16), "sizes": tuple(np.geomspace(72, 1437, 5))}),
        (0.3, {}),
        (0.1, {"widths": (4, 8, 16), "depths": DEPTHS}),
    ],
)
def test_intervals_hold_the_planted_parameters_in_90_of_100_data_sets(noise, shape):
    hits = coverage(100, noise, seed=1, **shape)
    assert min(hits.values()) >= 90, hits


def test_a_term_that_the_errors_do_not_show_is_not_bounded():
    generator = np.random.default_rng(1)
    given = simulated(generator, 0.0, widths=(None,), sizes=SIZES)
    n = np.repeat(given["n"], 3)
    error = np.repeat(given["error"], 3) * np.exp(0.05 * generator.standard_normal(n.size))
    fitted = fit_conditional(n, error, list(np.repeat(given["rule"], 3)), width=np.tile([4, 8, 16], len(given["n"])))
    assert fitted.intervals["B"] == fitted.intervals["c"] == (0.0, np.inf)
    assert fitted.intervals["b random"][0] < PLANTED["b random"] < fitted.intervals["b random"][1]
    if fitted.parameters["B"] == 0:
        assert np.isnan(fitted.parameters["c"])


def test_models_trained_on_everything_count_once_and_stand_under_every_rule():
    given = simulated(np.random.default_rng(4), 0.05, seeds=2)
    full = {"n": (4000,) * 4, "error": (0.05, 0.04, 0.03, 0.025), "rule": ("random",) * 4, "width": WIDTHS}
    both = {name: [*given[name], *full[name]] for name in given}
    fitted = fit_conditional(**both, n_available=4000)
    points = fitted.points
    assert fitted.distinct == 2 * 6 * 4 + 4
    at_full = points.n == 4000
    assert at_full.sum() == 8
    assert sorted(points.rule[at_full]) == [0] * 4 + [1] * 4
    assert len(set(points.measured[at_full])) == 4
    # one seed against two, shared by two rules
    assert points.weights[at_full] == pytest.approx(points.weights[~at_full][0] / 4)
    # without n_available they are of one rule
    assert (fit_conditional(**both).points.n == 4000).sum() == 4


def test_weights_are_spreads_of_log_error():
    given = simulated(np.random.default_rng(6), 0.1)
    spread = 0.1 * np.asarray(given["error"])
    plain, weighted = fit_conditional(**given), fit_conditional(**given, spread=spread)
    assert dict(weighted.parameters) == pytest.approx(dict(plain.parameters), rel=1e-6)
    far = np.where(np.asarray(given["width"]) == 4, 100.0, 1.0)
    ignored = fit_conditional(**given, spread=spread * far)
    rest = {name: [v for v, f in zip(values, far, strict=True) if f == 1] for name, values in given.items()}
    assert ignored.parameters["b el2n"] == pytest.approx(fit_conditional(**rest).parameters["b el2n"], rel=1e-2)


def test_no_errors_count_as_half_an_error():
    given = simulated(np.random.default_rng(0), 0.05)
    error = np.array(given["error"])
    zero, half = error.copy(), error.copy()
    zero[-1], half[-1] = 0.0, 0.5 / 100
    assert fit_conditional(**{**given, "error": zero}, n_test=99).parameters == pytest.approx(
        fit_conditional(**{**given, "error": half}).parameters
    )
    with pytest.raises(FitError, match="give n_test"):
        fit_conditional(**{**given, "error": zero})


def test_draws_scatter_around_the_fit_as_the_intervals_say():
    fitted = fit_conditional(**simulated(np.random.default_rng(8), 0.05))
    draws = fitted.draws(200, seed=1)
    np.testing.assert_array_equal(draws, fitted.draws(200, seed=1))
    low, high = np.quantile(np.exp(draws[:, 1]), [0.025, 0.975])  # b of random, well determined here
    assert (low, high) == pytest.approx(fitted.intervals["b random"], rel=0.06)


def test_predictions_ask_for_what_the_law_reads():
    fitted = fit_conditional(**simulated(np.random.default_rng(0), 0.05))
    assert fitted.predict(np.ones((2, 1)) * 100, "random", width=np.array([4, 8, 16])).shape == (2, 3)
    with pytest.raises(FitError, match=r"several values of width; give width=\.\.\."):
        fitted.predict(100, "random")
    with pytest.raises(OptionError, match="choose one of: random, el2n"):
        fitted.predict(100, "aum", 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": SIZES[:2], "widths": (4, 8)}, "7 parameters and needs at least 9 configurations; there are 8"),
        ({"sizes": SIZES[:1], "widths": tuple(range(1, 9))}, "random has a single size"),
    ],
)
def test_too_few_configurations(change, message):
    with pytest.raises(FitError, match=message):
        fit_conditional(**simulated(np.random.default_rng(0), 0.05, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": [100.0]}, "lists of the same length"),
        ({"width": np.zeros(48)}, "every width must be a positive number"),
        ({"error": np.full(48, np.nan)}, "every error must be finite and not negative"),
        ({"level": 1.0}, "not a probability"),
    ],
)
def test_bad_lists(change, message):
    with pytest.raises(FitError, match=message):
        fit_conditional(**{**simulated(np.random.default_rng(0), 0.05), **change})
