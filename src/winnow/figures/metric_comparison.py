"""How alike the orders are in which metrics rank the examples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from winnow.comparison.tables import metrics_of, read, scores_of
from winnow.core.errors import WinnowError
from winnow.core.types import Floats
from winnow.diagnostics.metric_properties import hardest_overlap, kendall, spearman
from winnow.figures.style import GREY, Drawing, house_style

HARDEST = 0.1


def from_folder(folder: str | Path) -> Drawing:
    """`metric_comparison` of the sweep of scores in a folder. Raises WinnowError where there is none."""
    return metric_comparison(read(folder)[0])


def metric_comparison(table: pd.DataFrame) -> Drawing:
    """Left: Spearman's correlation of every two metrics, beside the tree that orders them; right: their hardest.

    table: an example a line, a column a metric. The tree joins by average linkage of 1 − ρ. Right: how much of the
    hardest tenth two metrics have in common; on its diagonal, what two random tie-breaks of one metric have. The
    figure's table has these numbers and Kendall's tau-b.

    Raises WinnowError for fewer than two metrics.
    """
    metrics, scores = metrics_of(table), scores_of(table)
    if len(metrics) < 2:
        raise WinnowError(f"the comparison needs two metrics; the table holds {', '.join(metrics) or 'none'}.")
    rho, overlap = spearman(scores), hardest_overlap(scores, HARDEST)
    tree = _tree(rho)
    order = leaves_list(tree)
    size = 0.3 * len(metrics) + 0.6
    with house_style():
        figure = Drawing(_numbers(metrics, rho, kendall(scores), overlap), (2 * size + 3.4, size + 1.5))
        widths = [0.14, 1, 1]
        branches, left, right = figure.subplots(1, 3, width_ratios=widths)
        _draw_tree(branches, tree)
        names = [metrics[i] for i in order]
        _heat(figure, left, rho[np.ix_(order, order)], names, label="Spearman's ρ", cmap="RdBu_r", vmin=-1, vmax=1)
        _heat(
            figure,
            right,
            overlap[np.ix_(order, order)],
            None,
            label=f"share of the hardest {HARDEST:.0%} in common",
            cmap="Blues",
            vmin=0,
            vmax=1,
            columns=names,
        )
    return figure


def _tree(rho: Floats) -> Floats:
    distance = np.where(np.isfinite(rho), 1 - rho, 1)  # a constant score is like none
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.maximum(distance, 0), checks=False)
    return optimal_leaf_ordering(linkage(condensed, method="average"), condensed)


def _draw_tree(axes: Axes, tree: Floats) -> None:
    dendrogram(tree, orientation="left", ax=axes, no_labels=True, color_threshold=0, above_threshold_color=GREY)
    axes.invert_yaxis()  # the first leaf on top, like the first line of a heat map
    axes.set_axis_off()


def _heat(
    figure: Figure,
    axes: Axes,
    values: Floats,
    names: list[str] | None,
    *,
    label: str,
    columns: list[str] | None = None,
    **colours: Any,
) -> None:
    image = axes.imshow(values, aspect="auto", **colours)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(range(len(values)), names or [""] * len(values))
    axes.set_xticks(range(len(values)), columns or names or [], rotation=90)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.to_rgba(np.array(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = f"{value:.2f}".replace("-0.00", "0.00").replace("0.", ".").replace("1.00", "1").replace("-", "−")
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "0.15")
    bar = figure.colorbar(image, ax=axes, location="top", shrink=0.7, aspect=40, pad=0.01)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _numbers(metrics: list[str], rho: Floats, tau: Floats, overlap: Floats) -> pd.DataFrame:
    """A line for each two metrics, and for each with itself."""
    first, second = np.tril_indices(len(metrics))
    return pd.DataFrame(
        {
            "metric": [metrics[i] for i in second],
            "other": [metrics[i] for i in first],
            "spearman": rho[first, second],
            "kendall_tau_b": tau[first, second],
            "hardest_overlap": overlap[first, second],
        }
    )
