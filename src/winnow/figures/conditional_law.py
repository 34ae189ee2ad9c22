"""Test error in examples kept and model size with the joint law of all rules, and what the law makes of a budget."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.core.errors import FitError
from winnow.figures.scaling_curves import BARS_FROM, scale
from winnow.figures.style import GREY, Drawing, house_style, log_bars, plain_log_ticks, rule_looks
from winnow.scaling.grid import read, summarise
from winnow.scaling.joint import FamilyFit, allocations, budgets_of, fit_families
from winnow.scaling.laws.allocation import Allocation
from winnow.scaling.laws.conditional import ConditionalFit
from winnow.scaling.replicates import ONE_ENSEMBLE

POINTS = 200  # of a curve
BUDGETS = 40
MARKERS = "o^sDvPXp"
BAND: dict[str, Any] = {"color": "0.45", "alpha": 0.2, "linewidth": 0}
BAR = "0.75"
CAPTION = "{}\ndashed: edges of\nthe search\n\nchosen rule"


def from_grid(grid: str | Path) -> Drawing:
    """`conditional_law` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return conditional_law(read(grid))


def conditional_law(table: pd.DataFrame, family: FamilyFit | None = None) -> Drawing:
    """Above, error against examples kept: a panel a rule, a colour a model; below, the allocation along the budget.

    table: a grid. family: of `joint.fit_families`, which is called without one. Markers are means over replicates, bars
    one standard error either way where there are at least three clusters, lines the joint law. Below are the expected
    error, the examples kept and the width and depth that `allocate` chooses for budgets from the cheapest cell of the
    grid to the most expensive one, with 95% intervals but where the runs of a rule share one probe ensemble; a dashed
    line is an edge of what was searched.

    Raises FitError where the grid holds no family of several widths or depths, or more than one, or its fit is refused.
    """
    family = _only(fit_families(table)) if family is None else family
    if family.fit is None:
        raise FitError(f"there is no conditional law to draw: {family.refusal}")
    budgets = budgets_of(family, BUDGETS)
    chosen = allocations(family, budgets)
    with house_style():
        columns = max(len(family.fit.rules), 3 if "depth" in family.fit.merged or "width" in family.fit.merged else 4)
        figure = Drawing(_numbers(family, budgets, chosen), (3.1 * columns + 1.3, 6.6))
        above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1), squeeze=False).ravel()
        _curves(above, family)
        _allocations(below, family.fit, budgets, chosen)
    return figure


def _numbers(family: FamilyFit, budgets: np.ndarray, chosen: Sequence[Allocation]) -> pd.DataFrame:
    """The points of the panels above ("error", with the joint law's) and below ("allocation")."""
    assert family.fit is not None
    means = summarise(family.rows)
    sizes = family.rows.drop_duplicates("model").set_index("model")[["width", "depth"]].astype("float64")
    means = means.join(sizes, on="model")
    law = []
    for _, line in means.iterrows():
        width, depth = (None if pd.isna(line[name]) else float(line[name]) for name in ("width", "depth"))
        law.append(float(family.fit.predict(line["n_kept"], line["rule"], width, depth)))
    kept = ["rule", "width", "depth", "n_kept", "test_error_mean", "test_error_se", "seeds", "clusters"]
    points = means[kept].assign(panel="error", law=law)
    spent = pd.DataFrame(
        {
            "panel": "allocation",
            "budget": budgets,
            "rule": [each.rule for each in chosen],
            "width": [each.width for each in chosen],
            "depth": [each.depth for each in chosen],
            "n_kept": [each.n for each in chosen],
            "law": [each.error for each in chosen],
            "law_low": [each.error_interval[0] if each.error_interval else None for each in chosen],
            "law_high": [each.error_interval[1] if each.error_interval else None for each in chosen],
        }
    )
    return pd.concat([points, spent], ignore_index=True)


def _only(families: Sequence[FamilyFit]) -> FamilyFit:
    if not families:
        raise FitError(
            "the grid has one width and one depth; sweep model.width=... or model.depth=... for this figure."
        )
    if len(families) > 1:
        listed = "; ".join(", ".join(family.name) for family in families)
        raise FitError(f"the grid holds several families of models ({listed}); draw a grid of one of them.")
    return families[0]


def _curves(figure: Any, family: FamilyFit) -> None:
    fitted = family.fit
    assert fitted is not None
    rows = family.rows
    zero = 0.5 / (int(rows["n_test"].max()) + 1)
    models = rows.drop_duplicates("model").sort_values(["depth", "width"])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(models)))
    means = summarise(rows)
    error = means["test_error_mean"].replace(0, zero)
    n = np.geomspace(means["n_kept"].min(), means["n_kept"].max(), POINTS)
    panels = figure.subplots(1, len(fitted.rules), sharey=True, squeeze=False).ravel()
    heights = error.tolist()
    handles = []
    for (_, model), colour, marker in zip(models.iterrows(), colours, MARKERS * len(models), strict=False):
        width, depth = (None if pd.isna(model[name]) else float(model[name]) for name in ("width", "depth"))
        look = {"color": colour, "marker": marker, "markersize": 4.5}
        for rule, axes in zip(fitted.rules, panels, strict=True):
            line = means[(means["model"] == model["model"]) & (means["rule"] == rule)].sort_values("n_kept")
            shown = line["test_error_mean"].replace(0, zero).to_numpy(dtype=float)
            bar = log_bars(shown, np.where(line["clusters"] >= BARS_FROM, line["test_error_se"], np.nan), zero)
            axes.errorbar(line["n_kept"], shown, yerr=bar, linestyle="none", capsize=2, elinewidth=0.9, **look)
            curve = fitted.predict(n, rule, width, depth)
            axes.plot(n, curve, color=colour)
            heights += [float(curve.min()), float(curve.max())]
        handles.append(Line2D([], [], label=_label(width, depth), **look))
    for rule, axes in zip(fitted.rules, panels, strict=True):
        scale(axes, means["n_kept"].to_numpy(dtype=float), np.array(heights))
        axes.set_title(rule, loc="left")
        axes.set_xlabel("examples kept")
    panels[0].set_ylabel("test error")
    figure.suptitle(
        f"{family.name.dataset}, {family.name.family}: one law for all curves", x=0.01, ha="left", fontsize=9
    )
    figure.legend(handles=handles, loc="outside right center")


def _label(width: float | None, depth: float | None) -> str:
    return ", ".join(f"{name} {size:g}" for name, size in (("depth", depth), ("width", width)) if size is not None)


def _allocations(figure: Any, fitted: ConditionalFit, budgets: np.ndarray, chosen: Sequence[Allocation]) -> None:
    sizes = [name for name in ("width", "depth") if name not in fitted.merged]
    panels: Sequence[Axes] = figure.subplots(1, 2 + len(sizes))
    looks = rule_looks(fitted.rules)
    rules = [each.rule for each in chosen]
    for axes, name, label in zip(panels, ("error", "n", *sizes), ("test error", "examples kept", *sizes), strict=True):
        values = np.array([getattr(each, name) for each in chosen], dtype=np.float64)
        ends = np.array([getattr(each, f"{name}_interval") or (np.nan, np.nan) for each in chosen], dtype=np.float64)
        if name == "error":
            axes.fill_between(budgets, ends[:, 0], ends[:, 1], **BAND)
        else:
            axes.vlines(budgets, ends[:, 0], ends[:, 1], color=BAR, linewidth=2.5, zorder=1.5)
        for rule in fitted.rules:
            at = np.array([other == rule for other in rules])
            axes.plot(budgets[at], values[at], **(looks[rule] | {"linestyle": "none"}))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("budget (multiply-adds)")
        axes.set_title(f"{'expected' if name == 'error' else 'chosen'} {label}", loc="left")
        low, high = float(np.fmin(ends[:, 0], values).min()), float(np.fmax(ends[:, 1], values).max())
        if name != "error":
            low, high = _edges(axes, fitted, name, low, high)
        axes.set_ylim(low / 1.15, high * 1.25)
        plain_log_ticks(axes.yaxis, low / 1.15, high * 1.25, unit="%" if name == "error" else "")
    handles = [Line2D([], [], label=rule, **(looks[rule] | {"linestyle": "none"})) for rule in dict.fromkeys(rules)]
    title = CAPTION.format(f"{ONE_ENSEMBLE}:\nno intervals" if fitted.one_ensemble else "grey: 95% intervals")
    figure.legend(handles=handles, loc="outside right center", title=title, title_fontsize=8, alignment="left")


def _edges(axes: Axes, fitted: ConditionalFit, name: str, low: float, high: float) -> tuple[float, float]:
    """Draw the edges of the search of a size; the range that it takes to show them."""
    first, last = fitted.ranges[name]
    for edge in (first, last):
        axes.axhline(edge, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    return min(low, first), max(high, last)
