import math

import numpy as np
import pytest

from helpers.rows import make_row
from winnow.core.errors import FitError
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


def test_another_error_is_compared_alike_and_rows_without_it_are_left_out():
    random = [make_row("random", 0.1, 0.1, s, worst_class_error=0.2 + 0.1 * s) for s in range(3)]
    ours = [make_row("el2n hardest", 0.1, 0.5, s, worst_class_error=0.3 + 0.1 * s + 0.01 * s) for s in range(2)]
    ours.append(make_row("el2n hardest", 0.1, 0.5, 2))
    (line,) = differences(grid.table([*random, *ours]), error="worst_class_error").to_dict("records")
    assert (line["seeds"], line["difference"]) == (2, pytest.approx(0.105))


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


def test_every_ensemble_is_paired_with_the_run_of_its_seeds_and_kept_apart():
    rows = rows_of("random", (0.1, 0.3))
    rows += [
        make_row("el2n hardest", 0.1, 0.2 + 0.1 * probe, seed, probe_seed=probe) for probe in (4, 5) for seed in (0, 1)
    ]
    found = pairs(grid.table(rows)).sort_values(["probe_seed", "train_seed"])
    assert list(found["probe_seed"]) == [4, 4, 5, 5]
    assert list(found["difference"]) == pytest.approx([0.5, 0.3, 0.6, 0.4])
    (line,) = differences(grid.table(rows)).to_dict("records")
    assert (line["seeds"], line["clusters"]) == (4, 2)


def test_two_rules_that_read_probes_are_paired_by_them():
    rows = [make_row("el2n hardest", 0.1, 0.2, s, probe_seed=p) for p in (0, 1) for s in (0, 1)]
    rows += [make_row("aum hardest", 0.1, 0.3 + 0.01 * p, s, probe_seed=p) for p in (1, 2) for s in (0, 1)]
    found = pairs(grid.table(rows), baseline="el2n hardest")
    assert list(found["probe_seed"]) == [1, 1]
    assert list(found["difference"]) == pytest.approx([0.11, 0.11])
    other = pairs(grid.table([*rows, *rows_of("random", (0.5, 0.5))]), baseline="el2n hardest")
    random = other[other["rule"] == "random"]
    assert sorted(random["probe_seed"]) == [0, 0, 1, 1]  # a baseline that reads probes brings its ensembles


def test_one_ensemble_or_one_pair_of_seeds_gives_neither_interval_nor_p():
    random = rows_of("random", (0.1, 0.2, 0.3))
    one = [make_row("el2n hardest", 0.1, error, seed, probe_seed=7) for seed, error in enumerate((0.4, 0.6, 0.5))]
    (line,) = differences(grid.table([*random, *one])).to_dict("records")
    assert (line["clusters"], line["one_ensemble"], line["difference"]) == (1, True, pytest.approx(0.3))
    assert all(math.isnan(line[name]) for name in ("low", "high", "df", "p", "p_holm"))
    # three ensembles against one run of random: its own luck is in all of them
    shared = [make_row("el2n hardest", 0.1, 0.4 + 0.1 * p, 0, probe_seed=p) for p in range(3)]
    (line,) = differences(grid.table([*random, *shared])).to_dict("records")
    assert not line["one_ensemble"]
    assert all(math.isnan(line[name]) for name in ("low", "high", "p"))


def test_on_all_examples_there_is_nothing_to_compare():
    rows = [*rows_of("random", (0.1, 0.2), r=1.0), *rows_of("el2n hardest", (0.1, 0.2), r=1.0)]
    assert differences(grid.table(rows)).empty
    assert "p_holm" in differences(grid.table(rows))


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


def test_holm_is_over_all_rules_sizes_and_data_sets_of_the_table():
    errors = {"random": (0.1, 0.2, 0.3), "a": (0.2, 0.31, 0.39), "b": (0.3, 0.42, 0.5)}
    rows = [
        row
        for rule, three in errors.items()
        for r in (0.1, 0.5)
        for dataset in ("blobs", "digits")
        for row in rows_of(rule, three, r=r, dataset=dataset)
    ]
    found = differences(grid.table(rows))
    assert len(found) == 8
    np.testing.assert_allclose(found["p_holm"], holm(found["p"].to_numpy()))
    # both rules of four places: the smallest p is there four times, and the others wait for them
    assert found["p_holm"].min() == pytest.approx(8 * found["p"].min())
