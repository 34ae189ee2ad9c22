"""What the kept examples contribute, epoch by epoch, in trainings on pruned and on all data."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

from winnow.artifacts import Artifact
from winnow.diagnostics.contributions import summarise
from winnow.errors import MissingEvidenceError, ShapeError
from winnow.figures.style import Drawing, house_style
from winnow.records import load_contributions

LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
BLUE, VERMILION, ORANGE = "#0072B2", "#D55E00", "#E69F00"


def from_models(full: str | Path, pruned: str | Path, freeloader: float = 0.01) -> Drawing:
    """`contributions` of two trained models, by the folders of their artifacts (artifacts/model/<key>).

    Raises MissingEvidenceError where a folder is missing or holds no recorded contributions.
    """
    runs = {}
    for name, folder in (("all examples", Path(full)), ("pruned", Path(pruned))):
        if not folder.is_dir():
            raise MissingEvidenceError(
                f"there is no folder {folder}; give that of a model trained with callbacks=contributions."
            )
        epochs, values = load_contributions(Artifact(folder))
        runs[f"{name}, n = {values.shape[1]:,}"] = (epochs, values)
    return contributions(runs, freeloader=freeloader)


def contributions(runs: Mapping[str, tuple[np.ndarray, np.ndarray]], *, freeloader: float = 0.01) -> Drawing:
    """A column a run: above, a fan of the quantiles of the examples' contributions by epoch; below, two shares.

    runs: name -> (epochs [E], contributions [E, m]). The fan has the median and the middle half and nine tenths, on an
    axis that is linear up to about the median size and logarithmic beyond, for contributions shrink as a model learns.
    Below: the shares of freeloaders (within freeloader times the mean size of zero) and of harmful ones (< 0).
    The table has a line for each run and epoch.

    Raises ShapeError where there is no run, or epochs and contributions do not fit.
    """
    if not runs or any(len(epochs) != len(values) for epochs, values in runs.values()):
        raise ShapeError("give at least one run, each with contributions [E, m] of as many epochs as are named, [E].")
    size = float(np.median(np.concatenate([np.abs(values).ravel() for _, values in runs.values()])))
    threshold = 10.0 ** np.ceil(np.log10(max(size, 1e-12)))
    table = pd.concat([_numbers(name, *run, freeloader) for name, run in runs.items()], ignore_index=True)
    with house_style():
        figure = Drawing(table, (3.6 * len(runs) + 0.6, 5.2))
        panels = figure.subplots(2, len(runs), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
        for (name, run), above, below in zip(table.groupby("run", sort=False), *panels, strict=True):
            _fan(above, run, threshold)
            above.set_title(str(name), loc="left")
            below.plot(run["epoch"], run["harmful"], color=VERMILION, marker="o", markersize=3, label="harmful (< 0)")
            label = f"freeloaders (within {freeloader:g} × mean size)"
            below.plot(run["epoch"], run["freeloaders"], color=ORANGE, marker="s", markersize=3, label=label)
            below.set_ylim(0, 1)
            below.set_xlabel("epoch")
            below.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[0, 0].set_ylabel("contribution ⟨G, gᵢ⟩")
        panels[1, 0].set_ylabel("share of kept examples")
        panels[0, 0].yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold))
        drawn = [axes.get_legend_handles_labels() for axes in panels[:, 0]]
        figure.legend(
            [handle for handles, _ in drawn for handle in handles],
            [label for _, labels in drawn for label in labels],
            loc="outside lower center",
            ncols=3,
        )
    return figure


def _numbers(name: str, epochs: np.ndarray, values: np.ndarray, freeloader: float) -> pd.DataFrame:
    summary = summarise(values, freeloader=freeloader, levels=tuple(LEVELS.values()))
    shares = {"harmful": summary.harmful, "freeloaders": summary.freeloaders}
    quantiles = dict(zip(LEVELS, summary.quantiles.T, strict=True))
    columns = {"epoch": epochs, "mean": summary.mean, "std": summary.std, **quantiles, **shares}
    return pd.DataFrame({"run": name, **columns})


def _fan(axes: Axes, run: pd.DataFrame, threshold: float) -> None:
    epochs = run["epoch"]
    axes.fill_between(epochs, run["q05"], run["q95"], color=BLUE, alpha=0.18, linewidth=0, label="middle 90%")
    axes.fill_between(epochs, run["q25"], run["q75"], color=BLUE, alpha=0.35, linewidth=0, label="middle 50%")
    axes.plot(epochs, run["q50"], color=BLUE, label="median")
    axes.plot(epochs, run["mean"], color="black", linestyle=(0, (1, 1.2)), label="mean")
    axes.axhline(0, color="0.4", linewidth=0.7)
    axes.set_yscale("symlog", linthresh=threshold)
