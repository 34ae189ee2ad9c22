"""Where a pruning rule stops beating random: the fraction kept at which the paired difference changes its sign."""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.grid import GROUP, RANDOM
from winnow.scaling.paired import pairs
from winnow.scaling.panel import Panel, panel
from winnow.scaling.replicates import ONE_ENSEMBLE, t_ends

Beats = Literal["above", "below", "everywhere", "nowhere"]
FINE = 400  # fractions between two sizes at which the difference is tested


class Crossover(NamedTuple):
    """Where a rule stops beating the baseline.

    r: the fraction kept, or None where there is no crossing in range. beats: on which side of r the rule has the lower
    mean error, or that it has it at every size or at none. interval: of r, over replicates; an end is 0 or inf where it
    lies outside of the fractions in the grid; None without a crossing, and where chance is not known: one replicate,
    one pair of seeds, or one probe ensemble, which one_ensemble tells. seeds, clusters: runs that were compared at some
    size, and their probe ensembles, or pairs of seeds where no probes are read. low, high: smallest and largest
    fraction compared.
    """

    rule: str
    baseline: str
    r: float | None
    beats: Beats
    interval: tuple[float, float] | None
    seeds: int
    clusters: int
    one_ensemble: bool
    low: float
    high: float

    def describe(self) -> str:
        """In words, such as "beats random above r = 0.08 (0.06 to 0.1)"."""
        if self.r is None:
            return f"none in range: beats {self.baseline} {self.beats}, r = {self.low:.3g} to {self.high:.3g}"
        shown = f" ({ONE_ENSEMBLE})" if self.one_ensemble else ""
        if self.interval is not None:
            low, high = self.interval
            left = f"{low:.3g}" if low > 0 else f"below {self.low:.3g}"
            right = f"{high:.3g}" if np.isfinite(high) else f"above {self.high:.3g}"
            shown = f" ({left} to {right})"
        return f"beats {self.baseline} {self.beats} r = {self.r:.3g}{shown}"


def crossover(table: pd.DataFrame, rule: str, baseline: str = RANDOM, *, level: float = 0.95) -> Crossover:
    """The fraction kept r at which a rule stops beating the baseline, with an interval over replicates.

    table: a grid of one (dataset, model, recipe). The mean paired difference of test error is interpolated linearly in
    log r. Walking down from the largest fraction, the crossing is the first place where the rule passes from a lower
    error to one that is not; a rule that beats the baseline at the smallest fractions only is followed upwards.

    The interval holds every fraction at which the interpolated difference is not told from zero by its t-test
    (`replicates.Design`: ensembles and seeds are shared along the curve), and what lies between them: Fieller's way,
    which holds the crossing as often as the t-test is right, with three replicates as with many, where a bootstrap over
    few of them covers too little. So it also reaches to wherever else the curves are not to be told apart.

    Raises FitError when the table holds several groups, or no two rows of rule and baseline share their seeds.
    """
    fractions, errors = paired_errors(table, rule, baseline)
    r, beats = _crossing(fractions, errors.means)
    known = errors.known and not errors.design.one_pair
    return Crossover(
        rule=rule,
        baseline=baseline,
        r=r,
        beats=beats,
        interval=_undecided(fractions, errors, r, level) if known and r is not None else None,
        seeds=errors.design.size,
        clusters=errors.design.clusters,
        one_ensemble=errors.design.one_ensemble,
        low=float(fractions[0]),
        high=float(fractions[-1]),
    )


def paired_errors(table: pd.DataFrame, rule: str, baseline: str) -> tuple[Floats, Panel]:
    """The fractions kept, rising, and paired differences of test error at them.

    Raises FitError when the table holds several groups, or rule and baseline share no seeds.
    """
    one_group(table)
    joined = pairs(table, baseline).drop(columns="error").rename(columns={"difference": "error"})
    places = [(r, part) for r, part in joined[joined["rule"] == rule].groupby("r")]
    if not places:
        raise FitError(
            f"{rule!r} and {baseline!r} share no seeds below r = 1; run both on the same selection and training seeds."
        )
    return np.array([r for r, _ in places], dtype=np.float64), panel([part for _, part in places])


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


def _undecided(fractions: Floats, errors: Panel, r: float, level: float) -> tuple[float, float]:
    """From the first to the last fraction at which the difference is not told from zero; 0 or inf beyond the grid."""
    x = np.log(fractions)
    fine = np.unique(np.append(np.linspace(x[:-1], x[1:], FINE, axis=1).ravel(), np.log(r)))
    i = np.clip(np.searchsorted(x, fine, side="right") - 1, 0, x.size - 2)
    share = (fine - x[i]) / (x[i + 1] - x[i])
    slopes = np.zeros((fine.size, x.size))
    slopes[np.arange(fine.size), i], slopes[np.arange(fine.size), i + 1] = 1 - share, share
    difference = np.abs(slopes @ errors.means)
    se, df = errors.spread(slopes)
    reach = np.where(se > 0, -t_ends(0.0, se, df, level)[0], 0.0)
    excess = difference - reach
    at = np.argmin(np.abs(fine - np.log(r)))
    excess[at] = min(excess[at], 0.0)  # the crossing itself, where rounding may leave a rest
    inside = np.flatnonzero(excess <= 0)
    low, high = inside[0], inside[-1]
    left = 0.0 if low == 0 else _root(fine, excess, low, low - 1)
    right = np.inf if high == fine.size - 1 else _root(fine, excess, high, high + 1)
    return left, right


def _root(x: Floats, excess: Floats, inside: int, outside: int) -> float:
    share = excess[inside] / (excess[inside] - excess[outside])
    return float(np.exp(x[inside] + (x[outside] - x[inside]) * share))
