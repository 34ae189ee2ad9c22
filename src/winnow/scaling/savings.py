"""What a rule saves: examples to reach an error, the best rule at each size, and error at equal total cost."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from winnow.errors import FitError
from winnow.scaling.crossover import one_group
from winnow.scaling.grid import GROUP, RANDOM, rule_order, runs, summarise
from winnow.scaling.paired import PAIR, differences
from winnow.scaling.points import positive
from winnow.types import Floats


class DataSaved(NamedTuple):
    """How many fewer examples than the baseline a rule needs to reach an error.

    needed, baseline_needed: examples kept, None where the error is not reached in the grid. saved: their difference,
    below zero where the rule needs more; None unless both reach the error. interval: of `saved`, by bootstrap over
    the seeds that both share; None with fewer than two of them, or where over half of the resamples do not reach it.
    """

    rule: str
    baseline: str
    error: float
    needed: float | None
    baseline_needed: float | None
    saved: float | None
    interval: tuple[float, float] | None


def data_saved(
    table: pd.DataFrame,
    rule: str,
    error: float,
    baseline: str = RANDOM,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> DataSaved:
    """How many fewer examples than the baseline a rule needs to reach a test error.

    table: a grid of one (dataset, model, recipe). error: in (0, 1). Mean errors over seeds are joined by straight lines
    in log n and log error; needed is the smallest n at which the line is at or below `error`, so that an error reached
    at the smallest size already counts as reached there. For the interval the (selection, train) seeds that both
    rules share are drawn again with replacement, all their sizes together; resamples that do not reach it are left out.

    Raises FitError when the table holds several groups, has no row of rule or baseline, or error is not in (0, 1).
    """
    one_group(table)
    if not 0 < error < 1:
        raise FitError(f"error={error} is not a test error between 0 and 1, such as 0.05.")
    curves = {name: _seed_curves(table, name) for name in (rule, baseline)}
    n_test = int(table["n_test"].max())

    def needed(name: str, columns: "list | None") -> float | None:
        curve = curves[name] if columns is None else curves[name][columns]
        mean = positive(curve.mean(axis=1).to_numpy(dtype=np.float64), n_test)
        return _first_reach(curve.index.to_numpy(dtype=np.float64), mean, error)

    ours, theirs = needed(rule, None), needed(baseline, None)
    if ours is None or theirs is None:
        return DataSaved(rule, baseline, error, ours, theirs, None, None)
    shared = [column for column in curves[rule].dropna(axis=1) if column in curves[baseline].dropna(axis=1)]
    interval = None
    if len(shared) > 1:
        generator = np.random.default_rng(seed)
        saved = []
        for drawn in generator.integers(len(shared), size=(resamples, len(shared))):
            columns = [shared[i] for i in drawn]
            both = needed(rule, columns), needed(baseline, columns)
            if both[0] is not None and both[1] is not None:
                saved.append(both[1] - both[0])
        if len(saved) > resamples / 2:
            low, high = np.quantile(saved, [(1 - level) / 2, (1 + level) / 2])
            interval = float(low), float(high)
    return DataSaved(rule, baseline, error, ours, theirs, theirs - ours, interval)


def frontier(table: pd.DataFrame, baseline: str = RANDOM) -> pd.DataFrame:
    """The rule of lowest mean test error at each size, a tie going to the first in `rule_order`.

    Columns: dataset, model, recipe, n_kept, r, rule, seeds, test_error_mean, test_error_se, and the paired difference
    from the baseline of `paired.differences` with low, high and p_holm, NaN where the baseline itself is best or was
    not run on the same seeds. The best of several is chosen by its mean, so that its own mean flatters it: read p_holm.
    """
    curves = summarise(table)
    place = {rule: i for i, rule in enumerate(rule_order(curves["rule"]))}
    ranked = curves.assign(place=curves["rule"].map(place)).sort_values(["test_error_mean", "place"], kind="stable")
    best = ranked.drop_duplicates([*GROUP, "n_kept"]).sort_values([*GROUP, "n_kept"], kind="stable")
    shown = best[[*GROUP, "n_kept", "r", "rule", "seeds", "test_error_mean", "test_error_se"]]
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


def _seed_curves(table: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Errors of a rule, a line for each n_kept (rising), a column for each (selection, train) pair of seeds.

    On all n examples the selection has no say: every pair has the error of its training seed there.
    """
    rows = table[table["rule"] == rule]
    if rows.empty:
        raise FitError(
            f"the grid has no rows of the rule {rule!r}; choose one of: {', '.join(sorted(set(table.rule)))}."
        )
    each = runs(rows)
    full = each["n_kept"] == each["n"]
    wide = each[~full].pivot_table(index="n_kept", columns=PAIR, values="test_error")
    if not full.any():
        return wide.sort_index()
    trained = each[full].groupby("train_seed")["test_error"].mean()
    if wide.empty:
        wide.columns = pd.MultiIndex.from_tuples([(seed, seed) for seed in trained.index], names=PAIR)
    level = pd.DataFrame({pair: trained.get(pair[1], np.nan) for pair in wide.columns}, index=[int(each["n"].max())])
    return pd.concat([wide, level]).sort_index()


def _first_reach(n: Floats, mean: Floats, error: float) -> float | None:
    reached = np.flatnonzero(mean <= error)
    if reached.size == 0:
        return None
    i = int(reached[0])
    if i == 0:
        return float(n[0])
    share = np.log(mean[i - 1] / error) / np.log(mean[i - 1] / mean[i])
    return float(np.exp(np.log(n[i - 1]) + share * np.log(n[i] / n[i - 1])))


def _lowest_within(costs: Floats, errors: Floats, cost: float) -> float:
    if cost < costs[0]:
        return np.nan
    at_cost = np.exp(np.interp(np.log(cost), np.log(costs), np.log(errors)))
    return float(min(errors[costs <= cost].min(), at_cost))
