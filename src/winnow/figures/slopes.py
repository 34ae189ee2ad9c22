"""Does error fall faster by some rule than at random? Differences of the exponents of power laws, a row a rule."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from winnow.figures.scaling_curves import PANELS_ABREAST, panel_title
from winnow.figures.style import GREY, Drawing, house_style
from winnow.scaling.grid import GROUP, Group, read
from winnow.scaling.replicates import ONE_ENSEMBLE
from winnow.scaling.slopes import slopes as exponents


def from_grid(grid: str | Path) -> Drawing:
    """`slopes` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return slopes(read(grid))


def slopes(table: pd.DataFrame) -> Drawing:
    """The exponent of each rule's power law minus that of random, with its 95% interval; a panel for each (dataset,
    model, recipe), the rules of all panels in one order.

    The claim that pruning bends the power law in n (Sorscher et al. 2022, 2206.14486, section 3) is one of the
    envelope over r and n; this is the plainer question of one data set. Exponents are fitted to each replicate's curve
    and paired by seeds (see `winnow.scaling.slopes`). A full mark: p < 0.05 by Holm's correction over all rules and
    panels. To the right error falls faster, which the rules that fail at small r do, as they have far to fall. The
    table is that of `winnow.scaling.slopes`.

    Raises FitError without random, or where no rule shares three sizes with it.
    """
    numbers = exponents(table)
    means = numbers.groupby("rule")["difference"].mean()
    rules = sorted(means.index, key=lambda rule: (means[rule], rule))
    groups: list[Group] = sorted(set(numbers[GROUP].itertuples(index=False, name=None)))
    columns = min(PANELS_ABREAST, len(groups))
    lines = -(-len(groups) // columns)
    with house_style():
        figure = Drawing(numbers, (2.7 * columns + 0.065 * max(map(len, rules)), lines * (0.19 * len(rules) + 1.0)))
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, group in zip(panels.ravel(), groups, strict=False):
            part = numbers[(numbers[GROUP] == list(group)).all(axis=1)].set_index("rule")
            _panel(axes, part, rules)
            random = f"random: b = {part['baseline_b'].mean():.2f}"
            axes.set_title(f"{panel_title(group, table)}\n{random}", loc="left", fontsize=8)
            axes.set_xlabel("exponent − that of random")
        for axes in panels.ravel()[len(groups) :]:
            axes.remove()
        bars = f"{ONE_ENSEMBLE}: no bars" if numbers["one_ensemble"].all() else "bars: 95% intervals"
        figure.supxlabel(f"{bars}; full mark: p < 0.05 by Holm's correction over all marks", fontsize=7.5)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, rules: list[str]) -> None:
    axes.axvline(0, color=GREY, linewidth=0.9, zorder=1)
    own = [rule for rule in rules if rule in part.index]
    line = part.loc[own]
    places = np.array([rules.index(rule) for rule in own])
    difference = line["difference"].to_numpy()
    bars = np.stack([difference - line["low"], line["high"] - difference])
    axes.errorbar(difference, places, xerr=bars, fmt="o", color="black", fillstyle="none", markersize=4, capsize=2,
                  elinewidth=0.9)  # fmt: skip
    sure = (line["p_holm"] < 0.05).to_numpy()
    axes.plot(difference[sure], places[sure], "o", color="black", markersize=4)
    axes.set_yticks(range(len(rules)), rules, fontsize=7.5)
    axes.set_ylim(-0.7, len(rules) - 0.3)
