"""Metrics ranked by the test error of what each keeps."""

from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from winnow.core.errors import FitError
from winnow.figures.style import GREY, Drawing, house_style
from winnow.scaling.grid import GROUP, RANDOM, full_data_error, read, summarise
from winnow.scaling.paired import differences
from winnow.scaling.replicates import ONE_ENSEMBLE, t_ends

BETTER, WORSE, OPEN = "#0072B2", "#D55E00", "0.25"
SURE = 0.05


def from_grid(grid: str | Path) -> Drawing:
    """`metric_ranking` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return metric_ranking(read(grid))


def metric_ranking(table: pd.DataFrame) -> Drawing:
    """A panel a size: the rules of the grid by rising mean test error, with 95% t-intervals over replicates,
    cut off at 0 and 1.

    Sorscher et al. 2022 (2206.14486), figure 5. Random is the black line with its interval, all data the dashed one.
    Blue is better than random and vermilion worse, by the paired t-test with Holm's correction over every rule and size
    of the figure; where that tells neither, marks are open. The table is that of `summarise` with low, high and p_holm.

    Raises FitError without rows of random, or for several data sets, models or recipes.
    """
    if len(table[GROUP].drop_duplicates()) != 1:
        raise FitError("this figure is of one data set, model and recipe; sweep into a folder for each.")
    tests = differences(table)[["rule", "n_kept", "difference", "p_holm"]]
    numbers = summarise(table[table["n_kept"] < table["n"]]).merge(tests, on=["rule", "n_kept"], how="left")
    low, high = t_ends(numbers["test_error_mean"], numbers["test_error_se"], numbers["df"], 0.95)
    numbers = numbers.assign(low=np.maximum(low, 0), high=np.minimum(high, 1))
    numbers = numbers.sort_values(["n_kept", "test_error_mean"]).reset_index(drop=True)
    sizes = sorted(numbers["n_kept"].unique())
    (level,) = full_data_error(table).values()
    with house_style():
        rules = numbers["rule"].nunique()
        figure = Drawing(numbers, (3.7 * len(sizes) + 0.3, 0.24 * rules + 1.5))
        panels = figure.subplots(1, len(sizes), squeeze=False)[0]
        for axes, kept in zip(panels, sizes, strict=True):
            part = numbers[numbers["n_kept"] == kept]
            axes.set_title(f"r = {part['r'].iloc[0]:g}, {kept:,} kept", loc="left")
            _panel(axes, part, level)
        reads = numbers[numbers["rule"] != RANDOM]
        told = f"{ONE_ENSEMBLE}: no intervals and no test" if reads["one_ensemble"].all() else "95% intervals"
        text = f"test error (%), {told}; blue: better than random, vermilion: worse (p < 0.05, Holm), open: not told"
        figure.supxlabel(fill(text, int(16 * figure.get_figwidth())), fontsize=8)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, level: float | None) -> None:
    ranked = part[part["rule"] != RANDOM].reset_index(drop=True)
    for place, (_, line) in enumerate(ranked.iterrows()):
        mean, sure = 100 * line["test_error_mean"], line["p_holm"] < SURE
        colour = (BETTER if line["difference"] < 0 else WORSE) if sure else OPEN
        bars = [[mean - 100 * line["low"]], [100 * line["high"] - mean]]
        axes.errorbar(
            mean, place, xerr=bars, marker="o", color=colour, mfc=colour if sure else "white", capsize=2, elinewidth=0.9
        )
    for _, line in part[part["rule"] == RANDOM].iterrows():
        axes.axvline(100 * line["test_error_mean"], color="black", linewidth=1.2, zorder=1)
        if np.isfinite(line["low"]):
            axes.axvspan(100 * line["low"], 100 * line["high"], color="black", alpha=0.1, linewidth=0)
    if level is not None:
        axes.axvline(100 * level, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    metrics = ranked["rule"].str.removesuffix(" hardest")
    axes.set_yticks(range(len(ranked)), list(metrics))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
