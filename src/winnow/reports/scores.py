"""The report of a sweep of scores: the tables, two figures and a table to read."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from winnow.comparison.tables import gather, metrics_of, properties
from winnow.figures.metric_comparison import metric_comparison
from winnow.figures.probe_agreement import probe_agreement
from winnow.figures.style import save
from winnow.reports.console import standard_output
from winnow.store import results
from winnow.store.provenance import provenance
from winnow.store.writing import write_atomically

HEADS = {
    "metric": "metric",
    "members": "probes",
    "tied_pairs": "tied\npairs",
    "half_correlation": "half\nwith half",
    "reliability": "all with\nothers",
    "probes_for_95": "probes\nfor 0.95",
    "class_share": "η² of\nclass",
    "flip_auc": "AUC of\nflipped",
    "mean_abs_spearman": "mean |ρ|\nwith others",
}


def report(folder: str | Path, console: Console | None = None) -> pd.DataFrame:
    """Write the comparison of a sweep of scores into its folder; print and give the properties of its metrics.

    Raises WinnowError where nothing was scored, MismatchError where the runs are of several data sets.
    """
    folder = Path(folder)
    console = console or standard_output()
    cells = results.sweep_cells(folder)
    everywhere = set.intersection(*(set(cell.overrides) for cell in cells)) if len(cells) > 1 else set()
    for failed in results.failures(folder):
        varied = " ".join(override for override in failed.overrides if override not in everywhere)
        console.print(f"failed: {varied}: {failed.message}", markup=False, soft_wrap=True)
    table, agreement = gather(folder)
    found = properties(table, agreement)
    write_atomically(folder / results.PROPERTIES, found.to_csv(index=False, float_format="%.7g"))
    made = {"command": results.sweep_command(folder), "metrics": list(found["metric"])}
    write_atomically(folder / results.PROVENANCE, json.dumps(provenance() | made, indent=1) + "\n")
    written = [results.SCORES, results.PROPERTIES]
    if len(metrics_of(table)) > 1:
        save(metric_comparison(table), folder / results.COMPARISON)
        written.append(results.COMPARISON)
    if agreement["correlation"].notna().any():
        save(probe_agreement(agreement), folder / results.PROBES)
        written.append(results.PROBES)
    _print(console, found)
    for name in (*written, f"*/{results.SHEET}"):
        console.print(str(folder / name), markup=False, soft_wrap=True)
    return found


def _print(console: Console, found: pd.DataFrame) -> None:
    shown = Table(box=SIMPLE_HEAD, title=str(found["dataset"].iloc[0]), title_justify="left")
    for name, head in HEADS.items():
        shown.add_column(head, justify="left" if name == "metric" else "right")
    for line in found[list(HEADS)].itertuples(index=False):
        shown.add_row(*(_text(name, value) for name, value in zip(HEADS, line, strict=True)))
    console.print(shown)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "–"
    return f"{value:.0f}" if name in ("members", "probes_for_95") else f"{value:.2f}"
