"""What subsets do to the distribution of the data, against the fraction kept: one line a rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from winnow.core.errors import OptionError
from winnow.figures.style import Drawing, house_style, plain_log_ticks, selector_looks
from winnow.scaling.grid import rule_order
from winnow.store.shifts import read_shifts

DISTANCES = {
    "energy": "energy distance / √spread",
    "sliced_wasserstein": "sliced Wasserstein / spread",
    "class_tv": "total variation of classes",
}
NULL: dict[str, Any] = {"color": "0.85", "linewidth": 0, "zorder": 0.5}


def from_table(table: str | Path, r: float = 0.1, n: int | None = None) -> Drawing:
    """`shift` of the table in a CSV file. Raises WinnowError where it cannot be read."""
    return shift(read_shifts(table), r=r, n=n)


def shift(table: pd.DataFrame, *, r: float = 0.1, n: int | None = None) -> Drawing:
    """Three distances to the full set with their null, coverage and effective sample size against r.

    table: lines of shift reports on one data set and metric; only those on parts of n examples are drawn, or, where n
    is None, on all, and seeds are averaged. A rule with weights has a second, thin line without them. Grey: up to the
    95% quantile of random subsets of the same size. The last panel shows the deciles of the scores at fraction r.

    Raises OptionError for several data sets or metrics, or where no subset keeps r.
    """
    whole = one_of_each(table)
    whole = whole[whole["n"] == (whole["of"] if n is None else n)]
    if not np.isclose(whole["r"], r).any():
        there = ", ".join(f"{each:g}" for each in sorted(set(whole["r"])))
        raise OptionError(f"figure.r={r} is not in the table, which has r = {there or 'nothing'} for figure.n={n}.")
    by_seed = whole.groupby(["rule", "weighted", "r"])
    rules = rule_order(whole["rule"])
    looks = selector_looks(rules)
    with house_style():
        figure = Drawing(by_seed.mean(numeric_only=True).reset_index(), (9.6, 5.4))
        panels = figure.subplots(2, 3).ravel()
        curves = figure.table[figure.table["n_kept"] < figure.table["n"]]
        for axes, (name, label) in zip(panels, DISTANCES.items(), strict=False):
            draw_null(axes, curves, "r", name)
            draw_lines(axes, curves, "r", name, looks)
            axes.set_ylabel(label)
        draw_lines(panels[3], curves[curves["weighted"]], "r", "coverage", looks)
        panels[3].set_ylabel("radius that covers 95%\nof the dropped / spread")
        draw_lines(panels[4], curves[curves["weighted"]], "r", "effective_sample_size", looks)
        panels[4].set_ylabel("effective sample size")
        for axes in panels[:5]:
            log_axes(axes, curves["r"])
            axes.set_xlabel("fraction kept r")
        _deciles(panels[5], whole[np.isclose(whole["r"], r)], looks)
        panels[5].set_title(f"r = {r:g}", loc="left")
        figure.legend(handles=legend_handles(whole, looks), loc="outside lower center", ncols=4, handlelength=3.2)
    return figure


def one_of_each(table: pd.DataFrame) -> pd.DataFrame:
    """The table, or OptionError where it mixes what no mean over seeds may mix."""
    for name in ("dataset", "metric"):
        if table[name].nunique() > 1:
            there = ", ".join(sorted(set(table[name])))
            raise OptionError(f"the table has more than one {name} ({there}); give each a table of its own.")
    return table


def draw_null(axes: Axes, curves: pd.DataFrame, x: str, name: str) -> None:
    null = curves.groupby(x)[[f"{name}_null_median", f"{name}_null_high"]].mean()
    axes.fill_between(null.index, 1e-9, null[f"{name}_null_high"], **NULL)


def draw_lines(axes: Axes, curves: pd.DataFrame, x: str, name: str, looks: dict[str, dict[str, Any]]) -> None:
    """One line a rule and weighting; bars where the column `name`_se is there."""
    for (rule, weighted), line in curves.groupby(["rule", "weighted"]):
        bar = line.get(f"{name}_se")
        look = looks[str(rule)] if weighted else _bare(looks[str(rule)])
        axes.errorbar(line[x], line[name], yerr=bar, capsize=2, elinewidth=0.9, **look)


def _bare(look: dict[str, Any]) -> dict[str, Any]:
    """The look of a rule without its weights."""
    return look | {"linewidth": 0.8, "linestyle": (0, (1, 1.2)), "fillstyle": "none", "markersize": 6}


def log_axes(axes: Axes, sizes: pd.Series) -> None:
    """Logarithmic axes with plain numbers around what is drawn as lines."""
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    heights = heights[heights > 0]  # the caps of bars that are not there are NaN
    low, high = heights.min() / 1.4, heights.max() * 1.4
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(sizes.min() / 1.15, sizes.max() * 1.15)
    axes.set_ylim(low, high)
    plain_log_ticks(axes.xaxis, sizes.min() / 1.15, sizes.max() * 1.15)
    plain_log_ticks(axes.yaxis, low, high)


def _deciles(axes: Axes, lines: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    names = [f"decile_{i}" for i in range(1, 11)]
    for (rule, weighted), seeds in lines.groupby(["rule", "weighted"]):
        look = looks[str(rule)] if weighted else _bare(looks[str(rule)])
        axes.plot(range(1, 11), seeds[names].mean(), **look)
    axes.set_xticks(range(1, 11))
    axes.set_xlabel("tenth of the scores, 10 the hardest")
    axes.set_ylabel("weight kept per example")


def legend_handles(table: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> list[Any]:
    handles: list[Any] = []
    for rule in rule_order(table["rule"]):
        handles.append(Line2D([], [], label=rule, **looks[rule]))
        if not table[table["rule"] == rule]["weighted"].all():
            handles.append(Line2D([], [], label=f"{rule}, weights left out", **_bare(looks[rule])))
    return [*handles, Patch(label="random subsets, up to their 95% quantile", **NULL)]
