"""The perceptron theory of data pruning: error against examples kept, for several fractions kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from winnow.figures.style import Drawing, house_style, plain_log_ticks
from winnow.theory.kept_distribution import Keep
from winnow.theory.perceptron import solve
from winnow.theory.simulation import simulate
from winnow.theory.strategies import envelope

KEPT = (0.5, 16.0)  # kept examples per parameter, the horizontal axis
SIMULATED = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
ERRORS = (0.0025, 0.55)
_MARKERS = "osD^vPX"


def perceptron_curves(
    fractions: Sequence[float] = (1.0, 0.6, 0.4, 0.2, 0.1),
    probe_angles: Sequence[float] = (0.0, 20.0),
    *,
    keep: Keep = "hardest",
    n_parameters: int = 200,
    repeats: int = 5,
    seed: int = 0,
    points: int = 71,
) -> Drawing:
    """Test error against α_prune = r α_tot, a line a fraction kept, a panel a probe; both axes logarithmic.

    Sorscher et al. 2022, arXiv 2206.14486, figure 1. fractions: kept, the largest first. probe_angles: degrees
    between probe and teacher. Lines, of so many points, are the theory. Markers are the means of `repeats` hard-margin
    students of n_parameters weights, with bars of one standard error; repeats=0 draws none. The dashed line is the
    lowest error over all fractions between the smallest one shown and 1.

    Does pruning make the error exponential in the data kept? Not for any fixed fraction: each is a power law with the
    exponent 1 in the end (with a perfect probe ε = 0.5005 r/α_prune). Only the envelope over fractions can be steeper,
    and it is so for a stretch. With a perfect probe and r >= 0.1 its slope −d log ε/d log α_prune is above 1 from
    α_prune = 1.5 on, at its greatest 15 at 2.0, where the best r falls from 0.6 to the least allowed, below 1.5 again
    from 2.8 on, and 1 from 5 on. Smaller fractions do not widen the stretch but make it a step at 2, the capacity
    of a perceptron: with less, the thinnest slab of hard examples is separable whatever its labels and teaches nothing.
    With a probe at 20 degrees the slope is at most 1.4, at 3.5, and falls to 1.05 at 40. An exponential's rate
    −d log ε/dα_prune is constant; here it stays between 0.41 and 0.53 from α_prune = 1 to 3.3, and goes to 0 beyond.

    The table has the columns probe_angle, kind ("theory", "simulation" or "lowest"), r, kept_per_parameter, error and
    error_se, of the simulation.

    Raises OptionError and TheoryError as `solve` and `simulate` do.
    """
    fractions, angles = [float(r) for r in fractions], [float(angle) for angle in probe_angles]
    table = pd.concat(
        [_numbers(fractions, angle, keep, n_parameters, repeats, seed, points) for angle in angles], ignore_index=True
    )
    colours = colormaps["viridis"](np.linspace(0, 0.85, len(fractions)))
    looks: list[dict[str, Any]] = [
        {"color": colour, "marker": _MARKERS[i % len(_MARKERS)], "markersize": 4} for i, colour in enumerate(colours)
    ]
    best: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.4}
    with house_style():
        figure = Drawing(table, (3.9 * len(angles) + 1.5, 3.7))
        panels = figure.subplots(1, len(angles), sharey=True, squeeze=False).ravel()
        for axes, angle in zip(panels, angles, strict=True):
            lines = dict(list(table[table["probe_angle"] == angle].groupby("kind")))
            for r, look in zip(fractions, looks, strict=True):
                theory = lines["theory"][lines["theory"]["r"] == r]
                axes.plot(theory["kept_per_parameter"], theory["error"], color=look["color"], label=f"r = {r:g}")
                if repeats:
                    _points(axes, r, look, lines["simulation"][lines["simulation"]["r"] == r])
            axes.plot(lines["lowest"]["kept_per_parameter"], lines["lowest"]["error"], label="lowest", zorder=3, **best)
            axes.set_title("perfect probe" if angle == 0 else f"probe at {angle:g}° to the teacher", loc="left")
            _scale(axes)
        panels[0].set_ylabel("test error")
        handles = [Line2D([], [], label=f"{r:g}", **look) for r, look in zip(fractions, looks, strict=True)]
        handles.append(Line2D([], [], label="lowest over\nfractions", **best))
        figure.legend(
            handles=handles,
            loc="outside right upper",
            title=f"fraction kept, {keep}" + ("\npoints: simulation" if repeats else ""),
            title_fontsize=8,
            alignment="left",
            handlelength=2.6,
        )
    return figure


def _numbers(
    fractions: Sequence[float], angle: float, keep: Keep, n_parameters: int, repeats: int, seed: int, points: int
) -> pd.DataFrame:
    """What is drawn for a probe."""
    kept = np.geomspace(*KEPT, points)
    parts = []
    for r in fractions:
        error = solve(kept / r, r, keep=keep, probe_angle=angle).error
        parts.append(pd.DataFrame({"kind": "theory", "r": r, "kept_per_parameter": kept, "error": error}))
        if repeats:
            found = [
                simulate(
                    alpha / r, r, keep=keep, probe_angle=angle, n_parameters=n_parameters, repeats=repeats, seed=seed
                )
                for alpha in SIMULATED
            ]
            simulated = {
                "kept_per_parameter": [each.n_kept / n_parameters for each in found],
                "error": [each.error for each in found],
                "error_se": [each.error_se for each in found],
            }
            parts.append(pd.DataFrame({"kind": "simulation", "r": r, **simulated}))
    lowest = envelope(kept, keep=keep, probe_angle=angle, least=min(*fractions, 0.99))
    parts.append(pd.DataFrame({"kind": "lowest", "r": lowest.r, "kept_per_parameter": kept, "error": lowest.error}))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "probe_angle", angle)
    return table


def _points(axes: Axes, r: float, look: dict, simulated: pd.DataFrame) -> None:
    axes.errorbar(
        simulated["kept_per_parameter"],
        simulated["error"],
        yerr=simulated["error_se"],
        linestyle="none",
        elinewidth=0.9,
        label=f"simulation, r = {r:g}",
        **look,
    )


def _scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(KEPT[0] / 1.08, KEPT[1])
    axes.set_ylim(*ERRORS)
    plain_log_ticks(axes.xaxis, *KEPT)
    plain_log_ticks(axes.yaxis, *ERRORS, unit="%")
    axes.set_xlabel("kept examples per parameter")
