"""Rules beside a baseline: paired differences of test error by rule and fraction kept, a panel a data set."""

from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from winnow.core.errors import FitError, OptionError, check_choice
from winnow.core.types import Floats
from winnow.figures.errors import with_error
from winnow.figures.scaling_curves import PANELS_ABREAST, panel_title
from winnow.figures.squares import COLOURS, scale, write
from winnow.figures.style import GREY, Drawing, house_style
from winnow.scaling.grid import CELL, GROUP, RANDOM, Group, read, rule_order, runs, summarise
from winnow.scaling.paired import differences
from winnow.scaling.replicates import ONE_ENSEMBLE, Estimate, design

ORDERS = ("difference", "name")
SQUARE = 0.43, 0.19  # inches


def from_grid(
    grid: str | Path, error: str = "mean", baseline: str = RANDOM, order: str = "difference", limit: float = 20.0
) -> Drawing:
    """`rule_table` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return rule_table(read(grid), error=error, baseline=baseline, order=order, limit=limit)


def rule_table(
    table: pd.DataFrame,
    *,
    error: str = "mean",
    baseline: str = RANDOM,
    order: str = "difference",
    limit: float = 20.0,
) -> Drawing:
    """A panel for each (dataset, model, recipe), a row a rule, a column a fraction kept: how much more than the
    baseline each rule errs.

    The first row holds the baseline's mean error in percent; a square below it the mean paired difference from that, in
    points, blue where the rule is better; "–" where the rule was run, but not on seeds and a size of the baseline: a
    rule that drops suspects keeps r of those left, so its r must be larger to meet it. A dot: the paired t-test by
    Holm's correction over all squares of all panels says at 5% that it is not zero. Three to five replicates and
    hundreds of squares leave that to few of the largest differences; the table has every interval. A rule whose runs
    share one probe ensemble has no test. Grey at the end of a row: replicates, or runs/clusters where some share their
    ensemble. The title has the error of training on all data ± one standard error; r = 1 is no column, as every rule
    trains the same models there.

    error: "mean" of all test images, or "worst_class" (see `scaling_curves`). baseline: the name of any rule. order of
    the rows, the same in all panels: by the mean "difference" over all squares of a rule, best first, or by "name"; a
    rule that was not run where little is kept looks better in the mean than it is. limit: points at which the colours
    end, so that small differences show.

    The table: for each square difference, low and high (its 95% interval), p, p_holm, seeds and clusters (of the
    pairs), with the mean error and its standard error of the rule at that size, and full_mean, full_se of all data.

    Raises OptionError for an unknown error or order, or a limit that is not positive; WinnowError where no row has the
    error; FitError without a row of the baseline, or a rule beside it on the same seeds.
    """
    check_choice("figure.order", order, ORDERS)
    if not limit > 0:
        raise OptionError(f"figure.limit={limit:g} must be positive, such as 20 for 20 points.")
    table, column, label = with_error(table, error)
    found = differences(table, baseline, error=column)
    if found.empty:
        raise FitError(f"no rule has a run beside {baseline!r} on the same seeds and less than all data; run both.")
    groups: list[Group] = sorted(set(table[GROUP].itertuples(index=False, name=None)))
    whole = {group: _all_data(table[(table[GROUP] == list(group)).all(axis=1)], column) for group in groups}
    numbers = _numbers(table, found, column, whole, baseline)
    rules = [baseline, *(rule for rule in _ordered(numbers, order) if rule != baseline)]
    fractions = sorted(numbers["r"].unique())
    groups = [group for group in groups if (numbers[GROUP] == list(group)).all(axis=1).any()]
    norm = scale(100 * float(numbers["difference"].abs().max()), limit)
    columns = min(PANELS_ABREAST, len(groups))
    lines = -(-len(groups) // columns)
    with house_style():
        names = 0.065 * max(map(len, rules))
        titles = [panel_title(group, table).replace(", ", "\n") for group in groups]
        longest = max(len(line) for title in titles for line in title.split("\n"))
        width = columns * (max(SQUARE[0] * len(fractions), 0.065 * longest) + 0.4) + names + 1.0
        height = lines * (SQUARE[1] * len(rules) + 1.0) + 0.5
        figure = Drawing(numbers, (width, height))
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, group, title in zip(panels.ravel(), groups, titles, strict=False):
            part = numbers[(numbers[GROUP] == list(group)).all(axis=1)]
            _panel(axes, part, rules, fractions, column, norm)
            n = int(table[(table[GROUP] == list(group)).all(axis=1)]["n"].max())
            axes.set_title(f"{title}\n{_said(whole[group], n)}", loc="left", fontsize=8)
            axes.set_xlabel("r, fraction kept")
        for axes in panels.ravel()[len(groups) :]:
            axes.remove()
        beyond = "both" if (100 * numbers["difference"].abs() > limit).any() else "neither"
        shades = matplotlib.cm.ScalarMappable(norm, COLOURS)
        drawn = list(panels.ravel()[: len(groups)])
        bar = figure.colorbar(shades, ax=drawn, shrink=0.6, aspect=30, extend=beyond)
        bar.set_label(fill(f"{label} − that of {baseline}, points", int(height / 0.08)), fontsize=8)
        bar.outline.set_visible(False)
        figure.supxlabel(fill(_caption(numbers, baseline, label), int(15 * width)), fontsize=7.5)
    return figure


def _all_data(rows: pd.DataFrame, column: str) -> Estimate | None:
    """The error of training on all examples, each training seed once, whatever rule it came under."""
    trained = runs(rows[rows["n_kept"] == rows["n"]].assign(rule=RANDOM), column)
    return None if trained.empty else design(trained).estimate(trained[column])


def _numbers(
    table: pd.DataFrame, found: pd.DataFrame, column: str, whole: dict[Group, Estimate | None], baseline: str
) -> pd.DataFrame:
    """A line a square, the baseline's and those without a pair among them."""
    means = summarise(table[table["n_kept"] < table["n"]], column)
    own = [*CELL, "r", f"{column}_mean", f"{column}_se"]
    tests = ["difference", "low", "high", "p", "p_holm", "seeds", "clusters", "one_ensemble"]
    numbers = means[own].merge(found[[*CELL, *tests]], on=CELL, how="left")
    # A rule that keeps r of fewer, as one that drops suspects does, stands under the baseline's r of as many examples.
    size = [*GROUP, "n_kept"]
    known = means[means["rule"] == baseline][[*size, "r"]].rename(columns={"r": "baseline_r"})
    fractions = numbers.merge(known, on=size, how="left")["baseline_r"].fillna(numbers["r"])
    full = [whole[group] for group in numbers[GROUP].itertuples(index=False, name=None)]
    return numbers.assign(
        r=fractions.round(6).to_numpy(),
        seeds=numbers["seeds"].astype("Int64"),
        clusters=numbers["clusters"].astype("Int64"),
        full_mean=[np.nan if each is None else each.mean for each in full],
        full_se=[np.nan if each is None else each.se for each in full],
    )


def _ordered(numbers: pd.DataFrame, order: str) -> list[str]:
    if order == "name":
        return rule_order(numbers["rule"])
    means = numbers.groupby("rule")["difference"].mean()
    return sorted(means.index, key=lambda rule: (np.nan_to_num(means[rule], nan=np.inf), rule))


def _said(full: Estimate | None, n: int) -> str:
    if full is None:
        return "all data: not run"
    return f"all {n:,}: {100 * full.mean:.1f}" + (f" ± {100 * full.se:.1f}%" if full.se > 0 else "%")


def _panel(
    axes: Axes, part: pd.DataFrame, rules: list[str], fractions: list[float], column: str, norm: TwoSlopeNorm
) -> None:
    def by_place(values: str) -> Floats:
        return part.pivot(index="rule", columns="r", values=values).reindex(index=rules, columns=fractions).to_numpy()

    points, means, p = 100 * by_place("difference"), 100 * by_place(f"{column}_mean"), by_place("p_holm")
    axes.imshow(points, norm=norm, cmap=COLOURS, aspect="auto")
    for (i, j), value in np.ndenumerate(points):
        if np.isnan(means[i, j]):
            continue
        if i > 0 and np.isfinite(value):
            write(axes, (i, j), value, float(p[i, j]), norm, size=6.5)
        else:
            text, colour = (f"{means[i, j]:.1f}", "black") if i == 0 else ("–", GREY)
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
    for rule, own in part[part["seeds"].notna()].groupby("rule"):
        axes.text(
            len(fractions) - 0.42, rules.index(str(rule)), _replicates(own), va="center", fontsize=5.5, color=GREY
        )
    axes.axhline(0.5, color="black", linewidth=0.7)
    axes.set_xticks(range(len(fractions)), [f"{r:g}" for r in fractions])
    axes.set_yticks(range(len(rules)), rules, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)


def _replicates(squares: pd.DataFrame) -> str:
    """How many runs were paired, from the fewest to the most over the columns, and clusters where these are fewer."""
    counts = ["–".join(f"{k}" for k in sorted({squares[of].min(), squares[of].max()})) for of in ("seeds", "clusters")]
    return "/".join(dict.fromkeys(counts))


def _caption(numbers: pd.DataFrame, baseline: str, label: str) -> str:
    compared = numbers[numbers["difference"].notna()]
    shared = compared["one_ensemble"].astype(bool) & (compared["seeds"] > 1)
    tested = int(compared["p"].notna().sum())
    says = [f"first row: {label} of {baseline} (%); below: paired differences from it (points)"]
    if tested:
        says.append(f"dot: p < 0.05 by Holm's correction over {tested} squares")
    says.append("at the end of a row: replicates")
    if (compared["seeds"] > compared["clusters"]).any():
        says[-1] += ", or runs/clusters"
    if not tested:
        says.append(f"{ONE_ENSEMBLE if shared.any() else 'one replicate'}: no test")
    else:
        untested = [f"/1, {ONE_ENSEMBLE}"] if shared.any() else []
        untested += ["1, one replicate"] if (compared["seeds"] == 1).any() else []
        says += [f"no test where that is {' or '.join(untested)}"] if untested else []
    return "; ".join(says)
