"""The tables of conditional scaling laws and their allocations that the report prints."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_families(console: Console, records: Sequence[dict[str, Any]]) -> None:
    """Print the law, its parameters and its allocations of each record of `joint.family_records`."""
    for record in records:
        title = ", ".join(record[name] for name in ("dataset", "family", "recipe"))
        if "refused" in record:
            console.print(Text(f"no conditional law of {title}: {record['refused']}"), soft_wrap=True)
            continue
        intervals = record["note"] or "95% intervals"
        told = f"conditional law, test error = {record['law']}, {intervals}: {title}"
        if record["merged_into_E"]:
            told += f" (one {' and one '.join(record['merged_into_E'])}: part of E)"
        console.print(Text(told), soft_wrap=True)
        off = f"{100 * np.expm1(record['sigma']):.2g}%"
        console.print(Text(f"{record['configurations']} configurations, off by {off}"), soft_wrap=True)
        console.print(_parameters(record))
        console.print(
            Text("the best for a budget in multiply-adds, of training and, where the rule reads scores, of scoring"),
            soft_wrap=True,
        )
        if record["allocations"]:
            console.print(_allocations(record["allocations"], record["merged_into_E"]))
        else:
            console.print(Text(f"none: {record['no_allocation']}"), soft_wrap=True)


def _parameters(record: dict[str, Any]) -> Table:
    printed = Table(box=SIMPLE_HEAD)
    for name in ("parameter", "estimate", *(["interval"] if record["intervals"] else [])):
        printed.add_column(name, no_wrap=True)
    for name, value in record["parameters"].items():
        if not record["intervals"]:
            printed.add_row(name, "–" if value is None else f"{value:.3g}")
            continue
        low, high = record["intervals"][name]
        ends = f"{low:.3g} to {high:.3g}" if high is not None else f"{low:.3g} or more"
        printed.add_row(name, "–" if value is None else f"{value:.3g}", "not bounded" if ends == "0 or more" else ends)
    return printed


def _allocations(allocations: Sequence[dict[str, Any]], merged: Sequence[str]) -> Table:
    sizes = [name for name in ("width", "depth") if name not in merged]
    printed = Table(box=SIMPLE_HEAD)
    for name in ("budget", "rule", "examples kept", *sizes, "test error in %", "at the edge of the search"):
        printed.add_column(name, no_wrap=True)
    for each in allocations:
        shown = [_with_interval(each[name], each[f"{name}_interval"]) for name in ("n", *sizes)]
        error = f"{100 * each['error']:.2g}"
        if each["error_interval"]:
            low, high = (100 * end for end in each["error_interval"])
            error += f" ({low:.2g} to {high:.2g})"
        printed.add_row(f"{each['budget']:.2g}", each["rule"], *shown, error, "; ".join(each["edges"]))
    return printed


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{value:,.4g}"
    low, high = interval
    return f"{value:,.4g}" if low == high == value else f"{value:,.4g} ({low:,.4g} to {high:,.4g})"
