"""The tables of a comparison: of one metric in its cell's folder, of all of them in the sweep's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winnow.core.errors import MismatchError, WinnowError
from winnow.core.types import Floats, Scores
from winnow.diagnostics.metric_properties import (
    class_share,
    flip_auc,
    probes_for,
    spearman,
    spearman_brown,
    tied_pairs,
)
from winnow.store import results
from winnow.store.writing import replaced_at_once, write_atomically, writing

EXAMPLE = ("index", "label", "file", "source_index", "flipped")
"""What a table of scores says of an example; every other column is a metric."""


def save_scored(
    folder: Path, *, scores: Scores, agreement: pd.DataFrame, dataset: str, columns: Mapping[str, Any]
) -> None:
    """What one run of a sweep leaves for the comparison: its scores and the agreement of its probes.

    dataset: its name. columns: what its tables say of each example.
    """
    write_atomically(folder / results.AGREEMENT, agreement.assign(metric=scores.metric).to_csv(index=False))
    table = pd.DataFrame({"index": np.arange(scores.n), **columns, scores.metric: scores.values})
    table.attrs = {"dataset": dataset, "fingerprint": scores.dataset}
    _save(table, folder / results.SCORES)


def _save(table: pd.DataFrame, path: Path) -> None:
    with writing(path), replaced_at_once(path) as temporary:
        table.to_parquet(temporary, index=False)


def gather(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join what the runs of a sweep left, write it into the sweep's folder, and give it as `read` does.

    A metric that was scored more than once, with other probes, is told apart by the overrides that differ.

    Raises WinnowError where nothing was scored; MismatchError where the runs are of several data sets.
    """
    folder = Path(folder)
    cells = [cell for cell in results.sweep_cells(folder) if (folder / cell.folder / results.SCORES).exists()]
    if not cells:
        raise WinnowError(f"nothing was scored in {folder}; run scripts/score.py -m into it first.")
    everywhere = set.intersection(*(set(cell.overrides) for cell in cells))
    wide, agreements = pd.DataFrame(), []
    for cell in cells:
        table, agreement = _read(folder / cell.folder)
        (metric,) = metrics_of(table)
        name = metric
        if metric in wide:
            varied = [each for each in cell.overrides if each not in everywhere and not each.startswith("metric=")]
            name = " ".join([metric, *varied])
        if wide.empty:
            wide = table
        elif wide.attrs != table.attrs:
            raise MismatchError(
                f"{folder} holds scores of {wide.attrs['dataset']} and {table.attrs['dataset']}, which have no "
                "examples in common; sweep the metrics of one data set at a time, or give each its hydra.sweep.dir."
            )
        wide[name] = table[metric]
        agreements.append(agreement.assign(metric=name))
    together = pd.concat(agreements, ignore_index=True)
    _save(wide, folder / results.SCORES)
    write_atomically(folder / results.AGREEMENT, together.to_csv(index=False))
    return wide, together


def read(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores, a line an example and a column a metric, and the agreement: metric, probes, members, correlation.

    Raises WinnowError, naming the folder, where they are not there.
    """
    folder = Path(folder)
    if not (folder / results.SCORES).is_file() or not (folder / results.AGREEMENT).is_file():
        raise WinnowError(f"{folder} holds no comparison of scores; write one with scripts/score.py -m metric=... .")
    return _read(folder)


def _read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(folder / results.SCORES), pd.read_csv(folder / results.AGREEMENT)


def metrics_of(table: pd.DataFrame) -> list[str]:
    """The names of the metrics in a table of scores."""
    return [str(name) for name in table.columns if name not in EXAMPLE]


def scores_of(table: pd.DataFrame) -> Floats:
    """[M, n]: the scores of every metric."""
    return table[metrics_of(table)].to_numpy(dtype=np.float64).T


def properties(table: pd.DataFrame, agreement: pd.DataFrame) -> pd.DataFrame:
    """One line a metric, by name.

    tied_pairs: share of the pairs of examples with equal scores. members: probes (models) it was computed from.
    half_correlation: Spearman correlation of the scores of disjoint halves of them; reliability: that of all of them
    with as many others, by Spearman and Brown; probes_for_95: how many would correlate at 0.95. class_share: η² of
    the ranks in the label. flip_auc: of finding flipped labels, where some are known. mean_abs_spearman: with the other
    metrics. Empty where it cannot be said.
    """
    metrics, scores = metrics_of(table), scores_of(table)
    labels = table["label"].to_numpy()
    flipped = table["flipped"].to_numpy() if "flipped" in table else np.zeros(len(table), dtype=bool)
    relations = np.abs(spearman(scores))
    np.fill_diagonal(relations, np.nan)
    lines = []
    for metric, values, related in zip(metrics, scores, relations, strict=True):
        curve = agreement[agreement["metric"] == metric].sort_values("probes")
        members = curve["members"].max()  # NaN where there is no line
        half, reliability, wanted = np.nan, np.nan, np.nan
        if len(curve) and np.isfinite(curve["correlation"].iloc[-1]):
            probes, half = curve["probes"].iloc[-1], curve["correlation"].iloc[-1]
            reliability, wanted = spearman_brown(half, members / probes), probes_for(half, probes)
        known = related[np.isfinite(related)]
        lines.append(
            {
                "dataset": table.attrs["dataset"],
                "metric": metric,
                "n": len(table),
                "members": members,
                "tied_pairs": tied_pairs(values),
                "half_correlation": half,
                "reliability": reliability,
                "probes_for_95": wanted,
                "class_share": class_share(values, labels),
                "flip_auc": flip_auc(values, flipped),
                "mean_abs_spearman": known.mean() if known.size else np.nan,
            }
        )
    return pd.DataFrame(lines).sort_values("metric", ignore_index=True)
