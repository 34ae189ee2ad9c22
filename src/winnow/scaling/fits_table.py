"""The tables of fits, crossovers and paired differences that the report prints."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from winnow.scaling.crossover import Crossover
from winnow.scaling.fits import RuleFits
from winnow.scaling.grid import GROUP, RANDOM, Group, rule_order
from winnow.scaling.laws import LawFit, law_name
from winnow.scaling.paired import differences
from winnow.scaling.replicates import ONE_ENSEMBLE

SIGNIFICANT = 0.05


def print_fits(
    console: Console,
    table: pd.DataFrame,
    fits: Sequence[RuleFits],
    crossed: Sequence[tuple[Group, str, Crossover | str]],
) -> None:
    """Print, for each (dataset, model, recipe), the best law of every rule, its crossover, and paired differences.

    The differences of all groups are one family for Holm's correction.
    """
    compared = differences(table) if (table["rule"] == RANDOM).any() else None
    for group in dict.fromkeys(rule_fits.group for rule_fits in fits):
        title = ", ".join(group)
        found = {rule: place for other, rule, place in crossed if other == group}
        console.print(Text(f"scaling laws, 95% intervals: {title}"), soft_wrap=True)
        console.print(
            Text("off by: residual spread; with few sizes AICc prefers laws of few parameters, even poor ones"),
            soft_wrap=True,
        )
        ours = [each for each in fits if each.group == group]
        console.print(_laws(ours))
        for each in ours:
            if each.best is None:
                console.print(Text(f"no fit of {each.rule}: {next(iter(each.refusals.values()))}"), soft_wrap=True)
        for rule, place in found.items():
            told = place.describe() if isinstance(place, Crossover) else f"no crossover: {place}"
            console.print(Text(f"{rule}: {told}"), soft_wrap=True)
        if compared is not None:
            here = compared[(compared[GROUP] == list(group)).all(axis=1)]
            if not here.empty:
                _print_differences(console, here, title, of=len(compared))


def _laws(fits: Sequence[RuleFits]) -> Table:
    printed = Table(box=SIMPLE_HEAD)
    printed.add_column("rule", no_wrap=True)
    for name in ("law of\nlowest AICc", "exponent", "floor", "off by", "AICc\nweight"):
        printed.add_column(name, no_wrap=name not in ("exponent", "floor"))
    for each in fits:
        if best := each.best:
            weight = each.weights.get(best.law)
            shown = "–" if weight is None else f"{weight:.2f}"
            off = f"{100 * np.expm1(best.sigma):.2g}%"
            printed.add_row(*map(Text, [each.rule, law_name(best.law), exponent(best), floor(best), off, shown]))
        else:
            printed.add_row(Text(each.rule), Text("none"))
    return printed


def exponent(fitted: LawFit) -> str:
    """The exponent with its interval, of a broken power law before and after the break."""
    names = [name for name in ("b", "b2") if name in fitted.parameters]
    return ", then ".join(_with_interval(fitted, name) for name in names)


def floor(fitted: LawFit) -> str:
    """The floor with its interval, in percent of test error; empty for a law without one."""
    return _with_interval(fitted, "c", percent=True) if "c" in fitted.parameters else ""


def _with_interval(fitted: LawFit, name: str, *, percent: bool = False) -> str:
    scale, unit = (100, "%") if percent else (1, "")
    if not fitted.intervals:
        return f"{_number(scale * fitted.parameters[name])}{unit} ({ONE_ENSEMBLE})"
    low, high = (scale * end for end in fitted.intervals[name])
    ends = f"{_number(low)} to {_number(high)}" if np.isfinite(high) else f"{_number(low)} or more"
    return f"{_number(scale * fitted.parameters[name])}{unit} ({ends})"


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def _print_differences(console: Console, found: pd.DataFrame, title: str, *, of: int) -> None:
    console.print(
        Text(
            f"test error minus that of {RANDOM} on the same seeds, in percentage points, mean with 95% t-interval: "
            f"{title} (* p < {SIGNIFICANT} after Holm's correction over all {of} comparisons of the grid)"
        ),
        soft_wrap=True,
    )
    if found["one_ensemble"].any():
        rules = ", ".join(rule_order(found[found["one_ensemble"]]["rule"]))
        console.print(Text(f"{ONE_ENSEMBLE}, so no interval: {rules}"), soft_wrap=True)
    lines = found.set_index(["rule", "n_kept"])
    kept = sorted(set(found["n_kept"]))
    rules = rule_order(found["rule"])
    shown = {
        (rule, m): _difference(lines.loc[(rule, m)]) if (rule, m) in lines.index else "–"
        for rule in rules
        for m in kept
    }
    width = max([len(text) for text in shown.values()], default=0)
    first = max([len(rule) for rule in rules] + [len("examples kept")])
    abreast = max(1, (console.width - first - 4) // (width + 3))
    for start in range(0, len(kept), abreast):
        printed = Table(box=SIMPLE_HEAD)
        printed.add_column("examples kept", no_wrap=True)
        for m in kept[start : start + abreast]:
            printed.add_column(f"{m:,}", justify="right", min_width=width)
        for rule in rules:
            printed.add_row(Text(rule), *(Text(shown[rule, m]) for m in kept[start : start + abreast]))
        console.print(printed)


def _difference(line: pd.Series) -> str:
    mean, low, high = (100 * line[name] for name in ("difference", "low", "high"))
    if np.isnan(low):
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f}){'*' if line['p_holm'] < SIGNIFICANT else ''}"
