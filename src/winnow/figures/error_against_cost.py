"""Test error against what it cost, scoring included, one line for each rule."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.core.errors import WinnowError
from winnow.figures.scaling_curves import BARS_FROM, PANELS_ABREAST, panel_title, scale
from winnow.figures.style import Drawing, house_style, log_bars, rule_looks
from winnow.scaling.costs import total
from winnow.scaling.grid import CELL, GROUP, read, rule_order, summarise

UNITS = ((1e15, "quadrillions"), (1e12, "trillions"), (1e9, "billions"), (1e6, "millions"))


def from_grid(grid: str | Path) -> Drawing:
    """`error_against_cost` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return error_against_cost(read(grid))


def error_against_cost(table: pd.DataFrame) -> Drawing:
    """Mean error over replicates against the mean cost of a cell (`costs.total`), axes logarithmic, a panel a group.

    table: a grid with at least one row. Scoring is charged in full to every cell that reads scores, although the cells
    of a sweep share it: what a user pays who prunes once. Models trained on all examples are left out, as nobody scores
    to keep everything, but for those of rules that read no scores. Bars are one standard error either way where there
    are at least three clusters. The figure's table is that of `summarise`, with `cost` in multiply-adds.

    Raises WinnowError where no row tells its multiply-adds.
    """
    costs = table.assign(cost=total(table))
    costs = costs[costs["cost"].notna() & ((costs["n_kept"] < costs["n"]) | (costs["probe_examples"] == 0))]
    if costs.empty:
        raise WinnowError(
            "no row of the grid tells its multiply-adds: an older version made them. Run the cells into a new store."
        )
    curves = summarise(costs).merge(costs.groupby(CELL, as_index=False)["cost"].mean(), on=CELL)
    rules = rule_order(curves["rule"])
    looks = rule_looks(rules)
    groups = [(str(d), str(m), str(r)) for d, m, r in curves[GROUP].drop_duplicates().itertuples(index=False)]
    unit = next((each for each in UNITS if curves["cost"].max() >= each[0]), UNITS[-1])
    columns = min(PANELS_ABREAST, len(groups))
    lines = -(-len(groups) // columns)
    with house_style():
        figure = Drawing(curves, (4.4 * columns + 1.7, 3.8 * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for group, axes in zip(groups, panels, strict=False):
            n_test = int(costs[(costs[GROUP] == list(group)).all(axis=1)]["n_test"].max())
            _panel(axes, curves[(curves[GROUP] == list(group)).all(axis=1)], looks, unit, zero=0.5 / (n_test + 1))
            axes.set_title(panel_title(group, table), loc="left")
        for axes in panels[len(groups) :]:
            axes.remove()
        handles = [Line2D([], [], label=rule, **looks[rule]) for rule in rules]
        figure.legend(handles=handles, loc="outside right upper", handlelength=3.6, labelspacing=0.7)
    return figure


def _panel(axes: Axes, curves: pd.DataFrame, looks: dict[str, dict], unit: tuple[float, str], *, zero: float) -> None:
    size, name = unit
    heights: list[float] = []
    for rule in rule_order(curves["rule"]):
        line = curves[curves["rule"] == rule].sort_values("n_kept")
        error = line["test_error_mean"].to_numpy(dtype=float)
        error = np.where(error == 0, zero, error)
        bar = log_bars(error, np.where(line["clusters"] >= BARS_FROM, line["test_error_se"], np.nan), zero)
        axes.errorbar(
            line["cost"].to_numpy() / size, error, yerr=bar, label=rule, capsize=2, elinewidth=0.9, **looks[rule]
        )
        down, up = np.nan_to_num(bar)
        heights += [*(error - down), *(error + up)]
    scale(axes, curves["cost"].to_numpy(dtype=float) / size, np.array(heights))
    axes.set_xlabel(f"multiply-adds of training and scoring, in {name}")
    axes.set_ylabel("test error")
