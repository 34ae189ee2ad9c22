"""What the kept examples contribute, epoch by epoch, in trainings on pruned and on all data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator
from scipy.special import stdtrit

from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.diagnostics.contributions import summarise
from winnow.figures.style import Drawing, house_style
from winnow.store.artifacts import Artifact
from winnow.store.records import load_contributions

LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
BLUE, VERMILION, ORANGE = "#0072B2", "#D55E00", "#E69F00"

Folders = str | Path | Sequence[str | Path]
Recorded = tuple[np.ndarray, np.ndarray]


def from_models(full: Folders, pruned: Folders, freeloader: float = 0.01) -> Drawing:
    """`contributions` of trained models, by the folders of their artifacts (artifacts/model/<key>), one a replicate.

    Raises MissingEvidenceError where a folder is missing or holds no recorded contributions.
    """
    runs = {}
    for name, given in (("all examples", full), ("pruned", pruned)):
        found = [_recorded(Path(folder)) for folder in ([given] if isinstance(given, str | Path) else given)]
        size = max((values.shape[1] for _, values in found), default=0)
        runs[f"{name}, n = {size:,}"] = found
    return contributions(runs, freeloader=freeloader)


def _recorded(folder: Path) -> Recorded:
    if not folder.is_dir():
        raise MissingEvidenceError(
            f"there is no folder {folder}; give that of a model trained with callbacks=contributions."
        )
    return load_contributions(Artifact(folder))


def contributions(runs: Mapping[str, Sequence[Recorded]], *, freeloader: float = 0.01) -> Drawing:
    """A column a run: above, a fan of the quantiles of the examples' contributions by epoch; below, two shares.

    runs: name -> its replicates, each (epochs [E], contributions [E, m]), the epochs the same in all. Every number is
    the mean over replicates. The fan has the median and the middle half and nine tenths, on an axis that is linear up
    to about the median size and logarithmic beyond, for contributions shrink as a model learns. Below: the shares of
    freeloaders (within freeloader times the mean size of zero) and of harmful ones (< 0), with their 95% t-intervals
    over replicates, where there are two. The table has a line for each run and epoch: replicates, the means, and low
    and high of mean, harmful and freeloaders.

    Raises ShapeError where there is no run, epochs and contributions do not fit, or replicates differ in their epochs.
    """
    each = [replicate for replicates in runs.values() for replicate in replicates]
    if not all(runs.values()) or not each or any(len(epochs) != len(values) for epochs, values in each):
        raise ShapeError("give at least one run, each with contributions [E, m] of as many epochs as are named, [E].")
    if any(not np.array_equal(epochs, run[0][0]) for run in runs.values() for epochs, _ in run):
        raise ShapeError("the replicates of a run differ in their epochs; train them by the same recipe.")
    size = float(np.median(np.concatenate([np.abs(values).ravel() for _, values in each])))
    threshold = 10.0 ** np.ceil(np.log10(max(size, 1e-12)))
    table = pd.concat([_numbers(name, run, freeloader) for name, run in runs.items()], ignore_index=True)
    with house_style():
        figure = Drawing(table, (3.6 * len(runs) + 0.6, 5.2))
        panels = figure.subplots(2, len(runs), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
        for (name, run), above, below in zip(table.groupby("run", sort=False), *panels, strict=True):
            _fan(above, run, threshold)
            above.set_title(str(name), loc="left")
            _share(below, run, "harmful", label="harmful (< 0)", color=VERMILION, marker="o")
            label = f"freeloaders (within {freeloader:g} × mean size)"
            _share(below, run, "freeloaders", label=label, color=ORANGE, marker="s")
            below.set_ylim(0, 1)
            below.set_xlabel("epoch")
            below.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[0, 0].set_ylabel("contribution ⟨G, gᵢ⟩")
        panels[1, 0].set_ylabel("share of kept examples")
        panels[0, 0].yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold))
        drawn = [axes.get_legend_handles_labels() for axes in panels[:, 0]]
        replicates = int(table["replicates"].max())
        figure.legend(
            [handle for handles, _ in drawn for handle in handles],
            [label for _, labels in drawn for label in labels],
            loc="outside lower center",
            ncols=3,
            title=f"means of {replicates} replicates; bands below: 95% intervals" if replicates > 1 else "one training",
            title_fontsize=8,
        )
    return figure


def _numbers(name: str, replicates: Sequence[Recorded], freeloader: float) -> pd.DataFrame:
    levels = tuple(LEVELS.values())
    each = [summarise(values, freeloader=freeloader, levels=levels) for _, values in replicates]
    columns: dict[str, Any] = {"epoch": replicates[0][0], "replicates": len(each)}
    for column in ("mean", "harmful", "freeloaders"):
        over = np.stack([getattr(summary, column) for summary in each])  # [S, E]
        columns[column] = over.mean(axis=0)
        reach = np.full(over.shape[1], np.nan)
        if len(each) > 1:
            reach = stdtrit(len(each) - 1, 0.975) * over.std(axis=0, ddof=1) / np.sqrt(len(each))
        columns |= {f"{column}_low": columns[column] - reach, f"{column}_high": columns[column] + reach}
    columns["std"] = np.mean([summary.std for summary in each], axis=0)
    columns |= dict(zip(LEVELS, np.mean([summary.quantiles for summary in each], axis=0).T, strict=True))
    return pd.DataFrame({"run": name, **columns})


def _share(axes: Axes, run: pd.DataFrame, column: str, *, label: str, color: str, marker: str) -> None:
    axes.fill_between(run["epoch"], run[f"{column}_low"], run[f"{column}_high"], color=color, alpha=0.2, linewidth=0)
    axes.plot(run["epoch"], run[column], color=color, marker=marker, markersize=3, label=label)


def _fan(axes: Axes, run: pd.DataFrame, threshold: float) -> None:
    epochs = run["epoch"]
    axes.fill_between(epochs, run["q05"], run["q95"], color=BLUE, alpha=0.18, linewidth=0, label="middle 90%")
    axes.fill_between(epochs, run["q25"], run["q75"], color=BLUE, alpha=0.35, linewidth=0, label="middle 50%")
    axes.plot(epochs, run["q50"], color=BLUE, label="median")
    axes.plot(epochs, run["mean"], color="black", linestyle=(0, (1, 1.2)), label="mean")
    axes.axhline(0, color="0.4", linewidth=0.7)
    axes.set_yscale("symlog", linthresh=threshold)
