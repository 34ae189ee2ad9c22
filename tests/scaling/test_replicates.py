import itertools
import math
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.scaling import grid
from winnow.scaling.paired import differences, holm
from winnow.scaling.panel import panel
from winnow.scaling.replicates import Design, design, share_ensemble

ROOT = Path(__file__).parents[2]
BENCH = runpy.run_path(str(ROOT / "scripts" / "bench" / "coverage.py"))


def made(cells):
    p, s = np.array(cells).T
    return Design(p, s, reads=True)


def lines(cells, errors=None):
    """Lines of `grid.runs` for (probe, selection and training) seeds; no probe is read where it is None."""
    found = pd.DataFrame({"probe_seed": [p for p, _ in cells], "selection_seed": [s for _, s in cells]})
    found = found.assign(train_seed=found["selection_seed"]).astype("Int64")
    return found if errors is None else found.assign(error=errors)


def test_of_ensembles_with_seeds_of_their_own_only_their_means_count():
    # means 0.1, 0.3, 0.5: mean 0.3, standard deviation 0.2, over sqrt(3), t with 2 degrees of freedom
    found = made([(0, 0), (0, 1), (1, 2), (2, 3), (2, 4), (2, 5)]).estimate([0.05, 0.15, 0.3, 0.4, 0.5, 0.6])
    assert found[:3] == pytest.approx((0.3, 0.2 / math.sqrt(3), 2))
    assert found[3:] == (6, 3, False)
    reach = 4.302652729696142 * 0.2 / math.sqrt(3)
    assert found.interval() == pytest.approx((0.3 - reach, 0.3 + reach))
    # with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2)
    t = 0.3 * math.sqrt(3) / 0.2
    assert found.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))


def test_a_crossed_design_has_the_variance_of_a_two_way_table():
    values = np.array([[0.1, 0.5, 0.4], [0.3, 0.6, 0.8], [0.2, 0.8, 0.6], [0.0, 0.7, 0.3]])
    ensembles, seeds = values.shape
    of_p, of_s = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    ms_p, ms_s = seeds * of_p.var(ddof=1), ensembles * of_s.var(ddof=1)
    ms_e = np.sum((values - of_p - of_s + values.mean()) ** 2) / 6
    assert ms_e < min(ms_p, ms_s)
    found = made(list(itertools.product(range(4), range(3)))).estimate(values.ravel())
    assert found.mean == pytest.approx(values.mean())
    assert found.se == pytest.approx(math.sqrt((ms_p + ms_s - ms_e) / 12))
    assert found.clusters == 4
    assert 2 < found.df < 5


def test_where_ensembles_only_repeat_each_other_they_are_one_draw():
    by_seed = np.array([0.1, 0.2, 0.6])
    found = made(list(itertools.product(range(5), range(3)))).estimate(np.tile(by_seed, 5))
    assert found.se == pytest.approx(by_seed.std(ddof=1) / math.sqrt(3))
    assert found.df == pytest.approx(2)


def test_no_estimate_is_below_what_the_means_of_ensembles_alone_say():
    # rows that undo each other within an ensemble: (MSP + MSS - MSE) / PS is negative
    values = np.array([[0.0, 1.0], [1.0, 0.1]])
    found = made(list(itertools.product(range(2), range(2)))).estimate(values.ravel())
    assert found.se == pytest.approx(abs(0.5 - 0.55) / 2)


@pytest.mark.parametrize(
    "cells",
    [
        [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 2), (2, 3), (3, 3)],
        [(p, s) for p in range(4) for s in range(4) if (p, s) not in {(0, 1), (1, 1), (2, 3), (3, 0)}],
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3), (3, 4)],
    ],
)
def test_whatever_is_missing_the_variance_is_right_on_average(cells):
    known = made(cells)
    p, s = np.array(cells).T
    for shared in (p[:, None] == p, s[:, None] == s, np.eye(len(cells))):
        expected = np.sum(np.einsum("f,fij->ij", known._forms.unbiased, known._forms.forms) * shared)
        assert expected == pytest.approx(known.weights @ shared @ known.weights)


def test_a_rule_without_probes_has_the_pairs_of_seeds_as_clusters():
    found = design(lines([(None, 0), (None, 1), (None, 2)])).estimate([0.1, 0.2, 0.6])
    assert found[:3] == pytest.approx((0.3, math.sqrt(0.07 / 3), 2))
    assert found[3:] == (3, 3, False)


def test_one_ensemble_knows_no_chance_and_one_pair_of_seeds_none_of_differences():
    alone = design(lines([(7, 0), (7, 1), (7, 2)]))
    found = alone.estimate([0.1, 0.2, 0.6])
    assert (found.clusters, found.one_ensemble) == (1, True)
    assert np.isnan([found.se, found.df, found.p, *found.interval()]).all()
    assert share_ensemble(lines([(7, 0), (7, 1)]))
    assert not share_ensemble(lines([(7, 0), (8, 1)]))
    assert not share_ensemble(lines([(None, 0), (None, 1)]))
    pinned = design(lines([(0, 0), (1, 0), (2, 0)]))
    assert pinned.estimate([0.1, 0.2, 0.6]).se == pytest.approx(math.sqrt(0.07 / 3))
    assert math.isnan(pinned.estimate([0.1, 0.2, 0.6], paired=True).se)


def test_without_spread_there_is_no_interval():
    for cells in ([(0, 0), (1, 1), (2, 2)], list(itertools.product(range(3), range(3)))):
        found = made(cells).estimate(np.full(len(cells), 0.1) + 0.2)
        assert (found.se, found.mean) == (0, pytest.approx(0.3))
        assert np.isnan([found.p, *found.interval()]).all()


def test_a_function_of_several_means_is_that_of_each_replicate():
    cells = list(itertools.product(range(3), range(3)))
    generator = np.random.default_rng(0)
    first, second = generator.normal(1, 0.1, (2, 9))
    errors = panel([lines(cells, first), lines(cells, second)])
    np.testing.assert_allclose(errors.means, [first.mean(), second.mean()])
    se, df = errors.spread(np.array([[2.0, -3.0]]))
    alone = made(cells).estimate(2 * first - 3 * second)
    assert (se[0], df[0]) == (pytest.approx(alone.se), pytest.approx(alone.df))


def test_what_names_fewer_seeds_stands_for_every_replicate_that_has_them():
    cells = [(0, 0), (1, 0), (0, 1), (1, 1)]
    rule, random = np.array([0.1, 0.3, 0.2, 0.7]), np.array([0.2, 0.6])
    full = pd.DataFrame({"probe_seed": [pd.NA] * 2, "selection_seed": [pd.NA] * 2, "train_seed": [0, 1]})
    places = [lines(cells, rule), lines([(None, 0), (None, 1)], random), full.assign(error=random)]
    errors = panel(places)
    se, _ = errors.spread(np.array([[1.0, -1.0, 0], [1.0, 0, -1.0]]))
    assert se == pytest.approx(made([(0, 0), (1, 0), (0, 1), (1, 1)]).estimate(rule - random[[0, 0, 1, 1]]).se)
    assert errors.known
    assert not panel([lines(cells, rule), lines([(None, 8), (None, 9)], random)]).known


def test_draws_spread_as_the_means_do():
    errors = panel([lines([(p, p) for p in range(30)], np.random.default_rng(1).normal(0.3, 0.1, 30))])
    drawn = errors.draws(4000, np.random.default_rng(0))[:, 0]
    assert drawn.mean() == pytest.approx(0, abs=0.002)
    assert drawn.std() == pytest.approx(errors.spread(np.ones((1, 1)))[0][0] * math.sqrt(29 / 27), rel=0.06)


def test_the_simulation_corrects_as_the_table_does():
    p = np.random.default_rng(0).uniform(0, 0.2, (20, 4))
    np.testing.assert_allclose(BENCH["_first_by_holm"](p), [holm(line)[0] for line in p])


@pytest.fixture(scope="module")
def simulated():
    found = BENCH["coverage"](1000)
    return found.set_index("design")


def test_intervals_of_differences_cover_and_tests_do_not_find_what_is_not_there(simulated):
    """The short form of scripts/bench/coverage.py: probe spread 0, 1 and 3 times that of seeds, of either reading."""
    found = simulated[simulated["quantity"] == "difference"].drop("1 ensemble x 3 seeds")
    assert len(found) == 11 * 3 * 2
    assert (found["coverage_after"] >= 0.92).all(), found["coverage_after"]
    # with few levels beside many, which may or may not matter, they are a little wide where they do not
    assert (found.drop("crossed 3x10")["coverage_after"] <= 0.98).all(), found["coverage_after"]
    assert (found["any_false_holm_after"] <= 0.06).all(), found["any_false_holm_after"]
    assert (found["false_after"] <= 0.06).all(), found["false_after"]


def test_one_ensemble_has_no_coverage_and_crossed_rows_once_had_too_little(simulated):
    found = simulated[(simulated["quantity"] == "difference") & (simulated["probe_spread"] == 3)]
    assert found.loc["1 ensemble x 3 seeds", "coverage_after"].isna().all()
    assert (found.loc["crossed 5x5", "coverage_before"] < 0.75).all()
    assert (found.loc["1 ensemble x 3 seeds", "coverage_before"] < 0.65).all()
    means = simulated[(simulated["quantity"] == "mean") & (simulated["probe_spread"] == 3)]
    assert means.loc["crossed 5x5", "coverage_after"].min() > 0.92 > means.loc["crossed 5x5", "coverage_before"].max()


def test_power_grows_with_replicates(simulated):
    power = simulated[(simulated["quantity"] == "difference") & (simulated["probe_spread"] == 0)]["power_holm_after"]
    assert power["nested 3x1"].iloc[0] == pytest.approx(0.17, abs=0.04)
    assert power["nested 5x1"].iloc[0] == pytest.approx(0.68, abs=0.05)
    assert power["nested 10x1"].iloc[0] > 0.98


def test_the_public_tables_are_those_of_the_simulated_design():
    cells = BENCH["DESIGNS"]["seeds 1, 2, 3, 3, 5 shared"]
    errors, off = BENCH["simulate"](cells, 3, "alone", 1, 5)
    base = {s: 0.5 + 0.01 * (errors[0, 0, i] - off[0, 0, i]) for i, (_, s) in enumerate(cells)}
    rows = [make_row("random", error=error, seed=s) for s, error in base.items()]
    rows += [
        make_row("el2n hardest", error=0.5 + errors[0, 0, i] / 100, seed=s, probe_seed=p)
        for i, (p, s) in enumerate(cells)
    ]
    (line,) = differences(grid.table(rows)).to_dict("records")
    found = made(cells).estimate(off[0, 0] / 100)
    assert (line["difference"], line["df"], line["p"]) == pytest.approx((found.mean, found.df, found.p))
    assert (line["seeds"], line["clusters"]) == (14, 5)
    mean = grid.summarise(grid.table(rows)).set_index("rule").loc["el2n hardest"]
    expected = made(cells).estimate(0.5 + errors[0, 0] / 100)
    assert (mean["test_error_mean"], mean["test_error_se"]) == pytest.approx((expected.mean, expected.se))
