"""When does a score beat random? Differences over label noise, spread of difficulty and the number of examples."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from winnow.core.errors import FitError
from winnow.figures.squares import COLOURS, scale, write
from winnow.figures.style import Drawing, house_style
from winnow.scaling.grid import read
from winnow.scaling.paired import differences
from winnow.scaling.replicates import ONE_ENSEMBLE


def from_grid(grid: str | Path) -> Drawing:
    """`score_phase` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return score_phase(read(grid))


def score_phase(table: pd.DataFrame) -> Drawing:
    """Maps of how much more a rule errs than random: a row a rule, a column a size n, over hard and mislabelled shares.

    table: a grid of `synthetic` data sets over dataset.n, dataset.hard and dataset.mislabelled, at one r. A square
    holds the mean paired difference of test error from random, in points; below zero (blue) the rule is better. A dot
    says that the paired t-test, by Holm's correction over all squares of the figure, finds it other than zero at 5%;
    where the runs share one probe ensemble there is no test, and the figure says so. The table of the figure has every
    difference with its 95% interval.

    Raises FitError where the grid holds other data sets, several r, or no rows of random.
    """
    found = differences(table)
    places = pd.DataFrame([_options(name) for name in found["dataset"]], index=found.index)
    needed = {"n", "hard", "mislabelled"}
    if not needed <= set(places) or places[list(needed)].isna().any(axis=None):
        raise FitError("this map is of synthetic data sets; sweep dataset.n, dataset.hard and dataset.mislabelled.")
    if found["r"].round(3).nunique() != 1:
        raise FitError(f"this map is of one r; the grid holds {sorted(found['r'].round(3).unique())}.")
    numbers = found.drop(columns=["dataset"]).assign(**{name: places[name] for name in sorted(needed)})
    rules, sizes = sorted(numbers["rule"].unique(), key=_order), sorted(numbers["n"].unique())
    norm = scale(100 * float(numbers["difference"].abs().max()))
    with house_style():
        figure = Drawing(numbers, (2.3 * len(sizes) + 1.1, 1.9 * len(rules) + 0.8))
        panels = figure.subplots(len(rules), len(sizes), squeeze=False, sharex=True, sharey=True)
        for row, rule in zip(panels, rules, strict=True):
            for axes, n in zip(row, sizes, strict=True):
                part = numbers[(numbers["rule"] == rule) & (numbers["n"] == n)]
                _map(axes, part, norm)
                axes.set_title(f"{rule}, n = {n:,.0f}", loc="left", fontsize=8)
            row[0].set_ylabel("hard share")
        for axes in panels[-1]:
            axes.set_xlabel("mislabelled share")
        shades = matplotlib.cm.ScalarMappable(norm, COLOURS)
        bar = figure.colorbar(shades, ax=panels, shrink=0.5, aspect=30)
        test = f"{ONE_ENSEMBLE}: no test" if found["one_ensemble"].all() else "dot: p < 0.05"
        bar.set_label(f"test error − random's, points ({test})")
        bar.outline.set_visible(False)
    return figure


def _options(dataset: str) -> dict[str, float]:
    """The options that the name of a synthetic data set says: those that are not at their default."""
    return {option: float(value) for option, value in re.findall(r"(\w+)=([\d.e+-]+)", dataset)}


def _order(rule: str) -> tuple[int, str]:
    known = ("easiest", "hardest", "exact 0", "exact auto")
    return next((i for i, word in enumerate(known) if word in rule), len(known)), rule


def _map(axes: Axes, part: pd.DataFrame, norm: TwoSlopeNorm) -> None:
    shares = part.pivot_table(index="hard", columns="mislabelled", values="difference", dropna=False)
    points = 100 * shares.to_numpy()
    axes.imshow(points, norm=norm, cmap=COLOURS, origin="lower", aspect="auto")
    p = part.pivot(index="hard", columns="mislabelled", values="p_holm").to_numpy()
    for (i, j), value in np.ndenumerate(points):
        write(axes, (i, j), value, float(p[i, j]), norm)
    axes.set_xticks(range(points.shape[1]), [f"{share:g}" for share in shares.columns])
    axes.set_yticks(range(points.shape[0]), [f"{share:g}" for share in shares.index])
    axes.grid(False)
