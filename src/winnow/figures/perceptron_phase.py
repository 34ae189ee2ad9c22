"""The perceptron theory of data pruning: which examples to keep, by how much data there is and how much is kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.interpolate import CubicSpline

from winnow.core.types import Floats
from winnow.figures.style import Drawing, house_style, plain_log_ticks
from winnow.theory.kept_distribution import Keep
from winnow.theory.strategies import STRATEGIES, best_strategy

DATA = (1.0, 100.0)  # examples per parameter before pruning, the horizontal axis
KEPT = (0.05, 0.98)  # fractions kept; at 1 all strategies are one
COLOURS: dict[Keep, str] = {"hardest": "#F2B48C", "easiest": "#9CC9E8", "random": "#D4D4D4"}
GAINS = (1.1, 1.5, 2.0, 4.0)
FINE = (420, 480)  # fractions and data sizes of the drawn map
LABELLED = (1.8, 60.0)  # the data sizes at which lines of equal gain are labelled
_THIN: dict[str, Any] = {"colors": "0.35", "linewidths": 0.6}


def perceptron_phase(
    probe_angles: Sequence[float] = (0.0, 20.0, 40.0), *, columns: int = 48, lines: int = 32
) -> Drawing:
    """The strategy of least error over (α_tot, r): a map of hardest, easiest and random, a panel a probe.

    Sorscher et al. 2022, arXiv 2206.14486, figure 1. probe_angles: degrees between probe and teacher. columns and
    lines: of the grid at which the theory is solved, between the points of which its errors are interpolated. The
    thin lines say by what factor random's error is above the best strategy's.

    With a perfect probe one end is always better than random: the easiest where data are scarce, the hardest where they
    are plentiful (from α_tot = 5.05 on at r = 0.5). With an imperfect one, as at 20 and 40 degrees, random wins in a
    wedge between the two: there the easiest, on which the probe hardly errs, pull the student to the probe instead of
    the teacher, and the hardest are still too few.

    The table has the errors of the three strategies and the best of them at the points that were solved.

    Raises OptionError and TheoryError as `solve` does.
    """
    angles = [float(angle) for angle in probe_angles]
    r, log_alpha = _solved_at(columns, lines)
    solved = [best_strategy(np.exp(log_alpha), r[:, None], probe_angle=angle) for angle in angles]
    points = {"examples_per_parameter": np.tile(np.exp(log_alpha), lines), "r": np.repeat(r, columns)}
    parts = [
        pd.DataFrame(
            {"probe_angle": angle, **points}
            | {keep: found.error[keep].ravel() for keep in STRATEGIES}
            | {"best": found.keep.ravel()}
        )
        for angle, found in zip(angles, solved, strict=True)
    ]
    with house_style():
        figure = Drawing(pd.concat(parts, ignore_index=True), (3.1 * len(angles) + 1.2, 3.3))
        panels = figure.subplots(1, len(angles), sharey=True, squeeze=False).ravel()
        for axes, angle, found in zip(panels, angles, solved, strict=True):
            _map(axes, *_fine(r, log_alpha, found.error))
            axes.set_title("perfect probe" if angle == 0 else f"probe at {angle:g}° to the teacher", loc="left")
            axes.set_xlabel("examples per parameter\nbefore pruning")
        panels[0].set_ylabel("fraction kept")
        handles: list[Artist] = [Patch(facecolor=COLOURS[keep], label=keep) for keep in STRATEGIES]
        handles.append(
            Line2D([], [], color=_THIN["colors"], linewidth=_THIN["linewidths"], label="random's error\n/ the best's")
        )
        figure.legend(
            handles=handles, loc="outside right upper", title="best to keep", title_fontsize=8, alignment="left"
        )
    return figure


def _solved_at(columns: int, lines: int) -> tuple[Floats, Floats]:
    """The r [lines] and log α_tot [columns] at which the theory is solved."""
    r = np.linspace(KEPT[0] ** 0.5, KEPT[1] ** 0.5, lines) ** 2
    margin = np.log(r[3] / r[0])  # how far α_tot leaves its range within the four lines of an interpolation
    return r, np.linspace(np.log(DATA[0]) - margin, np.log(DATA[1]) + margin, columns)


def _fine(r: Floats, log_alpha: Floats, solved: Mapping[Keep, Floats]) -> tuple[Floats, Floats, dict[Keep, Floats]]:
    """α_tot [a], r [b] and the log error [b, a] of each strategy on a fine grid.

    Errors fall steeply at a certain α_prune = r α_tot, so that they are interpolated along r at fixed α_prune.
    """
    fine_r, fine_alpha = np.linspace(*KEPT, FINE[0]), np.geomspace(*DATA, FINE[1])
    first = np.clip(np.searchsorted(r, fine_r, side="right") - 2, 0, len(r) - 4)
    errors: dict[Keep, Floats] = {}
    for keep in STRATEGIES:
        rows = [CubicSpline(log_alpha, line) for line in np.log(solved[keep])]
        errors[keep] = np.stack([
            sum(part * rows[i](np.log(fine_alpha * at / r[i])) for i, part in _cubic(r, start, at))
            for start, at in zip(first, fine_r, strict=True)
        ])  # fmt: skip
    return fine_alpha, fine_r, errors


def _cubic(r: Floats, start: int, at: float) -> list[tuple[int, float]]:
    """The weights of lines start to start + 3 in the cubic through them, in log r."""
    four = range(start, start + 4)
    return [(i, float(np.prod([np.log(at / r[j]) / np.log(r[i] / r[j]) for j in four if j != i]))) for i in four]


def _map(axes: Axes, alpha: Floats, r: Floats, log_errors: Mapping[Keep, Floats]) -> None:
    stacked = np.stack([log_errors[keep] for keep in STRATEGIES])
    best = stacked.argmin(axis=0)
    colours = ListedColormap([COLOURS[keep] for keep in STRATEGIES])
    axes.pcolormesh(
        alpha, r, best, cmap=colours, vmin=-0.5, vmax=len(STRATEGIES) - 0.5, shading="nearest", rasterized=True
    )
    for i in np.unique(best):
        axes.contour(
            alpha, r, np.delete(stacked, i, axis=0).min(axis=0) - stacked[i], levels=[0], colors="black", linewidths=1
        )
    axes.set_xscale("log")
    axes.set_xlim(*DATA)
    axes.set_ylim(*KEPT)
    plain_log_ticks(axes.xaxis, *DATA)
    axes.grid(False)
    gain = log_errors["random"] - stacked.min(axis=0)
    lines = axes.contour(alpha, r, gain, levels=np.log(GAINS), **_THIN)
    places = [(alpha[i], r[j]) for i in np.searchsorted(alpha, LABELLED) for j in _crossings(gain[:, i])]
    axes.clabel(lines, fmt={level: f"{np.exp(level):.2g}" for level in lines.levels}, fontsize=6.5, manual=places)


def _crossings(gain: Floats) -> list[int]:
    """Where along r each of the levels of gain is last crossed."""
    crossed = [np.flatnonzero(np.diff(np.sign(gain - np.log(level)))) for level in GAINS]
    return [int(places[-1]) for places in crossed if places.size]
