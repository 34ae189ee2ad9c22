import math

import numpy as np
import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.scaling import grid
from winnow.scaling.crossover import crossover
from winnow.scaling.savings import data_saved, equal_cost, frontier

RULE = "el2n hardest"
FRACTIONS = (0.1, 0.2, 0.4, 0.8)


def make_table(difference, seeds=3, wobble=0.0, **fields):
    """Random at 0.2, the rule at 0.2 plus a difference for each fraction; a wobble of each seed moves it alone."""
    rows = []
    for r, delta in zip(FRACTIONS, difference, strict=True):
        for seed in range(seeds):
            shared = 0.05 * seed  # moves both: pairing takes it away
            rows.append(make_row("random", r, 0.2 + shared, seed, **fields))
            rows.append(make_row(RULE, r, 0.2 + shared + delta + wobble * (seed - (seeds - 1) / 2), seed, **fields))
    return grid.table(rows)


def test_the_sign_change_is_interpolated_in_log_r():
    # from +0.03 at 0.1 to -0.01 at 0.2: zero three quarters of the way, at 0.1 * 2^0.75
    found = crossover(make_table((0.03, -0.01, -0.02, -0.02)), RULE)
    assert (found.beats, found.seeds) == ("above", 3)
    assert found.r == pytest.approx(0.1 * 2**0.75)
    assert found.interval == pytest.approx((found.r, found.r))  # without spread over seeds
    assert found.describe().startswith("beats random above r = 0.168")


def test_a_rule_that_wins_at_small_fractions_is_followed_upwards():
    found = crossover(make_table((-0.02, -0.01, 0.01, 0.02)), RULE)
    assert found.beats == "below"
    assert found.r == pytest.approx(0.2 * math.sqrt(2))


def test_of_several_crossings_the_one_at_the_largest_fraction_counts():
    found = crossover(make_table((0.02, -0.02, 0.02, -0.02)), RULE)
    assert found.beats == "above"
    assert found.r == pytest.approx(0.4 * math.sqrt(2))


@pytest.mark.parametrize(("delta", "beats"), [(0.01, "nowhere"), (-0.01, "everywhere"), (0.0, "nowhere")])
def test_there_may_be_none_in_range(delta, beats):
    found = crossover(make_table((delta,) * 4), RULE)
    assert (found.r, found.beats, found.interval) == (None, beats, None)
    assert found.describe() == f"none in range: beats random {beats}, r = 0.1 to 0.8"


def test_the_interval_spreads_with_the_seeds_and_says_where_it_leaves_the_range():
    narrow = crossover(make_table((0.03, 0.01, -0.01, -0.03), seeds=5, wobble=0.002), RULE)
    wide = crossover(make_table((0.03, 0.01, -0.01, -0.03), seeds=5, wobble=0.02), RULE)
    assert narrow.r == pytest.approx(wide.r)
    assert 0.2 < narrow.interval[0] < narrow.r < narrow.interval[1] < 0.4
    assert wide.interval[0] < narrow.interval[0]
    out = crossover(make_table((0.03, 0.01, -0.01, -0.03), wobble=0.08), RULE)
    assert out.interval == (0.0, math.inf)
    assert "(below 0.1 to above 0.8)" in out.describe()


def test_one_seed_has_a_crossover_and_no_interval():
    found = crossover(make_table((0.03, -0.01, -0.02, -0.02), seeds=1), RULE)
    assert found.r is not None
    assert found.interval is None


def test_of_two_sizes_the_interval_is_fiellers():
    """Differences 0.02 and -0.02 on average: the interval ends where the t of the line between them is the quantile."""
    off = np.array([-0.004, 0.001, 0.003])
    rows = [make_row("random", r, 0.2, seed) for r in (0.1, 0.4) for seed in range(3)]
    rows += [make_row(RULE, 0.1, 0.22 + off[seed], seed) for seed in range(3)]
    rows += [make_row(RULE, 0.4, 0.18 + off[seed], seed) for seed in range(3)]
    found = crossover(grid.table(rows), RULE)
    assert found.r == pytest.approx(0.2)
    reach = 4.302652729696142 * off.std(ddof=1) / math.sqrt(3)  # the whole line moves with a seed
    ends = [0.1 * 4 ** ((0.02 + side * reach) / 0.04) for side in (-1, 1)]
    assert found.interval == pytest.approx(ends, rel=1e-4)


def test_one_ensemble_has_a_crossover_and_says_why_it_has_no_interval():
    table = make_table((0.03, -0.01, -0.02, -0.02), wobble=0.002)
    found = crossover(table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0)), RULE)
    assert (found.interval, found.one_ensemble, found.seeds, found.clusters) == (None, True, 3, 1)
    assert found.describe().endswith("(one probe ensemble)")


@pytest.mark.parametrize("crossed", [False, True])
def test_the_planted_crossing_lies_in_its_interval(crossed):
    """Ensembles and seeds that move the whole curve, a planted crossing at r = 0.2 * sqrt(2)."""
    generator, inside = np.random.default_rng(0), 0
    cells = [(p, s) for p in range(3) for s in range(3)] if crossed else [(i, i) for i in range(5)]
    rows = [make_row("random", r, 0.4, s) for r in FRACTIONS for s in {s for _, s in cells}]
    rows += [make_row(RULE, r, 0.4, s, probe_seed=p) for r in FRACTIONS for p, s in cells]
    table = grid.table(rows)
    p, s = (table[name].fillna(-1).astype(int).to_numpy() for name in ("probe_seed", "train_seed"))
    planted = table["r"].map(dict(zip(FRACTIONS, (0.06, 0.02, -0.02, -0.06), strict=True))).to_numpy()
    for _ in range(40):
        of_p, of_s, of_random = 0.01 * generator.standard_normal((3, 5))
        own = of_p[p] + of_s[s] + planted + 0.005 * generator.standard_normal(p.size)
        error = 0.4 + np.where(table["rule"] == RULE, own, of_random[s])
        found = crossover(table.assign(test_error=error), RULE)
        inside += found.r is None or found.interval[0] <= 0.2 * math.sqrt(2) <= found.interval[1]
    assert inside >= 36


def test_all_examples_are_no_point():
    rows = [make_row(rule, 1.0, 0.1, seed) for rule in ("random", RULE) for seed in range(3)]
    table = make_table((-0.02,) * 4)
    both = pd.concat([table, grid.table(rows)], ignore_index=True)
    assert crossover(both, RULE).high == 0.8


def test_refusals_name_what_is_missing():
    table = make_table((0.03, -0.01, -0.02, -0.02))
    with pytest.raises(FitError, match="share no seeds"):
        crossover(table, "aum hardest")
    with pytest.raises(FitError, match="no rows of the rule 'random'"):
        crossover(table[table["rule"] == RULE], RULE)
    two = grid.table([make_row(), make_row(dataset="digits")])
    for compare in (crossover, lambda table, rule: data_saved(table, rule, 0.1)):
        with pytest.raises(FitError, match="several data sets"):
            compare(two, "random")


def power_table(factor, seeds=3, wobble=0.0):
    """Random: error 2 n^-0.5 of n_kept; the rule reaches the same error with 1 / factor² of the examples."""
    rows = []
    for r in (0.1, 0.2, 0.4, 0.8):
        for seed in range(seeds):
            error = 2 * (1000 * r) ** -0.5
            rows.append(make_row("random", r, error, seed))
            rows.append(make_row(RULE, r, error / factor * (1 + wobble * (seed - 1)), seed))
    return grid.table(rows)


def test_data_saved_by_hand():
    # random reaches 0.08 at n = (2 / 0.08)^2 = 625, a rule with errors smaller by sqrt(2) at half of that
    saved = data_saved(power_table(math.sqrt(2)), RULE, 0.08)
    assert saved.baseline_needed == pytest.approx(625)
    assert saved.needed == pytest.approx(312.5)
    assert saved.saved == pytest.approx(312.5)
    assert saved.interval == pytest.approx((312.5, 312.5))
    low, high = data_saved(power_table(math.sqrt(2), wobble=0.05), RULE, 0.08).interval
    assert low < 312.5 < high


def test_what_is_saved_has_the_t_interval_of_the_replicates():
    """A rule that moves by a factor f has needed / f^2 examples: to first order 2 needed times the spread of log f."""
    low, high = data_saved(power_table(math.sqrt(2), wobble=0.01), RULE, 0.08).interval
    reach = 4.302652729696142 * 2 * 312.5 * 0.01 / math.sqrt(3)
    assert (low, high) == pytest.approx((312.5 - reach, 312.5 + reach), rel=1e-6)
    table = power_table(math.sqrt(2), wobble=0.01)
    found = data_saved(table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0)), RULE, 0.08)
    assert (found.interval, found.one_ensemble) == (None, True)
    assert data_saved(table, RULE, 0.9).interval is None  # reached at the smallest size by both


def test_an_error_out_of_reach_saves_nothing():
    table = power_table(math.sqrt(2))
    never = data_saved(table, RULE, 0.001)
    assert (never.needed, never.baseline_needed, never.saved) == (None, None, None)
    only_the_rule = data_saved(table, RULE, 0.06)
    assert only_the_rule.needed == pytest.approx((2 / math.sqrt(2) / 0.06) ** 2)
    assert only_the_rule.saved is None
    at_once = data_saved(table, RULE, 0.9)
    assert at_once.needed == 100
    for error, message in ((1.5, "between 0 and 1"), (0.0, "between 0 and 1")):
        with pytest.raises(FitError, match=message):
            data_saved(table, RULE, error)
    with pytest.raises(FitError, match="choose one of: el2n hardest, random"):
        data_saved(table, "aum", 0.1)


def test_all_examples_serve_every_pair_of_seeds():
    rows = [make_row("random", r, 0.3 - 0.2 * r, seed) for r in (0.5, 1.0) for seed in range(2)]
    rows += [make_row(RULE, r, 0.28 - 0.18 * r, seed) for r in (0.5, 1.0) for seed in range(2)]
    found = data_saved(grid.table(rows), RULE, 0.15)
    assert 500 < found.needed < found.baseline_needed < 1000
    assert found.interval is not None


def test_the_frontier_names_the_best_rule_and_its_paired_difference():
    best = frontier(make_table((0.03, -0.01, 0.0, -0.02), wobble=0.001)).set_index("n_kept")
    assert list(best["rule"]) == ["random", RULE, "random", RULE]
    assert best.at[200, "difference"] == pytest.approx(-0.01)
    assert best.at[200, "low"] < -0.01 < best.at[200, "high"]
    assert np.isnan(best.at[100, "difference"])
    alone = frontier(grid.table([make_row(RULE)]))
    assert np.isnan(alone["p_holm"]).all()


def test_equal_cost_counts_scoring():
    rows = [make_row("random", r, 20 / (1000 * r), 0) for r in (0.1, 0.2, 0.4, 0.8)]  # cost: 10 examples_seen each
    rows += [make_row(RULE, 0.1, 0.04, 0, probe_examples=3000), make_row(RULE, 1.0, 0.01, 0)]
    rows += [make_row("aum hardest", 0.05, 0.5, 0, probe_examples=0)]
    found = equal_cost(grid.table(rows)).set_index("rule")
    assert list(found.index) == ["aum hardest", RULE]  # and nothing for all examples
    # 1,000 presentations and 3,000 for scoring buy 400 random examples
    assert (found.at[RULE, "cost"], found.at[RULE, "baseline_error"]) == pytest.approx((4000, 0.05))
    assert found.at[RULE, "difference"] == pytest.approx(-0.01)
    assert np.isnan(found.at["aum hardest", "baseline_error"])


def test_equal_cost_never_gets_worse_with_more_money():
    rows = [make_row("random", r, error, 0) for r, error in ((0.1, 0.3), (0.2, 0.1), (0.4, 0.2))]
    rows.append(make_row(RULE, 0.1, 0.15, 0, probe_examples=90_000))
    assert equal_cost(grid.table(rows))["baseline_error"].item() == pytest.approx(0.1)
