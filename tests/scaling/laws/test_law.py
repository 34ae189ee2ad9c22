import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from helpers.laws import PLANTED, coverage
from winnow.core.errors import FitError, OptionError
from winnow.scaling.laws import LAWS, bands, compare, fit, law_error
from winnow.scaling.laws.estimators import finite
from winnow.scaling.panel import panel

SIZES = np.geomspace(100, 50_000, 8)
LINE_N = np.array([100.0, 200.0, 400.0, 800.0, 1600.0])
LINE_ERROR = np.array([0.4, 0.31, 0.2, 0.16, 0.1])


@pytest.mark.parametrize("law", LAWS)
def test_planted_parameters_come_back_without_noise(law):
    planted = PLANTED[law]
    fitted = fit(SIZES, law_error(law, planted, SIZES), law)
    assert dict(fitted.parameters) == pytest.approx(planted, rel=1e-6)
    assert fitted.law == law
    between = np.geomspace(150, 40_000, 7)
    np.testing.assert_allclose(fitted.predict(between), law_error(law, planted, between), rtol=1e-6)
    assert math.isfinite(fitted.aicc)
    for name, (low, high) in fitted.intervals.items():
        assert low == pytest.approx(planted[name], rel=1e-5)
        assert high == pytest.approx(planted[name], rel=1e-5)


def test_a_power_law_has_the_t_interval_of_the_regression_of_logs():
    x, y = np.log(LINE_N), np.log(LINE_ERROR)
    slope, level = np.polyfit(x, y, 1)
    squares = np.sum((y - level - slope * x) ** 2)
    error = math.sqrt(squares / 3 / np.sum((x - x.mean()) ** 2))
    t = 3.182446305284263  # 0.975 quantile with 3 degrees of freedom
    fitted = fit(LINE_N, LINE_ERROR)
    assert fitted.parameters["b"] == pytest.approx(-slope)
    assert fitted.parameters["a"] == pytest.approx(math.exp(level))
    assert fitted.intervals["b"] == pytest.approx((-slope - t * error, -slope + t * error))
    assert fitted.sigma == pytest.approx(math.sqrt(squares / 3))


def test_aicc_counts_sigma():
    y = np.log(LINE_ERROR)
    squares = np.sum((y - np.polyval(np.polyfit(np.log(LINE_N), y, 1), np.log(LINE_N))) ** 2)
    # five sizes; a, b and sigma: 2 * 3 + 2 * 3 * 4 / (5 - 3 - 1)
    assert fit(LINE_N, LINE_ERROR).aicc == pytest.approx(5 * math.log(squares / 5) + 6 + 24)
    assert fit(LINE_N, LINE_ERROR, "power_floor").aicc == math.inf


def test_seeds_of_a_size_count_as_one_point():
    generator = np.random.default_rng(3)
    errors = LINE_ERROR[:, None] * np.exp(0.1 * generator.standard_normal((5, 4)))
    pooled = fit(np.repeat(LINE_N, 4), errors.ravel())
    averaged = fit(LINE_N, errors.mean(axis=1))
    assert pooled.aicc == pytest.approx(averaged.aicc)
    assert pooled.intervals["b"] == pytest.approx(averaged.intervals["b"])


def test_weights_are_spreads_of_log_error():
    spread = np.array([0.02, 0.01, 0.05, 0.004, 0.02])
    slope, _ = np.polyfit(np.log(LINE_N), np.log(LINE_ERROR), 1, w=LINE_ERROR / spread)
    fitted = fit(LINE_N, LINE_ERROR, spread=spread)
    assert fitted.parameters["b"] == pytest.approx(-slope)
    assert fit(LINE_N, LINE_ERROR, spread=10 * spread).aicc == pytest.approx(fitted.aicc)
    # a size with two seeds weighs as much as twice the size with their mean
    seeds = fit([*LINE_N, LINE_N[0]], [*LINE_ERROR, LINE_ERROR[0]])
    slope, _ = np.polyfit(np.log(LINE_N), np.log(LINE_ERROR), 1, w=np.sqrt([2, 1, 1, 1, 1]))
    assert seeds.parameters["b"] == pytest.approx(-slope)


def test_no_errors_count_as_half_an_error():
    error = [*LINE_ERROR[:4], 0.0]
    assert fit(LINE_N, error, n_test=999).parameters == fit(LINE_N, [*LINE_ERROR[:4], 0.5 / 1000]).parameters
    one_of_two = fit([*LINE_N, LINE_N[4]], [*LINE_ERROR, 0.0], n_test=999)
    assert one_of_two.points.error[4] == pytest.approx(LINE_ERROR[4] / 2)
    with pytest.raises(FitError, match="give n_test"):
        fit(LINE_N, error)


@pytest.mark.parametrize("law", LAWS)
def test_too_few_sizes_are_refused(law):
    p = len(LAWS[law])
    n = np.geomspace(100, 10_000, p + 1)
    with pytest.raises(FitError, match=f"{p} parameters and needs at least {p + 2} distinct sizes; there are {p + 1}"):
        fit(np.repeat(n, 3), np.repeat(0.9 * n**-0.3, 3), law)
    n = np.geomspace(100, 10_000, p + 2)
    assert fit(n, 0.9 * n**-0.3, law).aicc == math.inf


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        ([0, *LINE_N[1:]], LINE_ERROR, "positive"),
        ([-5, *LINE_N[1:]], LINE_ERROR, "positive"),
        ([math.nan, *LINE_N[1:]], LINE_ERROR, "positive"),
        (LINE_N, [math.nan, *LINE_ERROR[1:]], "finite"),
        (LINE_N, [math.inf, *LINE_ERROR[1:]], "finite"),
        (LINE_N, [-0.1, *LINE_ERROR[1:]], "not negative"),
        (LINE_N, LINE_ERROR[1:], "same length"),
        ([], [], "there are 0"),
    ],
)
def test_bad_points_are_refused(n, error, message):
    with pytest.raises(FitError, match=message):
        fit(n, error)


def test_bad_options_are_refused():
    with pytest.raises(OptionError, match="choose one of: power, power_floor"):
        fit(LINE_N, LINE_ERROR, "cubic")
    with pytest.raises(FitError, match="spread must be one positive number"):
        fit(LINE_N, LINE_ERROR, spread=np.zeros(5))
    with pytest.raises(FitError, match="between 0 and 1"):
        fit(LINE_N, LINE_ERROR, level=95)


def test_an_error_that_does_not_fall_has_no_floor_but_an_exponent():
    rising = LINE_ERROR[::-1]
    assert fit(LINE_N, rising).parameters["b"] < 0
    with pytest.raises(FitError, match="does not fall"):
        fit(LINE_N, rising, "power_floor")


def test_a_floor_that_gains_nothing_is_zero():
    # steeper at large sizes than a power law: a floor could only make it worse
    error = SIZES**-0.3 * np.exp(-SIZES / 200_000)
    fitted, line = fit(SIZES, error, "power_floor"), fit(SIZES, error)
    assert fitted.parameters == pytest.approx({**line.parameters, "c": 0.0})
    low, high = fitted.intervals["c"]
    assert low == 0
    assert 0 < high < error.min()


def test_an_interval_has_no_upper_end_where_the_points_set_none():
    # one large error, then a floor: any steep enough exponent does
    error = np.array([0.5, 0.101, 0.099, 0.1, 0.102, 0.098])
    fitted = fit(np.geomspace(100, 3200, 6), error, "power_floor")
    assert fitted.intervals["b"][1] == math.inf
    assert fitted.intervals["c"] == pytest.approx((0.1, 0.1), rel=0.1)


@pytest.mark.parametrize(("law", "sets", "least"), [("power", 100, 89), ("power_floor", 40, 32)])
def test_planted_parameters_lie_in_their_intervals(law, sets, least):
    hits = coverage(law, PLANTED[law], sizes=8, noise=0.05, sets=sets)
    assert min(hits.values()) >= least, hits


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_intervals_end_where_the_sum_of_squares_reaches_its_limit(name):
    """With a parameter held at an end of its interval, the best curve is as far from the points as may be."""
    noise = 0.05 * np.random.default_rng(0).standard_normal(8)
    error = law_error("power_floor", PLANTED["power_floor"], SIZES) * np.exp(noise)
    fitted = fit(SIZES, error, "power_floor")

    def squares(values):
        return np.sum(np.log(law_error("power_floor", values, SIZES) / error) ** 2)

    rest = [each for each in PLANTED["power_floor"] if each != name]

    def held(end):
        """The least squares over the others, in their logs, by a search that needs no derivative."""
        start = [math.log(fitted.parameters[each]) for each in rest]
        found = minimize(
            lambda logs: squares({name: end} | dict(zip(rest, np.exp(logs), strict=True))), start, method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12},
        )  # fmt: skip
        return found.fun

    t = 2.5705818366147395  # 0.975 quantile with 5 degrees of freedom
    limit = squares(fitted.parameters) * (1 + t**2 / 5)
    assert [held(end) for end in fitted.intervals[name]] == pytest.approx([limit, limit], rel=1e-3)


def test_a_break_lies_somewhere_in_its_interval():
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal(8))
    fitted = fit(SIZES, law_error("broken_power", PLANTED["broken_power"], SIZES) * noise, "broken_power")
    low, high = fitted.intervals["n_break"]
    assert low < 0.9 * fitted.parameters["n_break"] < 1.1 * fitted.parameters["n_break"] < high


def test_what_overflows_on_the_way_is_a_large_number():
    tried = np.array([math.nan, math.inf, -math.inf, 2.0])
    np.testing.assert_array_equal(finite(tried, nan=0.5), [0.5, 1e9, -1e9, 2])


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.1])
@pytest.mark.parametrize("sizes", [6, 9])
@pytest.mark.parametrize("c", [0.0, 0.002, 0.005, 0.01, 0.05])
def test_a_floor_near_its_boundary_lies_in_its_interval(c, sizes, noise):
    hits = coverage("power_floor", {"a": 3.0, "b": 0.5, "c": c}, sizes, noise, sets=1000)
    assert min(hits.values()) >= 0.92 * 1000, hits


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_every_law_covers_over_seeds(law):
    hits = coverage(law, PLANTED[law], sizes=9, noise=0.1, sets=200, seeds=3)
    assert min(hits.values()) >= 0.9 * 200, hits


def test_aicc_weights_choose_the_planted_law():
    noise = np.exp(0.02 * np.random.default_rng(0).standard_normal(12))
    n = np.geomspace(100, 50_000, 12)
    for law in ("power", "power_floor", "exponential_floor"):
        weights = compare(n, law_error(law, PLANTED[law], n) * noise, ("power", "power_floor", "exponential_floor"))
        assert sum(weights.values()) == pytest.approx(1)
        assert max(weights, key=weights.__getitem__) == law


def test_aicc_weights_by_hand():
    power, exponential = (fit(LINE_N, LINE_ERROR, law).aicc for law in ("power", "exponential"))
    weights = compare(LINE_N, LINE_ERROR, ["power", "power_floor", "exponential", "broken_power"])
    assert weights["power"] == pytest.approx(1 / (1 + math.exp((power - exponential) / 2)))
    assert weights["power_floor"] == weights["broken_power"] == 0
    with pytest.raises(FitError, match="no law can be compared"):
        compare(LINE_N[:4], LINE_ERROR[:4])


def test_bands_hold_the_curve_and_grow_with_the_spread_over_seeds():
    generator = np.random.default_rng(1)
    n, noise = np.repeat(SIZES, 4), generator.standard_normal(32)
    widths = []
    for spread in (0.01, 0.1):
        fitted = fit(n, 3 * n**-0.5 * np.exp(spread * noise))
        low, high = bands(fitted, SIZES)
        assert np.all((low < fitted.predict(SIZES)) & (fitted.predict(SIZES) < high))
        widths.append(np.log(high / low).mean())
    assert widths[1] == pytest.approx(10 * widths[0], rel=0.2)
    with pytest.raises(FitError, match="at least two"):
        bands(fit(LINE_N, LINE_ERROR), LINE_N)


def planted_panel(generator, clusters=5):
    """The panel of a power law at SIZES whose ensembles move level and slope, with the mean errors."""
    level, slope = 0.1 * generator.standard_normal(clusters), 0.02 * generator.standard_normal(clusters)
    places = []
    for n in SIZES:
        off = level + slope * np.log(n / 2000) + 0.02 * generator.standard_normal(clusters)
        seeds = {name: range(clusters) for name in ("probe_seed", "selection_seed", "train_seed")}
        places.append(pd.DataFrame(seeds | {"error": 3 * n**-0.5 * np.exp(off)}))
    return panel(places)


def test_intervals_over_replicates_hold_what_ensembles_do_to_the_whole_curve():
    generator = np.random.default_rng(0)
    hits = dict.fromkeys(("a", "b", "a of residuals", "b of residuals", "curve"), 0)
    for _ in range(60):
        errors = planted_panel(generator)
        residuals = fit(SIZES, errors.means)
        fitted = residuals.over(errors)
        for name, planted in {"a": 3.0, "b": 0.5}.items():
            hits[name] += fitted.intervals[name][0] <= planted <= fitted.intervals[name][1]
            hits[f"{name} of residuals"] += residuals.intervals[name][0] <= planted <= residuals.intervals[name][1]
        low, high = bands(fitted, [2000])
        hits["curve"] += bool(low[0] <= 3 * 2000**-0.5 <= high[0])
    assert min(hits["a"], hits["b"], hits["curve"]) >= 55, hits
    assert max(hits["a of residuals"], hits["b of residuals"]) < 48, hits


@pytest.mark.parametrize("law", LAWS)
def test_parameters_move_with_the_errors_as_refits_do(law):
    error = law_error(law, PLANTED[law], SIZES) * np.exp(0.01 * np.sin(np.arange(8)))
    fitted = fit(SIZES, error, law)
    for size in (0, 3, 7):
        moved = fit(SIZES, error * np.exp(1e-3 * (np.arange(8) == size)), law)
        change = [np.log(moved.parameters[name] / fitted.parameters[name]) for name in LAWS[law]]
        logs = {"a", "n_break"}
        expected = [
            fitted._moves()[i, size] * 1e-3 / (1 if name in logs else fitted.parameters[name])
            for i, name in enumerate(LAWS[law])
        ]
        np.testing.assert_allclose(change, expected, rtol=0.15, atol=2e-4)


def test_one_ensemble_leaves_the_law_without_interval_and_band():
    errors = planted_panel(np.random.default_rng(0), clusters=1)
    fitted = fit(SIZES, errors.means).over(errors)
    assert fitted.intervals == {}
    with pytest.raises(FitError, match="one probe ensemble"):
        bands(fitted, SIZES)


def test_bands_hold_the_planted_curve():
    # at the middle of a straight line, where the standard error is sigma / sqrt(sizes * seeds)
    inside = 0
    for seed in range(40):
        n = np.repeat(SIZES, 4)
        noise = np.random.default_rng(seed).standard_normal(n.size)
        low, high = bands(fit(n, 3 * n**-0.5 * np.exp(0.05 * noise)), [2000])
        inside += bool(low[0] <= 3 * 2000**-0.5 <= high[0])
    assert inside >= 34
