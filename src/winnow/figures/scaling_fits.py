"""Test error against the number of examples kept, with the fitted law of each rule and its band over replicates."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.core.errors import FitError
from winnow.figures.scaling_curves import PANELS_ABREAST, panel_title, scale
from winnow.figures.style import Drawing, house_style, rule_looks
from winnow.scaling.fits import RuleFits, fit_rules
from winnow.scaling.grid import GROUP, read, rule_order, summarise
from winnow.scaling.laws import LawFit, bands, law_name
from winnow.scaling.replicates import ONE_ENSEMBLE

POINTS = 200  # of a curve


def from_grid(grid: str | Path) -> Drawing:
    """`scaling_fits` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return scaling_fits(read(grid))


def scaling_fits(table: pd.DataFrame, fits: Sequence[RuleFits] | None = None) -> Drawing:
    """Means over replicates as markers, the law of lowest AICc as a line, its 95% band over replicates behind it.

    table: a grid with at least one row; a panel for each (dataset, model, recipe), axes logarithmic. fits: of
    `fit_rules`, which is called without them. A rule whose fit was refused has markers only; with one replicate there
    is no band, and where all runs share one probe ensemble neither band nor interval. The legend of a panel tells the
    law and, for power laws, the exponent with its interval. The figure's table has the means (kind "measured") and the
    points of the curves, low and high the ends of the band.
    """
    fits = fit_rules(table) if fits is None else fits
    curves = summarise(table)
    looks = rule_looks(rule_order(curves["rule"]))
    groups = list(dict.fromkeys(each.group for each in fits))
    columns = min(PANELS_ABREAST, len(groups))
    lines = -(-len(groups) // columns)
    drawn = _numbers(curves, fits)
    with house_style():
        figure = Drawing(drawn, (4.8 * columns, 5.2 * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for group, axes in zip(groups, panels, strict=False):
            part = drawn[(drawn[GROUP] == list(group)).all(axis=1)]
            n_test = int(table[(table[GROUP] == list(group)).all(axis=1)]["n_test"].max())
            _panel(axes, part, [each for each in fits if each.group == group], looks, zero=0.5 / (n_test + 1))
            axes.set_title(panel_title(group, table), loc="left")
        for axes in panels[len(groups) :]:
            axes.remove()
    return figure


def _numbers(curves: pd.DataFrame, fits: Sequence[RuleFits]) -> pd.DataFrame:
    measured = curves[[*GROUP, "rule", "n_kept", "test_error_mean"]]
    parts = [measured.rename(columns={"test_error_mean": "test_error"}).assign(kind="measured")]
    for each in fits:
        if best := each.best:
            n = np.geomspace(best.points.n[0], best.points.n[-1], POINTS)
            try:
                low, high = bands(best, n)
            except FitError:  # one replicate or ensemble: a curve without a band
                low = high = np.full(POINTS, np.nan)
            names = dict(zip(GROUP, each.group, strict=True)) | {"rule": each.rule, "kind": best.law}
            numbers = {"n_kept": n, "test_error": best.predict(n), "low": low, "high": high}
            parts.append(pd.DataFrame(names | numbers))
    return pd.concat(parts, ignore_index=True)


def _panel(axes: Axes, drawn: pd.DataFrame, fits: Sequence[RuleFits], looks: dict[str, dict], *, zero: float) -> None:
    heights: list[float] = []
    handles = []
    for each in fits:
        look = looks[each.rule]
        rule = drawn[drawn["rule"] == each.rule]
        line = rule[rule["kind"] == "measured"].sort_values("n_kept")
        error = line["test_error"].to_numpy(dtype=float)
        error = np.where(error == 0, zero, error)
        heights += error.tolist()
        markers = look | {"linestyle": "none", "zorder": look["zorder"] + 1}
        axes.plot(line["n_kept"], error, label=each.rule, **markers)
        if best := each.best:
            curve = rule[rule["kind"] == best.law]
            axes.plot(curve["n_kept"], curve["test_error"], **(look | {"marker": ""}))
            heights += curve["test_error"].tolist()
            if curve["low"].notna().all():
                axes.fill_between(
                    curve["n_kept"], curve["low"], curve["high"], color=look["color"], alpha=0.13, linewidth=0
                )
                heights += [float(curve["low"].min()), float(curve["high"].max())]
        handles.append(Line2D([], [], label=_label(each.rule, best), **look))
    # a band may fall off where there are few errors left; the axis stays with what was measured
    measured = drawn[drawn["kind"] == "measured"]["test_error"].replace(0, zero)
    shown = np.clip(heights, measured.min() / 2, measured.max() * 1.5)
    scale(axes, drawn["n_kept"].to_numpy(dtype=float), shown)
    axes.set_xlabel("examples kept")
    axes.set_ylabel("test error")
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -0.14),
        borderaxespad=0,
        handlelength=3.6,
        title="law of lowest AICc, exponent b with 95% interval;\nbands: 95%, over replicates",
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
            interval = ONE_ENSEMBLE
            if best.intervals:
                low, high = best.intervals[name]
                interval = f"{low:.2f} to {high:.2f}" if np.isfinite(high) else f"{low:.2f} or more"
            shown.append(f"{best.parameters[name]:.2f} ({interval})")
    return ", b = " + ", then ".join(shown)
