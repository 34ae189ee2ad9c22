"""Test error against the number of examples kept, one line for each rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.core.errors import WinnowError, check_choice
from winnow.figures.style import GREY, Drawing, house_style, log_bars, plain_log_ticks, rule_looks
from winnow.scaling.grid import GROUP, Group, full_data_error, read, rule_order, summarise
from winnow.scaling.replicates import ONE_ENSEMBLE

PANELS_ABREAST = 3
BARS_FROM = 3  # clusters


ERRORS = {"mean": ("test_error", "test error"), "worst_class": ("worst_class_error", "test error of the worst class")}
"""What can be drawn: the column of the grid, and the label of its axis."""


def from_grid(grid: str | Path, error: str = "mean") -> Drawing:
    """`scaling_curves` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return scaling_curves(read(grid), error=error)


def scaling_curves(table: pd.DataFrame, *, error: str = "mean") -> Drawing:
    """Mean error over replicates against examples kept, axes logarithmic; a panel for each (dataset, model, recipe).

    table: a grid with at least one row. error: "mean" of all test images, or "worst_class", the largest error of a
    class, which pruning can raise while the mean falls. As the largest of noisy numbers it lies above the error of the
    class that is truly the worst, the more so the fewer test images a class has. Bars are one standard error either
    way, where there are at least three clusters (of probe ensembles, or of seeds where no probes are read); a rule
    whose runs share one probe ensemble has none, and the legend says so. The dashed horizontal line is the mean error
    of training on all examples. A mean of zero errors, which a logarithmic axis cannot show, is drawn at half an error
    in n_test + 1. The figure's table is that of `summarise`.

    Raises OptionError for another error; WinnowError where no row has it.
    """
    check_choice("figure.error", error, tuple(ERRORS))
    column, label = ERRORS[error]
    table = table[table[column].notna()]
    if table.empty:
        raise WinnowError(
            f"no row of the grid has {column}: an older version made them. Run the cells into a new store."
        )
    curves = summarise(table, column)
    levels = full_data_error(table, column)
    rules = rule_order(curves["rule"])
    looks = rule_looks(rules)
    columns = min(PANELS_ABREAST, len(levels))
    lines = -(-len(levels) // columns)
    with house_style():
        figure = Drawing(curves, (4.4 * columns + 1.7, 3.8 * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for (group, level), axes in zip(levels.items(), panels, strict=False):
            rows = table[(table[GROUP] == list(group)).all(axis=1)]
            part = curves[(curves[GROUP] == list(group)).all(axis=1)]
            of_panel: dict[str, Any] = {"n": int(rows["n"].max()), "n_test": int(rows["n_test"].max())}
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


def _panel(
    axes: Axes, curves: pd.DataFrame, looks: dict[str, dict], level: float | None, *, n: int, n_test: int
) -> None:
    zero = 0.5 / (n_test + 1)
    heights: list[float] = []
    for rule in rule_order(curves["rule"]):
        line = curves[curves["rule"] == rule].sort_values("n_kept")
        error = line["error_mean"].to_numpy(dtype=float)
        error = np.where(error == 0, zero, error)
        bar = log_bars(error, np.where(line["clusters"] >= BARS_FROM, line["error_se"], np.nan), zero)
        axes.errorbar(line["n_kept"], error, yerr=bar, label=rule, capsize=2, elinewidth=0.9, **looks[rule])
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
    scale(axes, curves["n_kept"].to_numpy(dtype=float), np.array(heights))
    axes.set_xlabel("examples kept")


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
