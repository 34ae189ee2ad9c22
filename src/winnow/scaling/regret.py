"""What choosing alpha from the data costs: test error above that of the best alpha that was swept, seed by seed."""

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.scaling.grid import GROUP
from winnow.scaling.replicates import PAIR, design

AUTO = r" auto\b"
"""In the name of a rule whose alpha was chosen from the data."""


def is_auto(table: pd.DataFrame) -> pd.Series:
    """[rows] bool: whether the alpha of each row was chosen from the data."""
    return table["rule"].str.contains(AUTO)


def regrets(table: pd.DataFrame) -> pd.DataFrame:
    """The regret of each auto rule: one line a (dataset, model, recipe, n_kept, rule).

    table: a grid with rows of fixed and of auto alpha of the same metric and protocol, on the same seeds. Columns: r,
    protocol, seeds (runs whose probes, selection and training seeds all of them have), clusters (their ensembles),
    alpha and alpha_sd (over runs), error (mean); best_alpha and best_error, of the swept alpha of the lowest mean
    error, the smallest of equals; regret = error − best_error, with low and high, its 95% t-interval by
    `replicates.Design` (NaN where they do not vary, and with one_ensemble). Errors are fractions, means are those of
    the ensembles' means. The best of several swept means is lower than it would be on new seeds, so the regret is
    somewhat overstated.

    Raises FitError where no auto rule has a swept one beside it.
    """
    auto = is_auto(table)
    lines = []
    for (*group, kept, rule), chosen in table[auto].groupby([*GROUP, "n_kept", "rule"]):
        first = chosen.iloc[0]
        alike = (table[GROUP] == group).all(axis=1) & (table["n_kept"] == kept)
        alike &= (table["protocol"] == first["protocol"]) & (table["metric"] == first["metric"])
        swept = _errors(table[alike & ~auto], "alpha")
        errors = _errors(chosen, "rule")[rule]
        both = swept.dropna().index.intersection(errors.index)
        if both.empty:
            continue
        found = design(both.to_frame(index=False))
        compared = swept.loc[both].to_numpy()
        means = found.weights @ compared
        best = int(np.argmin(means))
        regret = found.estimate(errors[both].to_numpy() - compared[:, best])
        low, high = regret.interval()
        lines.append(
            dict(zip(GROUP, group, strict=True))
            | {"n_kept": kept, "r": first["r"], "rule": rule, "protocol": first["protocol"]}
            | {"seeds": regret.seeds, "clusters": regret.clusters, "one_ensemble": regret.one_ensemble}
            | {"alpha": chosen["alpha"].mean(), "alpha_sd": chosen["alpha"].std()}
            | {"error": found.weights @ errors[both]}
            | {
                "best_alpha": swept.columns[best],
                "best_error": means[best],
                "regret": regret.mean,
                "low": low,
                "high": high,
            }
        )
    if not lines:
        raise FitError("no rule with alpha=auto has rows of fixed alphas on the same seeds; sweep alpha.value too.")
    return pd.DataFrame(lines)


def _errors(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    """Test errors, a line for each (probe, selection, train) seeds."""
    return rows.pivot_table(index=["probe_seed", *PAIR], columns=columns, values="test_error")
