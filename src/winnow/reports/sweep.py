"""The report of a run or a sweep: the grid, the figure, the summary and a table to read."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from winnow.core.errors import WinnowError
from winnow.figures.scaling_curves import scaling_curves
from winnow.figures.scaling_fits import scaling_fits
from winnow.figures.style import save
from winnow.reports.console import standard_output
from winnow.scaling import grid
from winnow.scaling.fits import crossovers, fit_records, fit_rules
from winnow.scaling.fits_table import print_fits
from winnow.scaling.joint import family_records, fit_families
from winnow.scaling.joint_table import print_families
from winnow.scaling.replicates import MEND, ONE_ENSEMBLE
from winnow.store import results
from winnow.store.provenance import provenance
from winnow.store.writing import write_atomically

HEAD = "fraction kept (r)\nexamples kept"


def report(folder: str | Path, console: Console | None = None, *, fit: bool = False) -> dict[str, Any]:
    """Write the grid, its figure, summary and provenance into the folder of a run or sweep, and print its table.

    Where some rule has sizes enough for a law, the summary holds the fits, crossovers and paired differences under
    "scaling" (see `fits.fit_records`), else None; "conditional" in it is the joint law of grids with several widths or
    depths (see `joint.family_records`). With fit=True they are also printed, rules whose fit is refused with
    the reason, and written as fits.json and scaling_fits.png.

    The table shows the mean test error over replicates ± its standard error, in percent, the best of each column in
    bold; a rule whose runs share one probe ensemble has none, which is said, with what to do about it; cells that
    failed follow. A table wider than the console is printed in parts. Returns the summary.

    Raises WinnowError when the folder does not exist, a row in it cannot be read, or no cell has finished.
    """
    folder = Path(folder)
    console = console or standard_output()
    found = results.collect(folder)
    if not found.rows:
        _print_failures(console, found)
        if found.failed and not found.missing:
            raise WinnowError(f"no finished cell in {folder}: all {len(found.failed)} failed, for the reasons above.")
        raise WinnowError(
            f"no finished cell in {folder} ({len(found.failed)} failed, {found.missing} not finished); "
            f"run scripts/run.py into it first."
        )
    table = grid.table(found.rows)
    summary = grid.summary(table, done=len(found.rows), failed=len(found.failed), missing=found.missing)
    fitted = fit_rules(table)
    crossed = crossovers(table)
    enough = any(each.fits for each in fitted)
    scaling = fit_records(table, fitted, crossed) if fit or enough else None
    if scaling is not None:
        scaling["conditional"] = family_records(fit_families(table))
    summary["scaling"] = scaling if enough else None
    write_atomically(folder / results.GRID, table.to_csv(index=False))
    write_atomically(folder / results.SUMMARY, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    save(scaling_curves(table), folder / results.CURVES)
    made = provenance() | {"command": found.command, "cells": summary["cells"], "training": trained(table)}
    write_atomically(folder / results.PROVENANCE, json.dumps(made, indent=1) + "\n")

    curves = grid.summarise(table)
    for group, part in curves.groupby(grid.GROUP):
        _print_table(console, part, title=", ".join(map(str, group)))
    if alone := grid.rule_order(curves[curves["one_ensemble"] & (curves["seeds"] > 1)]["rule"]):
        console.print(
            Text(
                f"{ONE_ENSEMBLE}, so no ±: {', '.join(alone)}. Other probes may change these more than seeds: {MEND}."
            ),
            soft_wrap=True,
        )
    _print_failures(console, found)
    if mixed := grid.mixed_cells(table):
        console.print(
            f"warning: {mixed} cells differ only in settings that a row does not name, and are averaged above; give "
            "each recipe a name (recipe.name=...), or sweep probes and data sets into folders of their own.",
            highlight=False,
        )
    written = [results.GRID, results.CURVES]
    if fit:
        write_atomically(folder / results.FITS, json.dumps(scaling, indent=1, allow_nan=False) + "\n")
        save(scaling_fits(table, fitted), folder / results.FITS_FIGURE)
        written += [results.FITS, results.FITS_FIGURE]
        assert scaling is not None
        print_fits(console, table, fitted, crossed)
        print_families(console, scaling["conditional"])
    for name in written:
        console.print(Text(str(folder / name)), soft_wrap=True)
    return summary


def trained(table: pd.DataFrame) -> dict[str, Any]:
    """With what code and on what devices the models of a grid were trained, which may be long before its report."""
    columns = ("git", "device", "dataset", "model", "recipe", "probe_seed", "selection_seed", "train_seed")
    return {name: sorted(table[name].dropna().unique().tolist()) for name in columns}


def _print_table(console: Console, curves: pd.DataFrame, title: str) -> None:
    means = curves.pivot(index="rule", columns="n_kept", values="test_error_mean")
    errors = curves.pivot(index="rule", columns="n_kept", values="test_error_se")
    fractions = curves.groupby("n_kept")["r"].first()
    rules, kept = grid.rule_order(curves["rule"]), sorted(set(curves["n_kept"]))
    heads = {m: f"{fractions[m]:.4g}\n{m:,}" for m in kept}
    lines: dict[str, dict[int, Text]] = {rule: {} for rule in rules}
    for m in kept:
        for rule in rules:
            best = means.at[rule, m] == means[m].min()
            lines[rule][m] = Text(_percent(means.at[rule, m], errors.at[rule, m]), style="bold" if best else "")

    texts = [text.plain for line in lines.values() for text in line.values()]
    width = max(map(len, [*texts, *"\n".join(heads.values()).split("\n")]))
    first = max(map(len, [*rules, *HEAD.split("\n")]))
    abreast = max(1, (console.width - first - 4) // (width + 3))
    console.print(Text(f"test error in percent: {title}"), soft_wrap=True)
    for start in range(0, len(kept), abreast):
        shown = kept[start : start + abreast]
        printed = Table(box=SIMPLE_HEAD)
        printed.add_column(HEAD, no_wrap=True)
        for m in shown:
            printed.add_column(heads[m], justify="right", min_width=width)
        for rule, line in lines.items():
            printed.add_row(Text(rule), *(line[m] for m in shown))
        console.print(printed)


def _percent(mean: Any, error: Any) -> str:
    if pd.isna(mean):
        return "–"
    return f"{100 * mean:.1f}" if pd.isna(error) else f"{100 * mean:.1f} ± {100 * error:.1f}"


def _print_failures(console: Console, found: results.Collected) -> None:
    for cell in found.failed:
        text = f"failed: {cell.folder} ({' '.join(cell.overrides)}): {cell.message}"
        console.print(Text(text.replace(" ()", "")), soft_wrap=True)
    if found.missing:
        console.print(f"{found.missing} more cells of the sweep have not finished.", highlight=False)
