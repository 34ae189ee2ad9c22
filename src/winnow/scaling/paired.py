"""Rules compared on the same seeds: paired differences of test error, with t-intervals and Holm's correction.

A seed moves the errors of all rules together, through the initial weights and the order of the examples. Bars of two
rules may thus overlap although one rule is better on every seed, and only differences within a seed tell.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from winnow.errors import FitError
from winnow.scaling.grid import GROUP, RANDOM, runs
from winnow.types import Floats

PAIR = ["selection_seed", "train_seed"]


def pairs(table: pd.DataFrame, baseline: str = RANDOM) -> pd.DataFrame:
    """One line for each rule, size and pair of (selection, train) seeds that the baseline was run with, too.

    Columns: dataset, model, recipe, rule, n_kept, selection_seed, train_seed, r (kept over all examples, n_kept / n),
    error, baseline_error and difference = error − baseline_error, in [−1, 1]; below zero the rule is better. Errors
    of several probe seeds are averaged first: the baseline may have none. Sizes that keep all n examples are left
    out, as every rule trains the same models there.

    Raises FitError when the table has no row of the baseline.
    """
    if not (table["rule"] == baseline).any():
        raise FitError(f"the grid has no rows of the rule {baseline!r} to compare with; run it on the same seeds.")
    pruned = runs(table[table["n_kept"] < table["n"]])
    key = [*GROUP, "n_kept", *PAIR]
    over_probes = pruned.groupby([*GROUP, "rule", "n_kept", *PAIR], as_index=False)
    errors = over_probes.agg(n=("n", "max"), error=("test_error", "mean"))
    base = errors[errors["rule"] == baseline].rename(columns={"error": "baseline_error"})
    joined = errors[errors["rule"] != baseline].merge(base[[*key, "baseline_error"]], on=key)
    return joined.assign(r=joined["n_kept"] / joined["n"], difference=joined["error"] - joined["baseline_error"]).drop(
        columns="n"
    )


def differences(table: pd.DataFrame, baseline: str = RANDOM, level: float = 0.95) -> pd.DataFrame:
    """The mean paired difference of test error from the baseline, one line for each rule and size.

    Columns: dataset, model, recipe, rule, n_kept, r, seeds (number of pairs S), difference (mean, in [−1, 1]), low
    and high (its t-interval with S − 1 degrees of freedom), p (two-sided t-test of no difference) and p_holm
    (corrected over the rules that are compared at the same size). low, high and the p are NaN for one pair, and where
    all differences are equal, which shows no spread to test against.

    Raises FitError when the table has no row of the baseline.
    """
    lines = []
    for place, part in pairs(table, baseline).groupby([*GROUP, "rule", "n_kept"]):
        mean, low, high, p = t_interval(part["difference"], level)
        numbers = {"r": part["r"].iloc[0], "seeds": len(part), "difference": mean, "low": low, "high": high, "p": p}
        lines.append(dict(zip([*GROUP, "rule", "n_kept"], place, strict=True)) | numbers)
    columns = [*GROUP, "rule", "n_kept", "r", "seeds", "difference", "low", "high", "p"]
    found = pd.DataFrame(lines, columns=columns)
    if found.empty:
        return found.assign(p_holm=pd.Series(dtype=np.float64))
    return found.assign(p_holm=found.groupby([*GROUP, "n_kept"])["p"].transform(lambda p: holm(p.to_numpy())))


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float, float, float]:
    """Mean, low, high and two-sided p of Student's one-sample test of mean zero; NaN where there is no spread."""
    values = np.asarray(differences, dtype=np.float64)
    mean, seeds = float(values.mean()), values.size
    error = float(values.std(ddof=1)) / np.sqrt(seeds) if seeds > 1 else 0.0
    if error <= 1e-12 * max(1.0, abs(mean)):
        return mean, np.nan, np.nan, np.nan
    reach = float(student.ppf((1 + level) / 2, seeds - 1)) * error
    return mean, mean - reach, mean + reach, float(2 * student.sf(abs(mean) / error, seeds - 1))


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
