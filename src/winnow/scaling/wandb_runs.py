"""A grid from wandb: rows from the summaries of runs, on a server or in the folders of offline runs."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pandas as pd

from winnow.core.errors import ShapeError, WinnowError
from winnow.core.types import Row
from winnow.scaling import grid

PREFIX = "wandb:"  # of a grid that is not a file
_FIELDS = {each.name: each.default is not MISSING for each in fields(Row)}  # whether rows of older versions lack it


def read_grid(source: str) -> pd.DataFrame:
    """The grid of the finished cells in wandb, with the columns and types of `grid.table`.

    source: ENTITY/PROJECT, or ENTITY/PROJECT/GROUP for one sweep, on the server that wandb is logged in at; or a
    folder, below which every offline run counts. A cell that has several runs (cached in a later sweep) counts once.

    Raises WinnowError where there is no such project or folder, or no run in it is a finished cell.
    """
    summaries = _offline(Path(source)) if Path(source).is_dir() else _online(source)
    rows = [row for summary in summaries if (row := _row(summary)) is not None]
    if not rows:
        raise WinnowError(f"no run in {PREFIX}{source} is a finished cell; run some with logger=wandb.")
    return grid.table(rows)


def _row(summary: Mapping[str, Any]) -> Row | None:
    """The row in a run's summary, None where it is no cell's or not finished. wandb leaves out what is None."""
    if "rule" not in summary or "test_error" not in summary:
        return None
    known = {name: summary.get(name) for name, later in _FIELDS.items() if not later or name in summary}
    try:
        return Row(**known)  # type: ignore[arg-type]
    except (TypeError, ShapeError):  # of something else that happens to have both names
        return None


def _online(source: str) -> Iterator[Mapping[str, Any]]:
    entity, _, rest = source.partition("/")
    project, _, group = rest.partition("/")
    if not (entity and project):
        raise WinnowError(f"{PREFIX}{source} is neither ENTITY/PROJECT[/GROUP] nor a folder that there is.")
    import wandb

    filters: dict[str, Any] = {"jobType": "train"} | ({"group": group} if group else {})
    try:
        for run in wandb.Api().runs(f"{entity}/{project}", filters=filters):
            yield dict(run.summary)
    except (wandb.errors.Error, ValueError) as error:
        why = " ".join(str(error).split())
        raise WinnowError(f"{PREFIX}{source} is no folder, and as ENTITY/PROJECT cannot be read ({why}).") from error


def _offline(folder: Path) -> Iterator[Mapping[str, Any]]:
    from wandb.util import get_core_path

    for file in sorted(folder.rglob("offline-run-*/*.wandb")):
        command = [get_core_path(), "leet", "inspect", "--json", "--summary", "--run-file", file, file.parent]
        read = subprocess.run(command, capture_output=True, check=False)
        if read.returncode:
            raise WinnowError(f"{file} cannot be read ({read.stderr.decode().strip()}).")
        yield json.loads(read.stdout)["summary"]
