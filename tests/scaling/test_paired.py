import math

import numpy as np
import pytest

from helpers.rows import make_row
from winnow.errors import FitError
from winnow.scaling import grid
from winnow.scaling.paired import differences, holm, pairs


def rows_of(rule, errors, r=0.1, **fields):
    return [make_row(rule, r, error, seed, **fields) for seed, error in enumerate(errors)]


def test_the_mean_paired_difference_by_hand():
    # differences 0.01, 0.02, 0.03: mean 0.02, s = 0.01, se = 0.01 / sqrt(3), t(2) = 4.302652729696142
    table = grid.table([*rows_of("random", (0.10, 0.30, 0.50)), *rows_of("el2n hardest", (0.11, 0.32, 0.53))])
    (line,) = differences(table).to_dict("records")
    reach = 4.302652729696142 * 0.01 / math.sqrt(3)
    assert line["rule"] == "el2n hardest"
    assert (line["n_kept"], line["r"], line["seeds"]) == (100, 0.1, 3)
    assert (line["difference"], line["low"], line["high"]) == pytest.approx((0.02, 0.02 - reach, 0.02 + reach))
    # with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2), and t = 0.02 / (0.01 / sqrt(3))
    assert line["p"] == pytest.approx(1 - math.sqrt(12) / math.sqrt(14))
    assert line["p_holm"] == pytest.approx(line["p"])


def test_pairing_sees_what_overlapping_bars_hide():
    base = np.array([0.1, 0.2, 0.3, 0.4])
    better = base - np.array([0.009, 0.010, 0.011, 0.010])
    table = grid.table([*rows_of("random", base), *rows_of("aum hardest", better)])
    (line,) = differences(table).to_dict("records")
    assert line["high"] < 0
    assert line["p"] < 0.01


def test_only_shared_seeds_are_compared():
    table = grid.table([*rows_of("random", (0.1, 0.2, 0.3)), *rows_of("el2n hardest", (0.2, 0.4))])
    (line,) = differences(table).to_dict("records")
    assert (line["seeds"], line["difference"]) == (2, pytest.approx(0.15))


def test_probe_seeds_are_averaged_before_pairing():
    rows = rows_of("random", (0.1, 0.1))
    rows += [
        make_row("el2n hardest", 0.1, 0.2 + 0.1 * probe, seed, probe_seed=probe) for probe in (0, 1) for seed in (0, 1)
    ]
    found = pairs(grid.table(rows))
    assert list(found["error"]) == pytest.approx([0.25, 0.25])


def test_on_all_examples_there_is_nothing_to_compare():
    rows = [*rows_of("random", (0.1, 0.2), r=1.0), *rows_of("el2n hardest", (0.1, 0.2), r=1.0)]
    assert differences(grid.table(rows)).empty
    assert "p_holm" in differences(grid.table(rows))


def test_without_spread_there_is_no_interval():
    assert all(math.isnan(value) for value in t_interval([0.25, 0.25, 0.25])[1:])
    assert all(math.isnan(value) for value in t_interval([0.25])[1:])
    assert t_interval([0.25])[0] == 0.25


def test_without_the_baseline_it_is_refused():
    with pytest.raises(FitError, match="no rows of the rule 'random'"):
        differences(grid.table(rows_of("el2n hardest", (0.1, 0.2))))


def test_groups_are_paired_apart():
    rows = [*rows_of("random", (0.1, 0.2)), *rows_of("el2n hardest", (0.1, 0.3), dataset="digits")]
    assert differences(grid.table(rows)).empty


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 are 0.04, 0.06, 0.06, 0.04, made non-decreasing
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, math.nan, 0.5]), [1.0, math.nan, 1.0])


def test_holm_is_over_the_rules_of_a_size():
    errors = {"random": (0.1, 0.2, 0.3), "a": (0.2, 0.31, 0.39), "b": (0.3, 0.42, 0.5)}
    rows = [row for rule, three in errors.items() for r in (0.1, 0.5) for row in rows_of(rule, three, r=r)]
    found = differences(grid.table(rows))
    for _, part in found.groupby("n_kept"):
        np.testing.assert_allclose(part["p_holm"], holm(part["p"].to_numpy()))
    assert (found["p_holm"] > found["p"]).any()
