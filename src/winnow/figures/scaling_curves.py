"""Test error against the number of examples kept, or against all that is computed, one line for each rule."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.core.errors import OptionError, WinnowError, check_choice
from winnow.figures import published as published_points
from winnow.figures.errors import with_error
from winnow.figures.style import GREY, Drawing, house_style, log_bars, plain_log_ticks, rule_looks
from winnow.scaling.costs import total
from winnow.scaling.grid import CELL, GROUP, Group, full_data_error, read, rule_order, summarise
from winnow.scaling.replicates import ONE_ENSEMBLE

PANELS_ABREAST = 3
BARS_FROM = 3  # clusters

AXES = {"examples": ("n_kept", "examples kept"), "total_cost": ("total_cost", "multiply-adds, scoring included")}
"""What it can be drawn against: the column of the curves, and the label of the axis."""


def from_grid(grid: str | Path, error: str = "mean", x: str = "examples", published: bool = False) -> Drawing:
    """`scaling_curves` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return scaling_curves(read(grid), error=error, x=x, published=published)


def scaling_curves(
    table: pd.DataFrame, *, error: str = "mean", x: str = "examples", published: bool = False
) -> Drawing:
    """Mean error over replicates against examples kept, axes logarithmic; a panel for each (dataset, model, recipe).

    table: a grid with at least one row. error: "mean" of all test images, or "worst_class", the largest error of a
    class, which pruning can raise while the mean falls. As the largest of noisy numbers it lies above the error of the
    class that is truly the worst, the more so the fewer test images a class has. x: "examples" kept, or "total_cost",
    multiply-adds of forward passes in training and, where the rule reads scores, of one probe ensemble in full; the
    backward passes, about twice as many, are left out of both. Rules that read scores have no point at all data there:
    nobody scores to keep everything. published: draw what papers print for these rules on the data set (published.csv)
    as hollow marks, named below; it needs x="examples". Bars are one standard error either
    way, where there are at least three clusters (of probe ensembles, or of seeds where no probes are read); a rule
    whose runs share one probe ensemble has none, and the legend says so. The dashed horizontal line is the mean error
    of training on all examples. A mean of zero errors, which a logarithmic axis cannot show, is drawn at half an error
    in n_test + 1. The figure's table is that of `summarise`.

    Raises OptionError for another error or x, and for published where it has no place; WinnowError where no row has
    the error, or a row does not say its multiply-adds.
    """
    table, column, label = with_error(table, error)
    check_choice("figure.x", x, tuple(AXES))
    if published and (x, error) != ("examples", "mean"):
        raise OptionError("figure.published=true has mean errors by examples; leave out figure.x and figure.error.")
    levels = full_data_error(table, column)
    if x == "total_cost":
        table = table[(table["n_kept"] < table["n"]) | (table["probe_examples"] == 0)]
        if table.empty:
            raise WinnowError(
                "every cell scores to keep all examples, so no cost is worth drawing; lower compression.r."
            )
        curves = summarise(table, column).merge(_costs(table), on=CELL)
    else:
        curves = summarise(table, column)
    rules = rule_order(curves["rule"])
    looks = rule_looks(rules)
    columns = min(PANELS_ABREAST, len(levels))
    lines = -(-len(levels) // columns)
    with house_style():
        legend = 1.7 + 0.065 * max(0, max(map(len, rules)) - 18)
        figure = Drawing(curves, (4.4 * columns + legend, 3.8 * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for (group, level), axes in zip(levels.items(), panels, strict=False):
            rows = table[(table[GROUP] == list(group)).all(axis=1)]
            part = curves[(curves[GROUP] == list(group)).all(axis=1)]
            of_panel: dict[str, Any] = {"n": int(rows["n"].max()), "n_test": int(rows["n_test"].max()), "x": x}
            if published:
                of_panel["beside"] = published_points.published_of(group[0], list(rows["rule"].unique()))
            _panel(axes, part.rename(columns=lambda name: name.replace(column, "error")), looks, level, **of_panel)
            axes.set_ylabel(label)
            axes.set_title(panel_title(group, table), loc="left")
        for axes in panels[len(levels) :]:
            axes.remove()
        title = _title(curves)
        handles = [Line2D([], [], label=rule, **looks[rule]) for rule in rules]
        figure.legend(
            handles=handles,
            loc="outside right upper",
            title=title,
            title_fontsize=8,
            alignment="left",
            handlelength=3.6,
            labelspacing=0.7,
        )
    return figure


def _title(curves: pd.DataFrame) -> str | None:
    """What the means are over, which bars they have, and why some have none."""
    lines = ["mean over replicates"] if curves["seeds"].max() > 1 else []
    if curves["clusters"].max() >= BARS_FROM:
        lines.append("bars ± 1 standard error")
    if (curves["one_ensemble"] & (curves["seeds"] > 1)).any():
        lines.append(f"no bars: {ONE_ENSEMBLE}")
    return ",\n".join(lines) or None


def _costs(table: pd.DataFrame) -> pd.DataFrame:
    """total_cost of each cell, the mean over its runs."""
    if table["multiply_adds"].isna().any():
        raise WinnowError("the rows do not say their multiply-adds; train them with this version, or draw x=examples.")
    return table.assign(total_cost=total(table)).groupby(CELL, as_index=False).agg({"total_cost": "mean"})


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    looks: dict[str, dict],
    level: float | None,
    *,
    n: int,
    n_test: int,
    x: str,
    beside: pd.DataFrame | None = None,
) -> None:
    column, label = AXES[x]
    zero = 0.5 / (n_test + 1)
    heights: list[float] = []
    for rule in rule_order(curves["rule"]):
        line = curves[curves["rule"] == rule].sort_values(column)
        error = line["error_mean"].to_numpy(dtype=float)
        error = np.where(error == 0, zero, error)
        bar = log_bars(error, np.where(line["clusters"] >= BARS_FROM, line["error_se"], np.nan), zero)
        axes.errorbar(line[column], error, yerr=bar, label=rule, capsize=2, elinewidth=0.9, **looks[rule])
        down, up = np.nan_to_num(bar)
        heights += [*(error - down), *(error + up)]
    if level is not None:
        height = level or zero
        axes.axhline(height, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
        axes.annotate(
            f"all {n:,} examples: {100 * level:.3g}%",
            (0.015, height),
            (0, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color="0.3",
            zorder=1,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
        heights.append(height / 1.15)  # room for the label below the line
    places = curves[column].to_numpy(dtype=float)
    if beside is not None and len(beside):
        published_points.draw(axes, beside, n, looks)
        heights += beside["error"].tolist()
        places = np.append(places, n * beside["r"])
        label += f"\n{fill(published_points.caption(beside), 76)}"
    scale(axes, places, np.array(heights))
    axes.set_xlabel(label)


def scale(axes: Axes, kept: np.ndarray, heights: np.ndarray) -> None:
    """Logarithmic axes with plain numbers, around the sizes and heights that are drawn."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    left, right = kept.min() / 1.15, kept.max() * 1.15
    bottom, top = heights.min() / 1.1, heights.max() * 1.1
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    plain_log_ticks(axes.xaxis, left, right)
    plain_log_ticks(axes.yaxis, bottom, top, unit="%")


def panel_title(group: Group, table: pd.DataFrame) -> str:
    """Of a panel: data set and model, and the recipe where they come with several."""
    dataset, model, recipe = group
    one_recipe = table[(table["dataset"] == dataset) & (table["model"] == model)]["recipe"].nunique() == 1
    return f"{dataset}, {model}" if one_recipe else f"{dataset}, {model}, {recipe}"
