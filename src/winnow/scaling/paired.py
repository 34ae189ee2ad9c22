"""Rules compared on the same seeds: paired differences of test error, with t-intervals and Holm's correction.

A seed moves the errors of all rules together, through the initial weights and the order of the examples. Bars of two
rules may thus overlap although one rule is better on every seed, and only differences within a seed tell. Differences
of one probe ensemble, and those from one run of the baseline, are not independent: see `replicates`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.grid import CELL, GROUP, RANDOM, runs
from winnow.scaling.replicates import PAIR, design


def pairs(table: pd.DataFrame, baseline: str = RANDOM, error: str = "test_error") -> pd.DataFrame:
    """One line for each run of a rule whose pair of (selection, train) seeds the baseline was run with, too.

    Columns: dataset, model, recipe, rule, n_kept, probe_seed, selection_seed, train_seed, r (kept over all examples,
    n_kept / n), error (of the column of the table that `error` names, rows without it left out), baseline_error and
    difference = error − baseline_error, in [−1, 1]; below zero the rule is better. Where both read probes they are
    paired by these, too; where one of them does, probe_seed is its own. Sizes that keep all n examples are left out, as
    every rule trains the same models there.

    Raises FitError when the table has no row of the baseline.
    """
    if not (table["rule"] == baseline).any():
        raise FitError(f"the grid has no rows of the rule {baseline!r} to compare with; run it on the same seeds.")
    each = runs(table[table["n_kept"] < table["n"]], error).rename(columns={error: "error"})
    each = each.assign(r=each["n_kept"] / each["n"])[[*CELL, "probe_seed", *PAIR, "r", "error"]]
    ours, theirs = each[each["rule"] != baseline], each[each["rule"] == baseline]
    theirs = theirs.drop(columns=["rule", "r"]).rename(columns={"error": "baseline_error", "probe_seed": "theirs"})
    joined = ours.merge(theirs, on=[*GROUP, "n_kept", *PAIR])
    own, other = joined["probe_seed"], joined["theirs"]
    joined = joined[own.isna() | other.isna() | (own == other).fillna(False)]
    joined = joined.assign(probe_seed=joined["probe_seed"].fillna(joined["theirs"])).drop(columns="theirs")
    return joined.assign(difference=joined["error"] - joined["baseline_error"]).reset_index(drop=True)


def differences(
    table: pd.DataFrame, baseline: str = RANDOM, level: float = 0.95, error: str = "test_error"
) -> pd.DataFrame:
    """The mean paired difference of test error from the baseline, one line for each rule and size.

    error: the column of the table that is compared; rows without it are left out. Columns: dataset, model, recipe,
    rule, n_kept, r, seeds (runs that were paired), clusters (probe ensembles; of rules that read none, pairs of seeds),
    difference (mean of the clusters' means, in [−1, 1]), low and high (its t-interval by `replicates.Design`), df (its
    degrees of freedom), p (two-sided t-test of no difference), p_holm (corrected over every comparison of the table
    that is passed: all rules, sizes and data sets) and one_ensemble. low, high and the p are NaN where all runs share
    one probe ensemble or one pair of seeds, and where all differences are equal, which shows no spread to test against.

    Raises FitError when the table has no row of the baseline.
    """
    lines = []
    for place, part in pairs(table, baseline, error).groupby(CELL):
        found = design(part).estimate(part["difference"], paired=True)
        low, high = found.interval(level)
        numbers = {"r": part["r"].iloc[0], "seeds": found.seeds, "clusters": found.clusters, "difference": found.mean}
        numbers |= {"low": low, "high": high, "df": found.df, "p": found.p, "one_ensemble": found.one_ensemble}
        lines.append(dict(zip(CELL, place, strict=True)) | numbers)
    columns = [*CELL, "r", "seeds", "clusters", "difference", "low", "high", "df", "p"]
    compared = pd.DataFrame(lines, columns=[*columns, "one_ensemble"])
    compared.insert(len(columns), "p_holm", holm(compared["p"].to_numpy(dtype=np.float64)))
    return compared


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's step-down correction: [m] p-values that keep the chance of any false rejection below the level.

    The i-th smallest of m becomes the largest of (m − j + 1) p_(j) over j ≤ i, at most 1. NaN stays NaN and does not
    count (Holm 1979).
    """
    values = np.asarray(p, dtype=np.float64)
    corrected = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return corrected
