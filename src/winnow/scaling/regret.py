"""What choosing alpha from the data costs: test error above that of the best alpha that was swept, seed by seed."""

import pandas as pd

from winnow.errors import FitError
from winnow.scaling.grid import GROUP
from winnow.scaling.paired import PAIR, t_interval

AUTO = r" auto\b"
"""In the name of a rule whose alpha was chosen from the data."""


def is_auto(table: pd.DataFrame) -> pd.Series:
    """[rows] bool: whether the alpha of each row was chosen from the data."""
    return table["rule"].str.contains(AUTO)


def regrets(table: pd.DataFrame) -> pd.DataFrame:
    """The regret of each auto rule: one line a (dataset, model, recipe, n_kept, rule).

    table: a grid with rows of fixed and of auto alpha of the same metric and protocol, on the same seeds. Columns: r,
    protocol, seeds (that all of them have), alpha and alpha_sd (over seeds), error (mean); best_alpha and best_error,
    of the swept alpha of the lowest mean error, the smallest of equals; regret = error − best_error, with low and high,
    the 95% t-interval over the seeds' differences (NaN where they do not vary). Errors are fractions. The best of
    several swept means is lower than it would be on new seeds, so the regret is somewhat overstated.

    Raises FitError where no auto rule has a swept one beside it.
    """
    auto = is_auto(table)
    lines = []
    for (*group, kept, rule), chosen in table[auto].groupby([*GROUP, "n_kept", "rule"]):
        first = chosen.iloc[0]
        alike = (table[GROUP] == group).all(axis=1) & (table["n_kept"] == kept)
        alike &= (table["protocol"] == first["protocol"]) & (table["metric"] == first["metric"])
        swept = table[alike & ~auto].pivot_table(index=PAIR, columns="alpha", values="test_error")
        errors = chosen.groupby(PAIR)["test_error"].mean()
        both = swept.dropna().index.intersection(errors.index)
        if both.empty:
            continue
        means = swept.loc[both].mean()
        best = means.idxmin()
        mean, low, high, _ = t_interval((errors[both] - swept.loc[both, best]).to_numpy())
        lines.append(
            dict(zip(GROUP, group, strict=True))
            | {"n_kept": kept, "r": first["r"], "rule": rule, "protocol": first["protocol"], "seeds": len(both)}
            | {"alpha": chosen["alpha"].mean(), "alpha_sd": chosen["alpha"].std(), "error": errors[both].mean()}
            | {"best_alpha": best, "best_error": means[best], "regret": mean, "low": low, "high": high}
        )
    if not lines:
        raise FitError("no rule with alpha=auto has rows of fixed alphas on the same seeds; sweep alpha.value too.")
    return pd.DataFrame(lines)
