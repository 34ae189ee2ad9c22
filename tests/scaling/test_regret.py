import numpy as np
import pytest

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.scaling import grid
from winnow.scaling.regret import is_auto, regrets


def row(rule, alpha, error, seed, **fields):
    where = {"alpha": alpha, "selector": "calibrated", "protocol": rule.split()[1]}
    return make_row(rule, error=error, seed=seed, **where, **fields)


def make_table():
    """Errors of 0.20, 0.10 and 0.30 at three alphas, and of auto one and three hundredths above the best."""
    swept = [
        row(f"el2n exact {alpha:g}", alpha, error + 0.001 * seed, seed)
        for alpha, error in ((0.0, 0.2), (0.5, 0.1), (0.9, 0.3))
        for seed in range(2)
    ]
    auto = [row("el2n exact auto", 0.4, 0.11, 0), row("el2n exact auto", 0.6, 0.131, 1)]
    elsewhere = [row("el2n approximate 0.5", 0.5, 0.01, seed) for seed in range(2)]
    return grid.table([*swept, *auto, *elsewhere, row("el2n exact auto", 0.1, 0.9, 7)])


def test_regret_is_over_the_best_swept_alpha_on_the_same_seeds():
    (line,) = regrets(make_table()).to_dict("records")
    assert (line["rule"], line["protocol"], line["seeds"], line["best_alpha"]) == ("el2n exact auto", "exact", 2, 0.5)
    np.testing.assert_allclose([line["best_error"], line["error"], line["regret"]], [0.1005, 0.1205, 0.02])
    # Two differences, 0.01 and 0.03: standard error 0.01, and t(1) at 97.5% is 12.706.
    np.testing.assert_allclose([line["low"], line["high"]], [0.02 - 0.12706, 0.02 + 0.12706], atol=1e-5)


def test_crossed_ensembles_are_not_counted_as_independent():
    """Two ensembles and two seeds each, where only the ensemble matters: two draws; one ensemble: no interval."""
    crossed = [
        row(f"el2n exact {alpha:g}", alpha, error, s, probe_seed=p)
        for alpha, error in ((0.0, 0.2), (0.5, 0.1))
        for p in (0, 1)
        for s in (0, 1)
    ]
    crossed += [row("el2n exact auto", 0.4, 0.11 + 0.02 * p, s, probe_seed=p) for p in (0, 1) for s in (0, 1)]
    table = grid.table(crossed)
    (line,) = regrets(table).to_dict("records")
    assert (line["seeds"], line["clusters"]) == (4, 2)
    np.testing.assert_allclose([line["low"], line["high"]], [0.02 - 0.12706, 0.02 + 0.12706], atol=1e-5)
    (line,) = regrets(table[table["probe_seed"] == 0]).to_dict("records")
    assert line["one_ensemble"]
    assert np.isnan([line["low"], line["high"]]).all()


def test_seeds_that_an_alpha_lacks_do_not_count():
    table = make_table()
    lacking = table[~((table["alpha"] == 0.5) & (table["train_seed"] == 1) & (table["protocol"] == "exact"))]
    (line,) = regrets(lacking).to_dict("records")
    assert (line["seeds"], line["best_alpha"]) == (1, 0.5)
    np.testing.assert_allclose(line["regret"], 0.01)
    assert np.isnan(line["low"])


def test_nothing_to_compare_with():
    table = make_table()
    for part in (table[is_auto(table)], table[~is_auto(table)]):
        with pytest.raises(FitError, match="same seeds"):
            regrets(part)
