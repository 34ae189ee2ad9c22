"""Where a pruning rule stops beating random: the fraction kept at which the paired difference changes its sign."""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from winnow.errors import FitError
from winnow.scaling.grid import GROUP, RANDOM
from winnow.scaling.paired import PAIR, pairs
from winnow.types import Floats

Beats = Literal["above", "below", "everywhere", "nowhere"]


class Crossover(NamedTuple):
    """Where a rule stops beating the baseline.

    r: the fraction kept, or None where there is no crossing in range. beats: on which side of r the rule has the lower
    mean error, or that it has it at every size or at none. interval: of r, from a bootstrap over seeds; an end is 0 or
    inf where it lies outside of the fractions in the grid; None without a crossing, and for a single seed. in_range:
    share of the resamples that have a crossing in range. seeds: pairs of seeds that were compared at every size.
    low, high: smallest and largest fraction compared.
    """

    rule: str
    baseline: str
    r: float | None
    beats: Beats
    interval: tuple[float, float] | None
    in_range: float | None
    seeds: int
    low: float
    high: float

    def describe(self) -> str:
        """In words, such as "beats random above r = 0.08 (0.06 to 0.1)"."""
        if self.r is None:
            return f"none in range: beats {self.baseline} {self.beats}, r = {self.low:.3g} to {self.high:.3g}"
        shown = ""
        if self.interval is not None:
            low, high = self.interval
            left = f"{low:.3g}" if low > 0 else f"below {self.low:.3g}"
            right = f"{high:.3g}" if np.isfinite(high) else f"above {self.high:.3g}"
            shown = f" ({left} to {right})"
        return f"beats {self.baseline} {self.beats} r = {self.r:.3g}{shown}"


def crossover(
    table: pd.DataFrame,
    rule: str,
    baseline: str = RANDOM,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Crossover:
    """The fraction kept r at which a rule stops beating the baseline, with an interval over seeds.

    table: a grid of one (dataset, model, recipe). The mean over seeds of the paired difference of test error is
    interpolated linearly in log r. Walking down from the largest fraction, the crossing is the first place where the
    rule passes from a lower error to one that is not; a rule that beats the baseline at the smallest fractions only is
    followed upwards. Whole seeds are drawn again with replacement, all sizes of a seed together, so that errors that
    a seed shares between sizes stay shared; means of S seeds are stretched around the estimate by √(S/(S−1)).
    It stays a rough interval with few seeds: of simulated grids, it held the planted crossing in about 82% with three
    seeds and 90% with five.

    Raises FitError when the table holds several groups, or no two rows of rule and baseline share their seeds.
    """
    errors = paired_errors(table, rule, baseline)
    fractions = errors.index.to_numpy(dtype=np.float64)  # [k], rising
    each = errors.to_numpy(dtype=np.float64)  # [k, S]
    mean = each.mean(axis=1)
    r, beats = _crossing(fractions, mean)
    size = each.shape[1]
    low, high = float(fractions[0]), float(fractions[-1])
    if r is None or size < 2:
        return Crossover(rule, baseline, r, beats, None, None, size, low, high)
    drawn = np.random.default_rng(seed).integers(size, size=(resamples, size))
    means = mean + (each[:, drawn].mean(axis=2).T - mean) * np.sqrt(size / (size - 1))  # [resamples, k]
    found = [_crossing(fractions, line) for line in means]
    places = np.array([_place(other, side, beats) for other, side in found])
    inside = float(np.mean(np.isfinite(places) & (places > 0)))
    # quantiles of the ordered places, not interpolated: between 0 or inf and a fraction there is nothing
    interval = np.quantile(places, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Crossover(rule, baseline, r, beats, (float(interval[0]), float(interval[1])), inside, size, low, high)


def paired_errors(table: pd.DataFrame, rule: str, baseline: str) -> pd.DataFrame:
    """Paired differences of test error, a line for each fraction kept r (rising), a column for each pair of seeds.

    Pairs that are missing at some size are left out.
    Raises FitError when the table holds several groups, or no pair of seeds was run at every size.
    """
    one_group(table)
    joined = pairs(table, baseline)
    wide = joined[joined["rule"] == rule].pivot(index="r", columns=PAIR, values="difference").dropna(axis=1)
    if wide.empty:
        raise FitError(
            f"{rule!r} and {baseline!r} share no seeds that were run at every size below r = 1; "
            "run both on the same selection and training seeds."
        )
    return wide.sort_index()


def one_group(table: pd.DataFrame) -> None:
    """Raise FitError unless the table is of one (dataset, model, recipe)."""
    if len(table[GROUP].drop_duplicates()) != 1:
        raise FitError("the grid holds several data sets, models or recipes, or no row; pass the rows of one of them.")


def _crossing(fractions: Floats, difference: Floats) -> tuple[float | None, Beats]:
    better = difference < 0
    if not better.any():
        return None, "nowhere"
    if better.all():
        return None, "everywhere"
    falls = np.flatnonzero(better[1:] & ~better[:-1])  # better at i + 1 and not at i
    if falls.size:
        return _between(fractions, difference, int(falls[-1])), "above"
    return _between(fractions, difference, int(np.flatnonzero(better)[-1])), "below"


def _between(fractions: Floats, difference: Floats, i: int) -> float:
    """Where the line between points i and i + 1, straight in log r, is zero."""
    share = difference[i] / (difference[i] - difference[i + 1])
    return float(np.exp(np.log(fractions[i]) + share * np.log(fractions[i + 1] / fractions[i])))


def _place(r: float | None, beats: Beats, expected: Beats) -> float:
    """A resample's crossing on the scale of the estimate: 0 or inf where it is out of range or the other way round."""
    if beats == expected and r is not None:
        return r
    if expected == "above":
        return 0.0 if beats == "everywhere" else np.inf
    return np.inf if beats == "everywhere" else 0.0
