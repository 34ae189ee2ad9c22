"""Which alpha beats random, and at which r: calibrated rules beside random, by signal fraction and fraction kept."""

from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from winnow.core.errors import FitError, OptionError
from winnow.figures.squares import COLOURS, scale, write
from winnow.figures.style import Drawing, house_style
from winnow.scaling.grid import CELL, GROUP, RANDOM, read
from winnow.scaling.paired import differences, holm
from winnow.scaling.regret import is_auto
from winnow.scaling.replicates import ONE_ENSEMBLE

PLACE = ["dataset", "model", "recipe", "metric", "protocol"]


def from_grid(grid: str | Path, limit: float = 10.0) -> Drawing:
    """`alpha_map` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return alpha_map(read(grid), limit=limit)


def alpha_map(table: pd.DataFrame, *, limit: float = 10.0) -> Drawing:
    """Paired differences of test error from random, in points, of calibrated rules: alpha by r, a panel for each data
    set, score (columns) and protocol (rows); blue is better than random.

    A box frames the alpha of the lowest mean error at each r, where that is lower than random's; alpha = 0 is random
    itself. A row "auto" is alpha=auto, by criterion, with the mean alpha that it chose in brackets. A dot: the paired
    t-test by Holm's correction over all squares of the figure says at 5% that the difference is not zero. limit: points
    at which the colours end.

    The table: for each square metric, protocol, alpha (of auto the mean), r, n, difference with its 95% interval, p,
    p_holm, seeds, clusters and `best`.

    Raises OptionError for a limit that is not positive; FitError where no calibrated rule stands beside random.
    """
    if not limit > 0:
        raise OptionError(f"figure.limit={limit:g} must be positive, such as 10 for 10 points.")
    numbers = _numbers(table)
    columns = numbers[PLACE[:4]].drop_duplicates().sort_values(PLACE[:4]).values.tolist()
    protocols = sorted(numbers["protocol"].unique(), key=lambda name: (name != "exact", name))
    fractions, alphas = sorted(numbers["r"].unique()), sorted(numbers["label"].unique(), key=_height)
    norm = scale(100 * float(numbers["difference"].abs().max()), limit)
    with house_style():
        width, height = len(columns) * (0.52 * len(fractions) + 0.35) + 1.6, 0.24 * len(alphas) + 0.75
        figure = Drawing(numbers, (width, height * len(protocols) + 0.6))
        panels = figure.subplots(len(protocols), len(columns), squeeze=False, sharex=True, sharey=True)
        for row, protocol in zip(panels, protocols, strict=True):
            for axes, column in zip(row, columns, strict=True):
                own = (numbers[PLACE] == [*column, protocol]).all(axis=1)
                if own.any():
                    _panel(axes, numbers[own], alphas, fractions, norm)
                    n = int(numbers[own]["n"].max())
                    axes.set_title(f"{column[3]}, {protocol}\n{column[0]}, n = {n:,}", loc="left", fontsize=8)
                else:
                    axes.set_axis_off()
            row[0].set_ylabel("alpha")
        for axes in panels[-1]:
            axes.set_xlabel("r, fraction kept")
        beyond = "both" if (100 * numbers["difference"].abs() > limit).any() else "neither"
        shades = matplotlib.cm.ScalarMappable(norm, COLOURS)
        bar = figure.colorbar(shades, ax=panels, shrink=0.8, aspect=30, extend=beyond)
        bar.set_label("test error − random's, points")
        bar.outline.set_visible(False)
        tested = int(numbers["p_holm"].notna().sum())
        says = [f"dot: p < 0.05 by Holm's correction over {tested} squares" if tested else f"{ONE_ENSEMBLE}: no test"]
        says += ["box: the best alpha at an r, where it is below random", "auto: the mean alpha that it chose"]
        figure.supxlabel(fill("; ".join(says), int(15 * width)), fontsize=7.5)
    return figure


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """A line a square, corrected over all of them."""
    calibrated = table[table["protocol"].notna()]
    if calibrated.empty or not (table["rule"] == RANDOM).any():
        raise FitError("this map is of calibrated rules beside random; run selector=calibrated,random.")
    found = differences(pd.concat([calibrated, table[table["rule"] == RANDOM]])).drop(columns="p_holm")
    known = calibrated.assign(auto=is_auto(calibrated)).groupby(CELL, as_index=False)
    options = known.agg(
        metric=("metric", "first"), protocol=("protocol", "first"), alpha=("alpha", "mean"), auto=("auto", "first")
    )
    numbers = found.merge(options, on=CELL)
    sizes = table.groupby(GROUP)["n"].max().rename("n")
    numbers = numbers.merge(sizes, left_on=GROUP, right_index=True)
    kinds = "auto" + numbers["rule"].str.partition(" auto")[2]
    numbers["label"] = np.where(numbers["auto"], kinds, numbers["alpha"].map("{:g}".format))
    numbers["r"] = numbers["r"].round(3)
    numbers["p_holm"] = holm(numbers["p"].to_numpy(dtype=np.float64))
    swept = numbers[~numbers["auto"] & (numbers["difference"] < 0)]
    best = swept.groupby([*PLACE, "r"])["difference"].idxmin()
    return numbers.assign(best=numbers.index.isin(best))


def _height(label: str) -> tuple[float, str]:
    """Rows from the top: auto by each criterion, then alpha from large to small."""
    return (-np.inf if label.startswith("auto") else -float(label)), label


def _panel(axes: Axes, part: pd.DataFrame, alphas: list[str], fractions: list[float], norm: TwoSlopeNorm) -> None:
    points = np.full((len(alphas), len(fractions)), np.nan)
    places = [(alphas.index(line["label"]), fractions.index(line["r"])) for line in part.to_dict("records")]
    for place, difference in zip(places, part["difference"], strict=True):
        points[place] = 100 * difference
    axes.imshow(points, norm=norm, cmap=COLOURS, aspect="auto")
    for (i, j), line in zip(places, part.to_dict("records"), strict=True):
        chosen = f"\n({line['alpha']:.2f})" if line["auto"] else ""
        write(axes, (i, j), points[i, j], line["p_holm"], norm, below=chosen, size=5.2 if chosen else 6.5)
        if line["best"]:
            axes.add_patch(matplotlib.patches.Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, fill=False, linewidth=1.1))
    axes.set_xticks(range(len(fractions)), [f"{r:g}" for r in fractions])
    axes.set_yticks(range(len(alphas)), alphas)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)
