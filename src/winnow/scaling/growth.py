"""How what a stage costs grows with the data: the exponent of a power law through measured costs."""

import numpy as np
import pandas as pd

from winnow.core.errors import FitError

COSTS = {"processor_seconds": "processor seconds", "peak_mb": "peak MB, inputs included"}


def growth_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """The exponent b of cost = a n^b for each stage and cost: stage, cost, exponent, low, high (95%), a.

    table: stage, n, and a column for each of COSTS, a line a measurement. Least squares on logarithms, whose interval
    holds where measurements scatter alike on every scale; a constant part of a cost makes b smaller, as it does for
    whoever waits for it.

    Raises FitError for fewer than two sizes, or three measurements, of a stage, and for a cost that is not positive.
    """
    from scipy.stats import t

    lines = []
    for stage, part in table.groupby("stage", sort=False):
        for cost in COSTS:
            x, y = np.log(part["n"].to_numpy(dtype=float)), part[cost].to_numpy(dtype=float)
            if np.unique(x).size < 2 or x.size < 3 or np.any(y <= 0):
                raise FitError(f"{stage}: give three positive {cost} at two sizes or more; raise the smallest n.")
            slope, level = np.polyfit(x, np.log(y), 1)
            left = np.log(y) - level - slope * x
            error = np.sqrt(left @ left / (x.size - 2) / np.square(x - x.mean()).sum())
            half = float(t.ppf(0.975, x.size - 2)) * error
            lines.append((stage, cost, slope, slope - half, slope + half, np.exp(level)))
    return pd.DataFrame(lines, columns=["stage", "cost", "exponent", "low", "high", "a"])
