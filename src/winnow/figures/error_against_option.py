"""Test error against an option that the names of rules carry: what a window skips, or when scores are taken."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from winnow.core.errors import FitError, check_choice
from winnow.figures.style import GREY, Drawing, house_style, rule_looks
from winnow.scaling.grid import GROUP, RANDOM, full_data_error, read, rule_order, summarise
from winnow.scaling.replicates import ONE_ENSEMBLE, t_ends

OPTIONS = {
    "skip": (r"window ([\d.]+)", "window", "hardest fraction that is skipped"),
    "epoch": (r"\[epoch=(\d+)\]", "", "epoch of the probes at which scores are taken"),
}
"""How a rule's name says it, what is left in its place, and the label of the axis."""


def from_grid(grid: str | Path, option: str = "skip") -> Drawing:
    """`error_against_option` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return error_against_option(read(grid), option=option)


def error_against_option(table: pd.DataFrame, *, option: str = "skip") -> Drawing:
    """A panel a size: mean test error over replicates against the option, a line a rule, with 95% t-intervals,
    cut off at 0 and 1.

    option: "skip", the hardest fraction that selector=window leaves out before it keeps the next (Paul et al. 2021,
    2107.07075, figure 3), or "epoch", metric.epoch (their figure 2). Black: random with its interval; dashed: all data.

    The table: value (of the option; NaN for random), test_error_mean, low and high in each panel.

    Raises OptionError for another option; FitError where no rule has two values of it, or for several data sets.
    """
    check_choice("figure.option", option, tuple(OPTIONS))
    pattern, instead, label = OPTIONS[option]
    numbers = summarise(table)
    if len(numbers[GROUP].drop_duplicates()) != 1:
        raise FitError("this figure is of one data set, model and recipe; sweep into a folder for each.")
    values = numbers["rule"].str.extract(pattern)[0].astype("float64")
    numbers = numbers.assign(value=values, rule=[re.sub(pattern, instead, rule) for rule in numbers["rule"]])
    numbers = numbers[(values.notna() | (numbers["rule"] == RANDOM)) & (numbers["n_kept"] < table["n"].max())]
    numbers = numbers.sort_values(["rule", "n_kept", "value"]).reset_index(drop=True)
    swept = numbers[numbers["value"].notna()]
    if swept.empty or swept.groupby(["rule", "n_kept"])["value"].nunique().max() < 2:
        raise FitError(f"the grid has no rule at two values of {option}; sweep it.")
    low, high = t_ends(numbers["test_error_mean"], numbers["test_error_se"], numbers["df"], 0.95)
    numbers = numbers.assign(low=np.maximum(low, 0), high=np.minimum(high, 1))
    sizes = sorted(swept["n_kept"].unique())
    (level,) = full_data_error(table).values()
    looks = rule_looks(numbers["rule"])
    with house_style():
        figure = Drawing(numbers, (3.4 * len(sizes) + 2.0, 3.6))
        panels = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
        for axes, kept in zip(panels, sizes, strict=True):
            part = numbers[numbers["n_kept"] == kept]
            axes.set_title(f"r = {part['r'].iloc[0]:g}, {kept:,} of {table['n'].max():,} kept", loc="left")
            _panel(axes, part, looks, level)
            axes.set_xlabel(label)
        panels[0].set_ylabel("test error (%)")
        bars = f"{ONE_ENSEMBLE}: no bars" if swept["one_ensemble"].all() else "bars: 95% intervals"
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        place: dict[str, Any] = {"loc": "outside right upper", "alignment": "left", "handlelength": 3.0}
        figure.legend(handles.values(), handles.keys(), title=bars, title_fontsize=8, **place)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, looks: dict[str, dict], level: float | None) -> None:
    for rule in rule_order(part["rule"]):
        line = part[part["rule"] == rule].sort_values("value")
        mean, low, high = (100 * line[name].to_numpy(dtype=float) for name in ("test_error_mean", "low", "high"))
        if rule == RANDOM:
            axes.axhline(mean[0], color="black", linewidth=1.2, label=RANDOM, zorder=1.5)
            if np.isfinite(low[0]):
                axes.axhspan(low[0], high[0], color="black", alpha=0.1, linewidth=0, label=f"{RANDOM}: 95% interval")
        else:
            bars = np.stack([mean - low, high - mean])
            axes.errorbar(line["value"], mean, yerr=bars, capsize=2, elinewidth=0.9, label=rule, **looks[rule])
    if level is not None:
        axes.axhline(100 * level, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, label="all data", zorder=1)
    axes.set_ylim(bottom=0)
