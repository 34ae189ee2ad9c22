"""What a rule saves: examples to reach an error, the best rule at each size, and error at equal total cost."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.crossover import one_group
from winnow.scaling.grid import GROUP, RANDOM, rule_order, runs, summarise
from winnow.scaling.paired import differences
from winnow.scaling.panel import panel
from winnow.scaling.points import positive
from winnow.scaling.replicates import share_ensemble, t_ends


class DataSaved(NamedTuple):
    """How many fewer examples than the baseline a rule needs to reach an error.

    needed, baseline_needed: examples kept, None where the error is not reached in the grid. saved: their difference,
    below zero where the rule needs more; None unless both reach the error. interval: of `saved`, over replicates; None
    where chance is not known (one replicate, or one probe ensemble, which one_ensemble tells), and where an error is
    reached at the smallest size already, which bounds what is needed.
    """

    rule: str
    baseline: str
    error: float
    needed: float | None
    baseline_needed: float | None
    saved: float | None
    interval: tuple[float, float] | None
    one_ensemble: bool


def data_saved(
    table: pd.DataFrame, rule: str, error: float, baseline: str = RANDOM, *, level: float = 0.95
) -> DataSaved:
    """How many fewer examples than the baseline a rule needs to reach a test error.

    table: a grid of one (dataset, model, recipe). error: in (0, 1). Mean errors are joined by straight lines in log n
    and log error; needed is the smallest n at which the line is at or below `error`, so that an error reached at the
    smallest size already counts as reached there. The interval is a t-interval over replicates, of both rules together
    (`panel.Panel`): what they need moves with their mean errors as the lines' slopes say.

    Raises FitError when the table holds several groups, has no row of rule or baseline, or error is not in (0, 1).
    """
    one_group(table)
    if not 0 < error < 1:
        raise FitError(f"error={error} is not a test error between 0 and 1, such as 0.05.")
    n_test = int(table["n_test"].max())
    each = runs(table).rename(columns={"test_error": "error"})
    sizes, places = {}, []
    for name in dict.fromkeys((rule, baseline)):
        rows = each[each["rule"] == name]
        if rows.empty:
            known = ", ".join(sorted(set(table["rule"])))
            raise FitError(f"the grid has no rows of the rule {name!r}; choose one of: {known}.")
        own = [(n, part) for n, part in rows.groupby("n_kept")]
        sizes[name] = np.array([n for n, _ in own], dtype=np.float64)
        places += [part for _, part in own]
    errors = panel(places)
    reached = {}
    start = 0
    for name, n in sizes.items():
        mean = positive(errors.means[start : start + n.size], n_test)
        slopes = np.zeros(errors.means.size)
        needed, slopes[start : start + n.size] = _first_reach(n, mean, error)
        reached[name] = needed, slopes
        start += n.size
    (ours, slope), (theirs, other) = reached[rule], reached[baseline]
    single = any(share_ensemble(each[each["rule"] == name]) for name in sizes)
    if ours is None or theirs is None:
        return DataSaved(rule, baseline, error, ours, theirs, None, None, single)
    interval = None
    if errors.known and not single and slope.any() and other.any():
        (se,), (df,) = errors.spread((other - slope)[None])
        low, high = t_ends(theirs - ours, se, df, level) if se > 0 else (theirs - ours, theirs - ours)
        interval = float(low), float(high)
    return DataSaved(rule, baseline, error, ours, theirs, theirs - ours, interval, single)


def frontier(table: pd.DataFrame, baseline: str = RANDOM) -> pd.DataFrame:
    """The rule of lowest mean test error at each size, a tie going to the first in `rule_order`.

    Columns: dataset, model, recipe, n_kept, r, rule, seeds, clusters, test_error_mean, test_error_se, one_ensemble, and
    the paired difference from the baseline of `paired.differences` with low, high and p_holm (corrected over every
    comparison of the table), NaN where the baseline itself is best or was not run on the same seeds, or where chance is
    not known. The best of several is chosen by its mean, so that its own mean flatters it: read p_holm.
    """
    curves = summarise(table)
    place = {rule: i for i, rule in enumerate(rule_order(curves["rule"]))}
    ranked = curves.assign(place=curves["rule"].map(place)).sort_values(["test_error_mean", "place"], kind="stable")
    best = ranked.drop_duplicates([*GROUP, "n_kept"]).sort_values([*GROUP, "n_kept"], kind="stable")
    shown = best[
        [*GROUP, "n_kept", "r", "rule", "seeds", "clusters", "test_error_mean", "test_error_se", "one_ensemble"]
    ]
    columns = [*GROUP, "rule", "n_kept", "difference", "low", "high", "p_holm"]
    if not (table["rule"] == baseline).any():
        return shown.assign(**dict.fromkeys(columns[-4:], np.nan)).reset_index(drop=True)
    return shown.merge(differences(table, baseline)[columns], on=[*GROUP, "rule", "n_kept"], how="left")


def equal_cost(table: pd.DataFrame, baseline: str = RANDOM) -> pd.DataFrame:
    """Each rule against what the baseline reaches for the same total cost, the cost of scoring included.

    One line for each rule and size; columns: dataset, model, recipe, rule, n_kept, cost (examples_seen +
    probe_examples: examples processed, forward passes of scoring counted like steps of training), test_error (mean),
    baseline_error (the lowest mean error of the baseline for at most that cost, straight in log cost and log error
    between its sizes; NaN where even its smallest size costs more) and difference. Scoring is charged in full to every
    size, although one scoring serves them all: a table for a user who prunes once. Sizes that keep all n examples are
    left out, as nobody scores to keep everything.

    Raises FitError when the table has no row of the baseline.
    """
    curves = summarise(table)
    if not (curves["rule"] == baseline).any():
        raise FitError(f"the grid has no rows of the rule {baseline!r} to compare with; run it on the same seeds.")
    curves = curves.assign(cost=curves["examples_seen"] + curves["probe_examples"], baseline_error=np.nan)
    n_test = int(table["n_test"].max())
    for _, part in curves.groupby(GROUP):
        base = part[part["rule"] == baseline].sort_values(["cost", "n_kept"])
        if base.empty:
            continue
        costs, errors = base["cost"].to_numpy(dtype=np.float64), base["test_error_mean"].to_numpy(dtype=np.float64)
        reached = [_lowest_within(costs, positive(errors, n_test), cost) for cost in part["cost"]]
        curves.loc[part.index, "baseline_error"] = reached
    pruned = curves.merge(table[[*GROUP, "n"]].drop_duplicates(), on=GROUP)
    pruned = pruned[(pruned["rule"] != baseline) & (pruned["n_kept"] < pruned["n"])]
    shown = pruned.rename(columns={"test_error_mean": "test_error"})
    shown = shown[[*GROUP, "rule", "n_kept", "cost", "test_error", "baseline_error"]].reset_index(drop=True)
    return shown.assign(difference=shown["test_error"] - shown["baseline_error"])


def _first_reach(n: Floats, mean: Floats, error: float) -> tuple[float | None, Floats]:
    """The smallest n at which the line is at or below the error, and its derivatives by the mean errors."""
    slopes = np.zeros(n.size)
    reached = np.flatnonzero(mean <= error)
    if reached.size == 0:
        return None, slopes
    i = int(reached[0])
    if i == 0:
        return float(n[0]), slopes
    fall, step = np.log(mean[i - 1] / mean[i]), np.log(n[i] / n[i - 1])
    share = np.log(mean[i - 1] / error) / fall
    needed = float(np.exp(np.log(n[i - 1]) + share * step))
    slopes[i - 1], slopes[i] = np.array([(1 - share) / mean[i - 1], share / mean[i]]) * needed * step / fall
    return needed, slopes


def _lowest_within(costs: Floats, errors: Floats, cost: float) -> float:
    if cost < costs[0]:
        return np.nan
    at_cost = np.exp(np.interp(np.log(cost), np.log(costs), np.log(errors)))
    return float(min(errors[costs <= cost].min(), at_cost))
