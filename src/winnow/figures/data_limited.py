"""Is data short, or training? Test error of random parts against the steps of training, a verdict at each length."""

from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from winnow.core.errors import FitError
from winnow.figures.scaling_curves import BARS_FROM, PANELS_ABREAST
from winnow.figures.style import Drawing, house_style, signed
from winnow.scaling.grid import RANDOM, read, runs
from winnow.scaling.replicates import PAIR, design

CHANGE, LOSS = 0.01, 0.03  # of test error: what more training may change, and what less data must cost
PART = 0.3  # the fraction kept that must lose it
TWICE = 1.9  # times as many steps that pass for a doubling
UNBROKEN = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"


def from_grid(grid: str | Path) -> Drawing:
    """`data_limited` of the grid in a CSV file. Raises WinnowError when it cannot be read or has no rows."""
    return data_limited(read(grid))


def data_limited(table: pd.DataFrame) -> Drawing:
    """A panel for each (dataset, model): mean test error of random parts against optimiser steps, a line an r.

    **Data-limited** at a length of training, so that what is kept can matter: (1) doubling the steps changes the error
    of all data, and that of the smallest r, each by less than a point, or the 95% interval of the change holds zero;
    and (2) a random r = 0.3 loses at least 3 points against all data at that length. That an interval holds zero says
    little where replicates are few, so the caption gives all numbers, and says where a verdict rests on that alone. The
    last length has no doubling, and no verdict.

    table: a grid of selector=random over compression.r=0.1,0.3,1 (or more) and recipe.epochs=16,32 (or more) with
    recipe.budget=steps. Lengths are told apart by their steps, as the recipe's name need not say them. Differences are
    paired by seeds, with 95% t-intervals where there are two; bars are one standard error, from three seeds on.

    The table: for each steps and r the test_error_mean, test_error_se and seeds; epochs of all data that take these
    steps; next_steps, doubled (the error after them minus this one), doubled_low and doubled_high; lost (this error
    minus that of all data), lost_low and lost_high; least, the smallest r; and data_limited, the same for every r of a
    length, NA where it is not told: at the last length, where the next has not twice its steps, and without shared
    seeds. A length that lacks one of the three r is drawn, and no more.

    Raises FitError for a data set and model without two lengths that have r = 1, 0.3 and a smaller one, and for
    several recipes of one length.
    """
    kept = table[table["rule"] == RANDOM]
    recipes = kept.drop_duplicates(["dataset", "model", "steps", "recipe"])
    if (twice := recipes.duplicated(["dataset", "model", "steps"])).any():
        steps = recipes[twice]["steps"].iloc[0]
        raise FitError(f"several recipes take {steps} steps, by which lengths are told apart; draw one of them.")
    each = runs(kept.assign(recipe=kept["steps"].astype(str)))  # the length stands for the recipe
    each = each.assign(steps=each["recipe"].astype(int), r=each["r"].where(each["n_kept"] < each["n"], 1.0).round(6))
    models = each[["dataset", "model"]].drop_duplicates().itertuples(index=False, name=None)
    parts = [_numbers(each[(each["dataset"] == of[0]) & (each["model"] == of[1])], of) for of in models]
    if not parts:
        raise FitError("the grid has no rows of random; run selector=random.")
    columns = min(PANELS_ABREAST, len(parts))
    lines = -(-len(parts) // columns)
    judged = max(part[part["epochs"].notna()]["steps"].nunique() for part in parts)
    fractions = sorted(each["r"].unique(), reverse=True)
    colours = dict(zip(fractions, colormaps["viridis"](np.linspace(0, 0.85, len(fractions))), strict=True))
    with house_style():
        figure = Drawing(pd.concat(parts, ignore_index=True), (4.3 * columns + 1.8, (3.4 + 0.4 * judged) * lines))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, part in zip(panels, parts, strict=False):
            _panel(axes, part, colours)
        for axes in panels[len(parts) :]:
            axes.remove()
        bars = ",\nbars ± 1 standard error" if (figure.table["seeds"] >= BARS_FROM).any() else ""
        named = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes)
        handles = {label: handle for panel in named for handle, label in panel}
        place: dict[str, Any] = {"loc": "outside right upper", "alignment": "left"}
        figure.legend(handles.values(), handles.keys(), title=f"random parts{bars}", title_fontsize=8, **place)
    return figure


def _numbers(part: pd.DataFrame, of: tuple[str, str]) -> pd.DataFrame:
    """The lines of one data set and model. part: of `runs`, with steps."""
    at = {}
    for steps, r in sorted(set(zip(part["steps"].astype(int), part["r"], strict=True))):
        at[steps, r] = part[(part["steps"] == steps) & (part["r"] == r)]
    had = {steps: {r for of_r, r in at if of_r == steps} for steps, _ in at}
    judged = [steps for steps, r in had.items() if {PART, 1.0} <= r and min(r) < PART]
    shared = set.intersection(*(had[steps] for steps in judged)) if judged else set()
    if len(judged) < 2 or min(shared) >= PART:
        raise FitError(
            f"{', '.join(of)} has no two lengths with r = 1, {PART:g} and a smaller one; run selector=random "
            "compression.r=0.1,0.3,1 recipe.epochs=16,32 recipe.budget=steps."
        )
    following = dict(pairwise(judged))
    lines = []
    for (steps, r), here in at.items():
        found = design(here).estimate(here["test_error"])
        line: dict[str, Any] = {"dataset": of[0], "model": of[1], "steps": steps, "r": r}
        line |= {"test_error_mean": found.mean, "test_error_se": found.se, "seeds": found.seeds}
        line["next_steps"] = following.get(steps, pd.NA)
        line |= _change("doubled", here, at.get((following.get(steps, 0), r)), PAIR)
        if steps in judged:
            line["epochs"] = at[steps, 1.0]["examples_seen"].mean() / here["n"].max()
            line |= _change("lost", at[steps, 1.0], here if r < 1 else None, ["train_seed"])
        lines.append(line)
    numbers = pd.DataFrame(lines).astype({"next_steps": "Int64"})
    verdicts = {steps: _verdict(_length(numbers, steps), min(shared)) for steps in following}
    numbers["data_limited"] = numbers["steps"].map(verdicts).astype("boolean")
    return numbers.assign(least=min(shared))


def _change(name: str, first: pd.DataFrame, second: pd.DataFrame | None, seeds: list[str]) -> dict[str, float]:
    """The mean of second − first over runs of the same seeds, and its 95% interval."""
    found, low, high = np.nan, np.nan, np.nan
    both = first.iloc[:0] if second is None else second.merge(first, on=seeds, suffixes=("", "_first"))
    if len(both):
        pairs = design(both).estimate(both["test_error"] - both["test_error_first"], paired=True)
        found, (low, high) = pairs.mean, pairs.interval()
    return {name: found, f"{name}_low": low, f"{name}_high": high}


def _length(numbers: pd.DataFrame, steps: int) -> pd.DataFrame:
    return numbers[numbers["steps"] == steps].set_index("r")


def _verdict(length: pd.DataFrame, least: float) -> bool | None:
    told = length.loc[[1.0, least], "doubled"].notna().all() and length.loc[[PART], "lost"].notna().all()
    if not told or length["next_steps"].iloc[0] < TWICE * length["steps"].iloc[0]:
        return None
    return not _moves(length, least) and _loses(length)


def _loses(length: pd.DataFrame) -> bool:
    return bool(length.loc[[PART], "lost"].round(9).iloc[0] >= LOSS)


def _moves(length: pd.DataFrame, least: float) -> list[float]:
    """Those of all data and the smallest r whose error still changes by more training."""
    ends = length.loc[[1.0, least]]
    still = _small(ends) | ((ends["doubled_low"] <= 0) & (ends["doubled_high"] >= 0))
    return list(ends.index[~still])


def _small(ends: pd.DataFrame) -> pd.Series:
    return ends["doubled"].abs().round(9) < CHANGE


def _words(length: pd.DataFrame) -> str:
    """The verdict at one length, with its numbers."""
    line, least = length.iloc[0], float(length["least"].iloc[0])
    lost = f"r = {PART:g} loses {_points(length, PART, 'lost').removeprefix('+')}"
    head = f"{line['epochs']:.3g} epochs' steps ({line['steps']:,}):"
    if pd.isna(line["next_steps"]):
        return f"{head} {lost}.".replace(" = ", UNBROKEN)
    times = line["next_steps"] / line["steps"]
    more = "doubling" if TWICE <= times < 2.1 else f"{times:.2g} times as many"
    changes = ", ".join(f"r = {r:g} by {_points(length, r, 'doubled')}" for r in (1.0, least))
    if pd.isna(line["data_limited"]):
        verdict = "not told"
    elif line["data_limited"]:
        ends = length.loc[[1.0, least]]
        wide = " and ".join(f"r = {r:g}" for r in ends.index[~_small(ends)])
        verdict = "data-limited" + (f", but {wide} only as the interval holds zero" if wide else "")
    else:
        why = [f"r = {r:g} still changes" for r in _moves(length, least)]
        why += [f"less than {100 * LOSS:g} are lost"] if not _loses(length) else []
        verdict = f"not data-limited ({', '.join(why)})"
    return f"{head} {more} changes {changes}; {lost}: {verdict}.".replace(" = ", UNBROKEN)


def _points(length: pd.DataFrame, r: float, name: str) -> str:
    mean, low, high = 100 * length.loc[[r]][[name, f"{name}_low", f"{name}_high"]].to_numpy()[0]
    interval = "" if np.isnan(low) else f" ({low:.1f} to {high:.1f})".replace("-", "−")
    return "an unknown amount" if np.isnan(mean) else signed(mean) + interval


def _panel(axes: Axes, part: pd.DataFrame, colours: dict[float, np.ndarray]) -> None:
    for r, colour in colours.items():
        line = part[part["r"] == r].sort_values("steps")
        bars = 100 * line["test_error_se"].where(line["seeds"] >= BARS_FROM)
        look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "capsize": 2, "elinewidth": 0.9}
        axes.errorbar(line["steps"], 100 * line["test_error_mean"], yerr=bars, label=f"r = {r:g}", **look)
    lengths = sorted(part["steps"].unique())
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps:,.0f}"))
    axes.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.15)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("test error (%)")
    axes.set_title(f"{part['dataset'].iloc[0]}, {part['model'].iloc[0]}", loc="left")
    judged = sorted(part[part["epochs"].notna()]["steps"].unique())
    said = [fill(_words(_length(part, steps)), 66, break_on_hyphens=False) for steps in judged]
    axes.set_xlabel("\n".join(["optimiser steps", *said]), loc="left", multialignment="left", fontsize=8)
