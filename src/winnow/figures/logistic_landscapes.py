"""Where pruning moves the minimum of a logistic loss: the kept data and the loss landscape of each rule."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.lines import Line2D

from winnow.core.seeds import derive
from winnow.core.types import Floats, Subset
from winnow.figures.style import Drawing, house_style
from winnow.theory.logistic import Logistic, prune, pruned_minimiser

RULES = ("full", "random", "hardest", "exact", "approximate")
CLASS_LOOKS = (("#0072B2", "o"), ("#D55E00", "^"))
SHOWN = 300  # examples drawn of those kept
GRID = 121
TABULATED = slice(None, None, 6)  # of each axis of the landscape


def logistic_landscapes(n: int = 2000, r: float = 0.2, alpha: float = 0.5, seed: int = 0) -> Drawing:
    """Above, what each rule keeps of n examples in the plane; below, its weighted risk over the two parameters.

    Crosses mark the minimiser of each risk, circles that on all examples. Contours are drawn at the same heights above
    each risk's own minimum. At most 300 of the kept examples are drawn, larger where their weight is larger.

    The table has every rule's minimiser (kind "minimiser") and, coarsely, its landscape: excess is the weighted risk
    above that at the minimiser, nats.

    Raises what winnow.theory.logistic raises for an r so small that the kept examples have no minimiser.
    """
    toy = Logistic()
    x, y = toy.sample(n, seed=derive(seed, "sample"))
    full = toy.minimiser(x, y)
    scores = toy.gradient_norms(full, x, y)
    subsets = {rule: prune(rule, scores, r=r, alpha=alpha, seed=derive(seed, "prune")) for rule in RULES}
    minima = {rule: pruned_minimiser(toy, x, y, subset) for rule, subset in subsets.items()}
    reach = 1.25 * max(np.abs(list(minima.values())).max(), 1.0)
    line = np.linspace(-reach, reach, GRID)
    thetas = np.stack(np.meshgrid(line, line), axis=-1)
    excess = {}
    for rule, subset in subsets.items():
        kept = x[subset.indices], y[subset.indices], subset.weights
        excess[rule] = toy.landscape(thetas, *kept) - toy.landscape(minima[rule], *kept)
    names = {"exact": f"exact, α = {alpha:g}", "approximate": f"approximate, α = {alpha:g}", "full": f"all {n:,}"}
    with house_style():
        figure = Drawing(_numbers(thetas, minima, excess), (2.1 * len(RULES) + 0.3, 4.9))
        panels = figure.subplots(2, len(RULES), sharex="row", sharey="row")
        for (rule, subset), above, below in zip(subsets.items(), *panels, strict=True):
            _kept(above, x, y, subset)
            above.set_title(names.get(rule, rule), loc="left")
            _landscape(below, line, excess[rule])
            below.plot(*full, marker="o", color="none", markeredgecolor="black", markersize=8)
            below.plot(*minima[rule], marker="x", color="black", markersize=6, markeredgewidth=1.6)
            below.set_xlabel("θ₁")
            above.set_xlabel("x₁")
        panels[0, 0].set_ylabel("x₂")
        panels[1, 0].set_ylabel("θ₂")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


def _numbers(thetas: Floats, minima: Mapping[str, Floats], excess: Mapping[str, Floats]) -> pd.DataFrame:
    lines = []
    coarse = thetas[TABULATED, TABULATED].reshape(-1, 2)
    for rule, (first, second) in minima.items():
        lines.append(
            pd.DataFrame({"rule": rule, "kind": "minimiser", "theta_1": [first], "theta_2": second, "excess": 0})
        )
        columns = {
            "theta_1": coarse[:, 0],
            "theta_2": coarse[:, 1],
            "excess": excess[rule][TABULATED, TABULATED].ravel(),
        }
        lines.append(pd.DataFrame({"rule": rule, "kind": "landscape", **columns}))
    return pd.concat(lines, ignore_index=True)


def _kept(axes: Axes, x: Floats, y: Floats, subset: Subset) -> None:
    """The first kept examples, which are in no order, so that they are a sample; area in proportion to weight."""
    shown = slice(0, SHOWN)
    kept, w = subset.indices[shown], subset.weights[shown]
    for label, (colour, marker) in enumerate(CLASS_LOOKS):
        of_class = y[kept] == label
        looks: dict[str, Any] = {"c": colour, "marker": marker, "linewidths": 0, "alpha": 0.65}
        axes.scatter(x[kept, 0][of_class], x[kept, 1][of_class], s=9 * w[of_class], **looks)
    axes.set_xlim(-3.6, 3.6)
    axes.set_ylim(-3.6, 3.6)
    axes.set_aspect("equal")


def _landscape(axes: Axes, line: Floats, excess: Floats) -> None:
    levels = np.array([0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.1, 1.6, 2.3, 3.2])
    axes.contourf(line, line, excess, levels=levels, cmap="Blues", norm=PowerNorm(0.5, 0, levels[-1]), extend="max")
    axes.contour(line, line, excess, levels=levels[1:], colors="0.55", linewidths=0.5)
    axes.axhline(0, color="0.5", linewidth=0.5)
    axes.axvline(0, color="0.5", linewidth=0.5)
    axes.grid(False)
    axes.set_aspect("equal")


def _legend() -> list[Line2D]:
    looks = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=4, label=f"kept, y = {label}")
        for label, (colour, marker) in enumerate(CLASS_LOOKS)
    ]
    ring = Line2D([], [], linestyle="", marker="o", color="none", markeredgecolor="black", label="minimum on all")
    cross = Line2D(
        [], [], linestyle="", marker="x", color="black", markeredgewidth=1.6, label="minimum on what is kept"
    )
    return [*looks, ring, cross]
