"""How much can go without a loss: test error minus that of all data, against the fraction kept."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import stdtr

from winnow.core.errors import FitError, OptionError
from winnow.figures.style import GREY, Drawing, house_style, rule_looks
from winnow.scaling.grid import CELL, GROUP, read, rule_order, runs
from winnow.scaling.paired import holm
from winnow.scaling.replicates import ONE_ENSEMBLE, design

LEVEL = 0.9  # of the intervals: an end lies within the margin where the one-sided test at 5% says so


def from_grid(grid: str | Path, margin: float = 0.005) -> Drawing:
    """`keep_half` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return keep_half(read(grid), margin=margin)


def keep_half(table: pd.DataFrame, *, margin: float = 0.005) -> Drawing:
    """Difference of test error from training on all data, in points, against r, a line a rule.

    Paul et al. 2021 (2107.07075), figure 1, with the statement made a test. Differences are paired by the training
    seed; bars are 90% t-intervals with the probe ensemble as the cluster. The grey band is ± margin, a fraction. A bar
    that ends below its upper edge says by a one-sided t-test at 5% that no more than the margin is lost, a filled mark
    that by Holm's correction over all comparisons of the figure, too; a bar inside the band is equivalence (Schuirmann
    1987). That an interval holds zero says less: with few replicates it always does.

    The table: difference, low and high (of the 90% interval), p_no_loss, p_no_loss_holm and p_equivalent.

    Raises OptionError for a margin that is not positive; FitError without rows of all data beside others.
    """
    if not margin > 0:
        raise OptionError(f"figure.margin={margin} must be positive, such as 0.005 for half a point.")
    numbers = _differences(table, margin)
    if len(numbers[GROUP].drop_duplicates()) != 1:
        raise FitError("this figure is of one data set, model and recipe; sweep into a folder for each.")
    looks = rule_looks(numbers["rule"])
    with house_style():
        figure = Drawing(numbers, (6.2, 3.8))
        axes = figure.subplots()
        axes.axhspan(-100 * margin, 100 * margin, color="0.92", zorder=0)
        axes.axhline(0, color=GREY, linewidth=0.9, zorder=1)
        rules, fractions = rule_order(numbers["rule"]), sorted(numbers["r"].unique())
        for place, rule in enumerate(rules):
            shift = 0.006 * (place - (len(rules) - 1) / 2)  # so that bars of one size lie side by side
            _line(axes, numbers[numbers["rule"] == rule].sort_values("r"), looks[rule], shift)
        axes.set_xticks(fractions, [f"{r:g}" for r in fractions])
        axes.set_xlim(fractions[0] - 0.04, fractions[-1] + 0.04)
        axes.set_xlabel("r, fraction kept")
        axes.set_ylabel("test error − that of all data, points")
        axes.set_title(", ".join(numbers[GROUP[:2]].iloc[0]), loc="left")
        bars = f"{ONE_ENSEMBLE}: no bars" if numbers["one_ensemble"].all() else "bars: 90% intervals"
        title = f"{bars}\nband: ± {100 * margin:g} points\nfull mark: no more is\nlost, p < 0.05 (Holm)"
        figure.legend(loc="outside right upper", title=title, title_fontsize=8, alignment="left", handlelength=3.6)
    return figure


def _differences(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    each = runs(table)
    whole = each["n_kept"] == each["n"]
    full = each[whole].groupby([*GROUP, "train_seed"], as_index=False).agg(full=("test_error", "mean"))
    joined = each[~whole].merge(full, on=[*GROUP, "train_seed"])
    if joined.empty:
        raise FitError("the grid has no training seed with all data (compression.r=1) and with less; run both.")
    lines = []
    for place, part in joined.groupby(CELL):
        found = design(part).estimate(part["test_error"] - part["full"], paired=True)
        low, high = found.interval(LEVEL)
        no_loss = equivalent = np.nan
        if found.se > 0:
            no_loss = float(stdtr(found.df, (found.mean - margin) / found.se))
            equivalent = float(stdtr(found.df, (abs(found.mean) - margin) / found.se))
        numbers = {"r": part["r"].iloc[0], "seeds": found.seeds, "clusters": found.clusters, "difference": found.mean}
        numbers |= {"low": low, "high": high, "one_ensemble": found.one_ensemble}
        numbers |= {"p_no_loss": no_loss, "p_equivalent": equivalent}
        lines.append(dict(zip(CELL, place, strict=True)) | numbers)
    found_all = pd.DataFrame(lines)
    return found_all.assign(p_no_loss_holm=holm(found_all["p_no_loss"].to_numpy(dtype=np.float64)))


def _line(axes: Axes, line: pd.DataFrame, look: dict, shift: float) -> None:
    r, difference = line["r"].to_numpy() + shift, 100 * line["difference"].to_numpy()
    bars = np.stack([difference - 100 * line["low"], 100 * line["high"] - difference])
    own = look | {"fillstyle": "none", "markersize": 6, "marker": "o" if look["marker"] == "." else look["marker"]}
    axes.errorbar(r, difference, yerr=bars, capsize=2, elinewidth=0.9, label=line["rule"].iloc[0], **own)
    sure = (line["p_no_loss_holm"] < 0.05).to_numpy()
    axes.plot(r[sure], difference[sure], **(own | {"fillstyle": "full", "linestyle": "none"}))
