"""How steeply error falls with the examples kept: the exponent of each rule's power law, beside random's.

A steeper curve is not a better one: a rule that fails where little is kept has far to fall.
"""

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.grid import GROUP, RANDOM, runs
from winnow.scaling.paired import holm, pairs
from winnow.scaling.points import positive
from winnow.scaling.replicates import PAIR, design

SIZES = 3  # that a slope takes at least


def slopes(table: pd.DataFrame, baseline: str = RANDOM, level: float = 0.95) -> pd.DataFrame:
    """The exponent b of ε = a n^(−b) of each rule of each (dataset, model, recipe), and by how much it is steeper.

    Each replicate's own curve is fitted, by least squares on the logarithms over all sizes below n that it shares with
    the baseline's of the same seeds, and the differences are paired. Columns: dataset, model, recipe, rule, sizes,
    seeds, clusters, b and baseline_b (means of the clusters' means), difference = b − baseline_b with low and high (its
    t-interval by `replicates.Design`), p, p_holm (over all rules and data sets of the table) and one_ensemble; above
    zero the rule's error falls faster. A mean of zero errors counts as half an error in n_test + 1.

    Raises FitError when the table has no row of the baseline, or no rule shares three sizes with it.
    """
    tests = runs(table).groupby(GROUP)["n_test"].max()
    seeds = ["probe_seed", *PAIR]
    lines = []
    for (*group, rule), part in pairs(table, baseline).groupby([*GROUP, "rule"]):
        n_test = int(tests[tuple(map(str, group))])
        curves = part.groupby(seeds, dropna=False)
        fitted = [
            (*place, len(curve), _slope(curve, "error", n_test), _slope(curve, "baseline_error", n_test))
            for place, curve in curves
            if len(curve) >= SIZES
        ]
        if not fitted:
            continue
        own = pd.DataFrame(fitted, columns=[*seeds, "sizes", "b", "baseline_b"])
        own[seeds] = own[seeds].astype("Int64")
        known = design(own)
        found = known.estimate(own["b"] - own["baseline_b"], paired=True)
        low, high = found.interval(level)
        counts = {"sizes": int(own["sizes"].max()), "seeds": found.seeds, "clusters": found.clusters}
        means = {name: float(known.weights @ own[name]) for name in ("b", "baseline_b")}
        tested = {"difference": found.mean, "low": low, "high": high, "p": found.p, "p_holm": np.nan}
        place = dict(zip([*GROUP, "rule"], [*group, rule], strict=True))
        lines.append(place | counts | means | tested | {"one_ensemble": found.one_ensemble})
    if not lines:
        raise FitError(f"no rule has {SIZES} sizes beside {baseline!r} on the same seeds; sweep compression.r.")
    steep = pd.DataFrame(lines)
    return steep.assign(p_holm=holm(steep["p"].to_numpy(dtype=np.float64)))


def _slope(curve: pd.DataFrame, column: str, n_test: int) -> float:
    errors: Floats = positive(curve[column].to_numpy(dtype=np.float64), n_test)
    n = np.log(curve["n_kept"].to_numpy(dtype=np.float64))
    return float(-np.polyfit(n - n.mean(), np.log(errors), 1)[0])
