"""How well metrics find wrong labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from winnow.comparison.tables import properties, read
from winnow.core.errors import WinnowError
from winnow.figures.style import GREY, Drawing, house_style

LOOKS = (("#0072B2", "o"), ("#E69F00", "s"), ("#D55E00", "^"), ("#009E73", "D"), ("#CC79A7", "v"), ("#56B4E9", "p"))


def from_folders(folders: Sequence[str | Path]) -> Drawing:
    """`label_noise` of the sweeps of scores in several folders. Raises WinnowError where a folder holds none."""
    return label_noise(pd.concat([properties(*read(folder)) for folder in folders], ignore_index=True))


def label_noise(table: pd.DataFrame) -> Drawing:
    """The area under the curve of finding flipped labels by the score, a line a metric, a marker a data set.

    table: of `comparison.tables.properties`, which is also the figure's. Metrics in the order of their mean. 0.5 is
    chance; below it, flipped labels score as the easier.

    Raises WinnowError where no example is known to be flipped.
    """
    known = table.dropna(subset="flip_auc")
    if known.empty:
        raise WinnowError("no label is known to be flipped; score with dataset.label_noise=0.1.")
    metrics = known.groupby("metric")["flip_auc"].mean().sort_values().index
    place = pd.Series(np.arange(len(metrics)), index=metrics)
    with house_style():
        figure = Drawing(table, (5.6, 0.24 * len(metrics) + 1.1))
        axes = figure.subplots()
        axes.axvline(0.5, color=GREY, linewidth=0.9)
        for (dataset, rows), (colour, marker) in zip(known.groupby("dataset"), LOOKS, strict=False):
            axes.plot(
                rows["flip_auc"],
                place[rows["metric"]],
                marker=marker,
                color=colour,
                linestyle="none",
                label=str(dataset),
                fillstyle="none" if marker == "s" else "full",
            )
        axes.set_yticks(place, metrics)
        axes.set_ylim(-0.6, len(metrics) - 0.4)
        axes.set_xlim(min(0.45, float(known["flip_auc"].min()) - 0.03), 1.025)
        axes.set_xlabel("AUC of finding flipped labels")
        figure.legend(loc="outside upper center", ncols=3)
    return figure
