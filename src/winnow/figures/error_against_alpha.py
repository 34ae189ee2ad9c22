"""Test error against alpha, the signal fraction of calibrated pruning, and where alpha=auto came out."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from winnow.core.errors import FitError
from winnow.figures.style import Drawing, house_style
from winnow.scaling.grid import RANDOM, read, summarise
from winnow.scaling.regret import is_auto, regrets
from winnow.scaling.replicates import ONE_ENSEMBLE

COLOURS = {"exact": "#0072B2", "approximate": "#D55E00", "tempered": "#009E73"}
LINES = {"exact": "-", "approximate": "--", "tempered": ":"}
MARKERS = ("*", "D", "X", "P")


def from_grid(grid: str | Path) -> Drawing:
    """`error_against_alpha` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return error_against_alpha(read(grid))


def error_against_alpha(table: pd.DataFrame) -> Drawing:
    """A panel for each size: mean error over replicates against alpha, a line a protocol, a standard error either way.

    table: a grid of calibrated rules of one data set, model and metric at several alphas. A rule with alpha=auto is one
    marker, at its mean alpha and mean error, with bars of the standard deviation of alpha and the standard error;
    random is the black line, one standard error wide. Below each panel: the regret of each auto rule
    (scaling/regret.py) with its 95% interval, in points of percent. Where the runs of a rule share one probe ensemble
    it has neither bars nor interval, and the figure says so.

    Raises FitError where no rule was run at two alphas or more.
    """
    swept = table[table["protocol"].notna() & ~is_auto(table)]
    if swept.groupby(["protocol", "n_kept"])["alpha"].nunique().max() < 2 or swept.empty:
        raise FitError("the grid has no calibrated rule at two alphas or more; sweep alpha.value.")
    auto = table[is_auto(table)]
    rules = auto["rule"].unique()
    found = regrets(table) if len(rules) else None
    drawn = table[table["protocol"].notna() | (table["rule"] == RANDOM)]
    alphas = drawn.groupby(["n_kept", "rule"], as_index=False).agg(
        protocol=("protocol", "first"), alpha=("alpha", "mean"), alpha_sd=("alpha", "std")
    )
    shown = ["n_kept", "rule", "seeds", "clusters", "test_error_mean", "test_error_se", "one_ensemble"]
    numbers = alphas.merge(summarise(drawn)[shown], on=["n_kept", "rule"])
    if found is not None:
        kept = ["n_kept", "rule", "best_alpha", "best_error", "regret", "low", "high"]
        numbers = numbers.merge(found[kept], on=["n_kept", "rule"], how="left")
    sizes = sorted(swept["n_kept"].unique())
    with house_style():
        figure = Drawing(numbers, (3.3 * len(sizes) + 0.2, 4.4))
        panels = figure.subplots(1, len(sizes), squeeze=False)[0]
        for axes, kept in zip(panels, sizes, strict=True):
            here = table[table["n_kept"] == kept]
            axes.set_title(f"r = {here['r'].iloc[0]:g}, {kept:,} of {here['n'].iloc[0]:,} kept", loc="left")
            lines = numbers[numbers["n_kept"] == kept]
            chosen = is_auto(lines)
            _random(axes, lines[lines["rule"] == RANDOM])
            _curves(axes, lines[~chosen & (lines["rule"] != RANDOM)])
            _chosen(axes, lines[chosen])
            axes.set_xlim(-0.04, 1.0)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("alpha, signal fraction of what is kept")
            if found is not None:
                text = _regrets(found[found["n_kept"] == kept])
                axes.annotate(text, (0, -0.2), xycoords="axes fraction", va="top", fontsize=7.5)
        panels[0].set_ylabel("test error (%)")
        handles = {
            label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        title = f"mean over {numbers['seeds'].max()} replicates"
        reads = numbers[numbers["rule"] != RANDOM]
        title += f", {ONE_ENSEMBLE}: no bars" if reads["one_ensemble"].all() else ", bars ± 1 standard error"
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper center", ncols=4, title=title, title_fontsize=8
        )
    return figure


def _random(axes: Axes, lines: pd.DataFrame) -> None:
    for _, line in lines.iterrows():
        mean, error = 100 * line["test_error_mean"], 100 * line["test_error_se"]
        axes.axhline(mean, color="black", linewidth=1.2, label=RANDOM, zorder=1.5)
        if error > 0:
            axes.axhspan(mean - error, mean + error, color="black", alpha=0.12, linewidth=0)


def _curves(axes: Axes, lines: pd.DataFrame) -> None:
    for protocol, part in lines.sort_values("alpha").groupby("protocol"):
        axes.errorbar(
            part["alpha"],
            100 * part["test_error_mean"],
            yerr=100 * part["test_error_se"],
            color=COLOURS[str(protocol)],
            linestyle=LINES[str(protocol)],
            marker="o",
            markersize=3,
            capsize=2,
            elinewidth=0.9,
            label=str(protocol),
        )


def _chosen(axes: Axes, lines: pd.DataFrame) -> None:
    kinds = sorted({_kind(rule) for rule in lines["rule"]})
    for _, line in lines.iterrows():
        kind = _kind(line["rule"])
        axes.errorbar(
            line["alpha"],
            100 * line["test_error_mean"],
            xerr=line["alpha_sd"],
            yerr=100 * line["test_error_se"],
            color=COLOURS[line["protocol"]],
            marker=MARKERS[kinds.index(kind) % len(MARKERS)],
            markersize=9 if kinds.index(kind) == 0 else 6,
            markeredgecolor="black",
            markeredgewidth=0.7,
            linestyle="none",
            elinewidth=0.9,
            zorder=3,
            label=f"{line['protocol']}, {kind}",
        )


def _kind(rule: str) -> str:
    """ "auto" or "auto by ...", of a rule's name."""
    return "auto" + rule.partition(" auto")[2]


def _regrets(found: pd.DataFrame) -> str:
    certainty = ONE_ENSEMBLE if found["one_ensemble"].all() else "95% interval"
    lines = [f"regret of auto, in points ({certainty}):"]
    for line in found.to_dict("records"):
        interval = f" ({100 * line['low']:.1f} to {100 * line['high']:.1f})" if pd.notna(line["low"]) else ""
        lines.append(f"{line['protocol']}, {_kind(line['rule'])}: {100 * line['regret']:.1f}{interval}")
    return "\n".join(lines)
