"""The curves that alpha=auto chose by: bias², variance and their sum, or held-out error, against alpha."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from winnow.artifacts import Artifact
from winnow.errors import MissingEvidenceError, ShapeError
from winnow.figures.style import Drawing, house_style
from winnow.records import load_alpha

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"


def from_choices(choices: Sequence[str | Path]) -> Drawing:
    """`alpha_curve` of the folders of choices (artifacts/alpha/<key>), a panel each.

    Raises MissingEvidenceError where a folder is missing.
    """
    for folder in map(Path, choices):
        if not folder.is_dir():
            raise MissingEvidenceError(f"there is no folder {folder}; give that of a choice, artifacts/alpha/<key>.")
    return alpha_curve([load_alpha(Artifact(Path(folder))) for folder in choices])


def alpha_curve(choices: Sequence[tuple[pd.DataFrame, dict[str, Any]]]) -> Drawing:
    """A panel a choice: its criterion against alpha, in parts, and the chosen alpha.

    choices: (curve, about) as choosing.py saves them. The gradient criterion is drawn relative to its value at the
    first alpha, which is that of random pruning. Raises ShapeError for no choice.
    """
    if not choices:
        raise ShapeError("give at least one choice of alpha to draw.")
    with house_style():
        table = pd.concat(
            [curve.assign(rule=about["rule"], r=about["r"], chosen=about["alpha"]) for curve, about in choices]
        )
        figure = Drawing(table, (3.3 * len(choices) + 0.2, 3.1))
        panels = figure.subplots(1, len(choices), squeeze=False)[0]
        for axes, (curve, about) in zip(panels, choices, strict=True):
            (_gradient if about["criterion"] == "gradient" else _validation)(axes, curve)
            axes.axvline(about["alpha"], color="0.3", linestyle=":", label=f"chosen: {about['alpha']:g}")
            axes.set_title(f"{about['rule']}, r = {about['r']:g}", loc="left")
            axes.set_xlim(-0.02, 1.02)
            axes.set_xlabel("alpha")
            axes.legend(loc="best")
    return figure


def _gradient(axes: Axes, curve: pd.DataFrame) -> None:
    start = float(curve["criterion"].iloc[0]) or 1.0
    axes.plot(curve["alpha"], curve["bias2"] / start, color=VERMILION, linestyle="--", label="bias²")
    axes.plot(curve["alpha"], curve["variance"] / start, color=BLUE, linestyle="-.", label="variance")
    axes.plot(curve["alpha"], curve["criterion"] / start, color="0.65", linewidth=3, zorder=1.8, label="sum")
    # Near alpha = 1 the variance grows without bound.
    axes.set_ylim(0, min(1.05 * float((curve["criterion"] / start).max()), 3.0) or 1.0)
    axes.set_ylabel("squared error of the mean gradient\n(random pruning = 1)")


def _validation(axes: Axes, curve: pd.DataFrame) -> None:
    axes.plot(
        curve["alpha"], 100 * curve["error"], color=GREEN, marker="o", markersize=3, label="last layers fitted anew"
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("held-out error (%)")
