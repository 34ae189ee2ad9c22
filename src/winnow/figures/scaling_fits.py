"""Test error against the number of examples kept, with the fitted law of each rule and its band over seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from winnow.errors import FitError
from winnow.figures.scaling_curves import PANELS_ABREAST, panel_title, scale
from winnow.figures.style import house_style, rule_looks
from winnow.scaling.fits import RuleFits, fit_rules
from winnow.scaling.grid import GROUP, read, rule_order, summarise
from winnow.scaling.laws import LawFit, bands, law_name

POINTS = 200  # of a curve


def from_grid(grid: str | Path) -> Figure:
    """`scaling_fits` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return scaling_fits(read(grid))


def scaling_fits(table: pd.DataFrame, fits: Sequence[RuleFits] | None = None) -> Figure:
    """Means over seeds as markers, the law of lowest AICc as a line, its 95% bootstrap band over seeds behind it.

    table: a grid with at least one row; a panel for each (dataset, model, recipe), axes logarithmic. fits: of
    `fit_rules`, which is called without them. A rule whose fit was refused has markers only; where no size has two
    seeds there is no band. The legend of a panel tells the law and, for power laws, the exponent with its interval.
    """
    fits = fit_rules(table) if fits is None else fits
    curves = summarise(table)
    looks = rule_looks(rule_order(curves["rule"]))
    groups = list(dict.fromkeys(each.group for each in fits))
    columns = min(PANELS_ABREAST, len(groups))
    lines = -(-len(groups) // columns)
    with house_style():
        figure = Figure(figsize=(4.8 * columns, 5.2 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for group, axes in zip(groups, panels, strict=False):
            part = curves[(curves[GROUP] == list(group)).all(axis=1)]
            n_test = int(table[(table[GROUP] == list(group)).all(axis=1)]["n_test"].max())
            _panel(axes, part, [each for each in fits if each.group == group], looks, zero=0.5 / (n_test + 1))
            axes.set_title(panel_title(group, table), loc="left")
        for axes in panels[len(groups) :]:
            axes.remove()
    return figure


def _panel(axes: Axes, curves: pd.DataFrame, fits: Sequence[RuleFits], looks: dict[str, dict], *, zero: float) -> None:
    heights: list[float] = []
    handles = []
    for each in fits:
        look = looks[each.rule]
        line = curves[curves["rule"] == each.rule].sort_values("n_kept")
        error = line["test_error_mean"].to_numpy(dtype=float)
        error = np.where(error == 0, zero, error)
        heights += error.tolist()
        markers = look | {"linestyle": "none", "zorder": look["zorder"] + 1}
        axes.plot(line["n_kept"], error, label=each.rule, **markers)
        if best := each.best:
            n = np.geomspace(line["n_kept"].min(), line["n_kept"].max(), POINTS)
            predicted = best.predict(n)
            axes.plot(n, predicted, **(look | {"marker": ""}))
            heights += [float(predicted.min()), float(predicted.max())]
            try:
                low, high = bands(best, n)
            except FitError:
                pass  # one seed: a curve without a band
            else:
                axes.fill_between(n, low, high, color=look["color"], alpha=0.13, linewidth=0)
                heights += [float(low.min()), float(high.max())]
        handles.append(Line2D([], [], label=_label(each.rule, best), **look))
    # a band may fall off where there are few errors left; the axis stays with what was measured
    measured = curves["test_error_mean"].replace(0, zero)
    shown = np.clip(heights, measured.min() / 2, measured.max() * 1.5)
    scale(axes, curves["n_kept"].to_numpy(dtype=float), shown)
    axes.set_xlabel("examples kept")
    axes.set_ylabel("test error")
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -0.14),
        borderaxespad=0,
        handlelength=3.6,
        title="law of lowest AICc, exponent b with 95% interval;\nbands: 95%, bootstrap over seeds",
        title_fontsize=8,
        alignment="left",
    )


def _label(rule: str, best: LawFit | None) -> str:
    if best is None:
        return f"{rule}: too few sizes for a fit"
    return f"{rule}: {law_name(best.law)}{_exponents(best)}"


def _exponents(best: LawFit) -> str:
    """The exponents of a power law; that of an exponential one, per example, is not a number to compare."""
    if best.law.startswith("exponential"):
        return ""
    shown = []
    for name in ("b", "b2"):
        if name in best.parameters:
            low, high = best.intervals[name]
            ends = f"{low:.2f} to {high:.2f}" if np.isfinite(high) else f"{low:.2f} or more"
            shown.append(f"{best.parameters[name]:.2f} ({ends})")
    return ", b = " + ", then ".join(shown)
