"""Keep the easiest or the hardest? Differences of test error over the size of the data set and the fraction kept."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from winnow.core.errors import FitError
from winnow.figures.squares import COLOURS, scale, write
from winnow.figures.style import Drawing, house_style
from winnow.scaling.grid import RANDOM, read
from winnow.scaling.paired import differences, holm
from winnow.scaling.replicates import ONE_ENSEMBLE


def from_grid(grid: str | Path) -> Drawing:
    """`easy_vs_hard` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return easy_vs_hard(read(grid))


def easy_vs_hard(table: pd.DataFrame) -> Drawing:
    """Maps of paired differences in points, initial size by fraction kept: hardest − easiest, and each − random.

    Sorscher et al. 2022 (2206.14486), section 4: with little data keep the easy, with much the hard; so the first map
    should turn from red (the easiest is better) to blue as n grows. table: a grid of the hardest and the easiest by one
    metric, over dataset.limit, and random where the other two maps are wanted. A dot: the paired t-test by Holm's
    correction over all squares of the figure says that it is not zero at 5%. The table has `first`, `second`, n, r and
    the difference with its 95% interval.

    Raises FitError where the grid lacks either end, or has several metrics.
    """
    ends = {end: sorted(set(table["rule"][table["rule"].str.endswith(f" {end}")])) for end in ("hardest", "easiest")}
    if any(len(rules) != 1 for rules in ends.values()):
        raise FitError("this map is of the hardest and the easiest by one metric; run selector=threshold,easiest.")
    compared = [(ends["hardest"][0], ends["easiest"][0])]
    if (table["rule"] == RANDOM).any():
        compared += [(ends["hardest"][0], RANDOM), (ends["easiest"][0], RANDOM)]
    sizes = table.groupby("dataset")["n"].max()
    parts = []
    for first, second in compared:
        found = differences(table[table["rule"].isin([first, second])], baseline=second)
        parts.append(found.assign(first=first, second=second, n=found["dataset"].map(sizes), r=found["r"].round(2)))
    numbers = pd.concat(parts, ignore_index=True).drop(columns="rule")
    numbers["p_holm"] = holm(numbers["p"].to_numpy(dtype=np.float64))
    norm = scale(100 * float(numbers["difference"].abs().max()))
    fractions, lines = numbers["r"].nunique(), numbers["n"].nunique()
    with house_style():
        figure = Drawing(numbers, ((0.5 * fractions + 0.9) * len(compared) + 1.2, 0.36 * lines + 1.6))
        panels = figure.subplots(1, len(compared), squeeze=False, sharey=True)[0]
        for axes, (first, second) in zip(panels, compared, strict=True):
            _map(axes, numbers[(numbers["first"] == first) & (numbers["second"] == second)], norm)
            axes.set_title(f"{first.split()[-1]} −\n{second.split()[-1]}", loc="left")
            axes.set_xlabel("r, fraction kept")
        panels[0].set_ylabel("examples\nbefore pruning")
        bar = figure.colorbar(matplotlib.cm.ScalarMappable(norm, COLOURS), ax=panels, shrink=0.9, aspect=20)
        test = f"{ONE_ENSEMBLE}: no test" if numbers["one_ensemble"].all() else "dot: p < 0.05"
        bar.set_label(f"by {first.split()[0]}, points\n({test})")
        bar.outline.set_visible(False)
    return figure


def _map(axes: Axes, part: pd.DataFrame, norm: TwoSlopeNorm) -> None:
    shown = part.pivot_table(index="n", columns="r", values="difference", dropna=False)
    p = part.pivot_table(index="n", columns="r", values="p_holm", dropna=False).reindex_like(shown).to_numpy()
    points = 100 * shown.to_numpy()
    axes.imshow(points, norm=norm, cmap=COLOURS, origin="lower", aspect="auto")
    for (i, j), value in np.ndenumerate(points):
        if np.isfinite(value):
            write(axes, (i, j), value, float(p[i, j]), norm)
    axes.set_xticks(range(shown.shape[1]), [f"{r:g}" for r in shown.columns])
    axes.set_yticks(range(shown.shape[0]), [f"{n:,.0f}" for n in shown.index])
    axes.grid(False)
