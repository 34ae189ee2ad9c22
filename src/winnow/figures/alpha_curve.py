"""The curves that alpha=auto chose by, and those of the other criterion: mean gradient and held-out error."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.figures.style import Drawing, house_style
from winnow.store.artifacts import Artifact
from winnow.store.records import load_alpha

TITLE = 40  # characters that a panel has room for
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"


def from_choices(choices: Sequence[str | Path]) -> Drawing:
    """`alpha_curve` of the folders of choices (artifacts/alpha/<key>), a column each.

    Raises MissingEvidenceError where a folder is missing.
    """
    for folder in map(Path, choices):
        if not folder.is_dir():
            raise MissingEvidenceError(f"there is no folder {folder}; give that of a choice, artifacts/alpha/<key>.")
    return alpha_curve([load_alpha(Artifact(Path(folder))) for folder in choices])


def alpha_curve(choices: Sequence[tuple[pd.DataFrame, dict[str, Any]]]) -> Drawing:
    """A column a choice: its criteria against alpha, one above the other, the chosen alpha, and what the other says.

    choices: (curve, about) as choosing.py saves them; one that has a single criterion takes one panel. The gradient
    criterion is drawn in parts, relative to its value at the first alpha, which is that of random pruning; held-out
    error with the standard error of its difference from the lowest. Raises ShapeError for no choice.
    """
    if not choices:
        raise ShapeError("give at least one choice of alpha to draw.")
    tried = [[name for name, (column, _) in PANELS.items() if column in curve] for curve, _ in choices]
    rows = max(map(len, tried))
    with house_style():
        table = pd.concat(
            [curve.assign(rule=about["rule"], r=about["r"], chosen=about["alpha"]) for curve, about in choices]
        )
        figure = Drawing(table, (3.3 * len(choices) + 0.2, 2.6 * rows + 0.5))
        panels = figure.subplots(rows, len(choices), squeeze=False)
        for column, names, (curve, about) in zip(panels.T, tried, choices, strict=True):
            for name, axes in zip(names, column, strict=False):
                PANELS[name][1](axes, curve)
                label = f"chosen: {about['alpha']:g}" if name == about["criterion"] else None
                axes.axvline(about["alpha"], color="0.3", linestyle=":", label=label)
                if name != about["criterion"]:
                    says = about["choices"][name]
                    axes.axvline(says, color="0.55", linestyle=(0, (1, 3)), label=f"would choose: {says:g}")
                axes.set_xlim(-0.02, 1.02)
                axes.legend(loc="best")
            for axes in column[len(names) :]:
                axes.set_visible(False)
            column[0].set_title(fill(f"{about['rule']}, r = {about['r']:g}", TITLE), loc="left")
            column[len(names) - 1].set_xlabel("alpha")
    return figure


def _gradient(axes: Axes, curve: pd.DataFrame) -> None:
    total = curve["bias2"] + curve["variance"]
    start = float(total.iloc[0]) or 1.0
    axes.plot(curve["alpha"], curve["bias2"] / start, color=VERMILION, linestyle="--", label="bias²")
    axes.plot(curve["alpha"], curve["variance"] / start, color=BLUE, linestyle="-.", label="variance")
    axes.plot(curve["alpha"], total / start, color="0.65", linewidth=3, zorder=1.8, label="sum")
    # Near alpha = 1 the variance grows without bound.
    axes.set_ylim(0, min(1.05 * float((total / start).max()), 3.0) or 1.0)
    axes.set_ylabel("squared error of the mean gradient\n(random pruning = 1)")


def _validation(axes: Axes, curve: pd.DataFrame) -> None:
    tried = curve[curve["error"].notna()]
    spread = 100 * tried["excess_se"] if "excess_se" in tried else None
    style: dict[str, Any] = {"color": GREEN, "marker": "o", "markersize": 3, "label": "last layers fitted anew"}
    axes.errorbar(tried["alpha"], 100 * tried["error"], yerr=spread, **style)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("held-out error (%)")


PANELS = {"gradient": ("bias2", _gradient), "validation": ("error", _validation)}
"""Of each criterion, in order: a column of its curve, and how it is drawn."""
