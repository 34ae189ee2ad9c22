"""The artifacts that the results in run and sweep folders name."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from winnow.core.errors import WinnowError
from winnow.core.types import Scores
from winnow.store.results import FAILURE, ROW, SCORES, SHIFTS, SWEEP, collect, sweep_cells
from winnow.store.shifts import read_shifts


class References(NamedTuple):
    """Which artifacts the results in a folder name. rows, others: by key; scores: by the hash of their content."""

    rows: list[str]
    others: list[str]
    scores: list[str]


def references_of(folder: str | Path) -> References:
    """The artifacts that the results in a folder name: rows, shift reports, and scores of sweeps.

    Raises WinnowError where it holds no result, or a cell has none and no error: what that one needs is not known
    before it has.
    """
    found = collect(folder)
    cells = [path.parent / cell.folder for path in Path(folder).rglob(SWEEP) for cell in sweep_cells(path.parent)]
    coming = [cell for cell in cells if not any((cell / name).exists() for name in (ROW, SCORES, FAILURE))]
    if coming:
        raise WinnowError(
            f"{len(coming)} cells of {folder} have no result and no error, so what they need is not known; let them "
            "run to their end first, by the same command."
        )
    reports = [read_shifts(path).reindex(columns=["key", "subset", "features"]) for path in Path(folder).rglob(SHIFTS)]
    keys = {key for report in reports for key in report.to_numpy().flat if isinstance(key, str)}
    # A sweep's own table puts those of its cells together.
    scored = [path for path in Path(folder).rglob(SCORES) if not (path.parent / SWEEP).exists()]
    scores = {_content_of_scores(path) for path in scored}
    if not (found.rows or keys or scores):
        raise WinnowError(f"{folder} holds no result of a finished cell; give the folder of a run or of a sweep.")
    return References([row.key for row in found.rows], sorted(keys), sorted(scores))


def _content_of_scores(path: Path) -> str:
    """Of the table that a cell leaves, whose last column is the metric."""
    values = pd.read_parquet(path).iloc[:, -1]
    return Scores(values.to_numpy(), metric=str(values.name), dataset="").content_hash
