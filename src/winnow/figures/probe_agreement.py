"""How many probes are enough: what the scores of one group of probes say of those of another."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from winnow.comparison.tables import read
from winnow.core.errors import WinnowError
from winnow.diagnostics.metric_properties import probes_for, spearman_brown
from winnow.figures.style import GREY, Drawing, house_style

PANELS_ABREAST = 6
BLUE, VERMILION = "#0072B2", "#D55E00"
TARGET = 0.95


def from_folder(folder: str | Path) -> Drawing:
    """`probe_agreement` of the sweep of scores in a folder. Raises WinnowError where there is none."""
    return probe_agreement(read(folder)[1])


def probe_agreement(agreement: pd.DataFrame) -> Drawing:
    """A panel a metric: the Spearman correlation of the scores of disjoint groups of k probes, by k.

    agreement: metric, probes k, members K, correlation; k goes to K/2. Dots are measured; the line is what Spearman and
    Brown expect of the largest groups, up to K; the number is how many probes it takes for 0.95. Metrics that read no
    probes have no panel. The figure's table has the dots and the line at them.

    Raises WinnowError where no metric has any.
    """
    known = agreement.dropna(subset="correlation").sort_values(["metric", "probes"])
    if known.empty:
        raise WinnowError("no metric of this sweep was scored with two or more probes; raise probe.members.")
    curves = {str(name): rows for name, rows in known.groupby("metric")}
    lines = -(-len(curves) // PANELS_ABREAST)
    columns = -(-len(curves) // lines)
    numbers = []
    with house_style():
        figure = Drawing(pd.DataFrame(), (1.75 * columns + 0.6, 1.7 * lines + 0.5))
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        most = int(known["members"].max())
        for axes, (name, rows) in zip(panels, curves.items(), strict=False):
            k, correlation = rows["probes"].to_numpy(), rows["correlation"].to_numpy()
            line = np.geomspace(1, rows["members"].max(), 60)
            axes.axhline(TARGET, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
            axes.plot(line, spearman_brown(correlation[-1], line / k[-1]), color=BLUE)
            axes.plot(k, correlation, color=VERMILION, marker="o", markersize=3.5, linestyle="none")
            axes.set_title(name, loc="left")
            wanted = probes_for(correlation[-1], k[-1], TARGET)
            text = f"0.95 takes {np.ceil(wanted - 1e-9):,.0f}" if np.isfinite(wanted) else "never 0.95"
            axes.text(0.96, 0.06, text, transform=axes.transAxes, ha="right", fontsize=8, color="0.25")
            numbers.append(rows.assign(spearman_brown=spearman_brown(correlation[-1], k / k[-1])))
        for axes in panels[len(curves) :]:
            axes.set_axis_off()
        panels[0].set_xscale("log")
        panels[0].xaxis.set_major_locator(
            FixedLocator([1, *(k for k in (2, 5, 15, 50, 150, 500) if k < 0.8 * most), most])
        )
        panels[0].xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:.0f}"))
        panels[0].xaxis.set_minor_locator(NullLocator())
        low = min(0.0, float(known["correlation"].min()) - 0.05)
        panels[0].set_ylim(low, 1.03)
        for i, axes in enumerate(panels[: len(curves)]):
            axes.tick_params(labelbottom=i + columns >= len(curves))
        figure.supxlabel("probes in a group, k", fontsize=9)
        figure.supylabel("Spearman's ρ of two groups", fontsize=9)
        figure.table = pd.concat(numbers, ignore_index=True)
    return figure
