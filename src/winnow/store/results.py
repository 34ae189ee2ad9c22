"""The results of runs and sweeps: the file that knows the names of result files in run, sweep and export folders.

A sweep folder holds one folder for each cell, with `row.json` once the cell is finished or `error.txt` if it failed,
and `sweep.json`, which lists the cells of the latest sweep: only those count, not what an earlier sweep left behind.
What plan=true expected is `plan.json`.
What a cell that ran in a process of its own printed is `output.log` in its folder; the stages that cells share are made
in folders of their own below `shared`.
A folder without `sweep.json` counts for all that lies below it, so a single run, a running sweep and a folder of
several sweeps are all read alike. The report adds `grid.csv`,
`scaling_curves.png`, `summary.json` and `provenance.json`, and with fits `fits.json` and `scaling_fits.png`; PAGE is
all of it to read.
A sweep of score.py holds SCORES, AGREEMENT and SHEET in each cell's folder, and of all metrics together SCORES,
AGREEMENT, PROPERTIES, COMPARISON and PROBES.
The folder of an exported subset holds what its export says, under the EXPORTED names. The shift reports of selections
are the lines of one `shifts.csv`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from winnow.core.errors import OptionError, ShapeError, WinnowError
from winnow.core.types import Row
from winnow.store.writing import replaced_at_once, write_atomically, writing

ROW, GRID, CURVES, SUMMARY, SWEEP, FAILURE, PROVENANCE = (
    "row.json", "grid.csv", "scaling_curves.png", "summary.json", "sweep.json", "error.txt", "provenance.json"
)  # fmt: skip
PLAN = "plan.json"
LOG, SHARED = "output.log", "shared"
FITS, FITS_FIGURE = "fits.json", "scaling_fits.png"
PAGE = "report.html"
SCORES, AGREEMENT, SHEET = "scores.parquet", "agreement.csv", "image_sheet.png"
PROPERTIES, COMPARISON, PROBES = "metric_properties.csv", "metric_comparison.png", "probe_agreement.png"
SHIFTS = "shifts.csv"
OF_SWEEP = (GRID, CURVES, SUMMARY, PROVENANCE, FITS, FITS_FIGURE, PAGE)  # what is of a sweep as a whole
EXPORTED_TABLE, EXPORTED_FILES, EXPORTED_WEIGHTS = "subset.parquet", "files.txt", "weights.csv"


class SweepCell(NamedTuple):
    """One cell of a sweep: its folder, relative to the sweep's, and the overrides that make it."""

    folder: str
    overrides: Sequence[str]


class FailedCell(NamedTuple):
    """A cell that stopped with an error. folder: relative to the one collected; message: last line of its traceback."""

    folder: str
    overrides: list[str]
    message: str


@dataclass(frozen=True)
class Collected:
    """What a folder holds. missing: cells of a sweep that have neither finished nor failed (running, or not begun).

    command: how its sweep was started, where the folder is that of one sweep.
    """

    rows: list[Row]
    failed: list[FailedCell]
    missing: int
    command: str | None = None


def save_row(folder: str | Path, row: Row) -> Path:
    """Write the row of a finished cell."""
    return _save_json(Path(folder) / ROW, asdict(row))


def load_row(folder: str | Path) -> Row:
    """The row of a finished cell. Raises WinnowError, naming the file, when it is absent or is not a row."""
    path = Path(folder) / ROW
    record = _load_json(path)
    try:
        known = [field for field in fields(Row) if field.default is MISSING or field.name in record]
        return Row(**{field.name: _value(record[field.name], field.name, field.type) for field in known})
    except (KeyError, TypeError, ShapeError) as error:
        raise WinnowError(
            f"{path} is not a row of this version ({type(error).__name__}: {error}); remove it and run the cell again."
        ) from error


def is_finished(folder: str | Path) -> bool:
    """Whether a folder holds the row of a finished cell."""
    return (Path(folder) / ROW).exists()


def load_summary(folder: str | Path) -> dict[str, Any]:
    """What the report of a sweep says of it. Raises WinnowError, naming the file, when it cannot be read."""
    summary: dict[str, Any] = _load_json(Path(folder) / SUMMARY)
    return summary


def keep_row(folder: str | Path, row: Row) -> None:
    """Let a folder hold the row of a finished cell; one that holds it already is not touched."""
    try:
        if load_row(folder) == row and not (Path(folder) / FAILURE).exists():
            return
    except WinnowError:  # none, or of another version
        pass
    clear_result(folder)
    save_row(folder, row)


def begin_sweep(folder: str | Path, cells: Sequence[SweepCell], command: str | None = None, *, begun: int = 0) -> Path:
    """Write the list of a sweep's cells, and remove what would pass for their results.

    A row of the same cell in the same folder stays; errors, and rows of other cells in an earlier sweep, do not.
    begun: the first so many cells are of this sweep already, and all that they left stays.
    """
    before = set()
    if (Path(folder) / SWEEP).exists():
        before = {(cell.folder, tuple(cell.overrides)) for cell in sweep_cells(folder)}
    for cell in cells[begun:]:
        below = Path(folder) / cell.folder
        if (cell.folder, tuple(cell.overrides)) in before:
            with writing(below / FAILURE):
                (below / FAILURE).unlink(missing_ok=True)
        else:
            clear_result(below)
    return save_sweep(folder, cells, command)


def save_sweep(folder: str | Path, cells: Sequence[SweepCell], command: str | None = None) -> Path:
    """Write the list of a sweep's cells, which from then on are the ones that count in this folder."""
    listed = [{"folder": cell.folder, "overrides": list(cell.overrides)} for cell in cells]
    return _save_json(Path(folder) / SWEEP, {"command": command, "cells": listed})


def save_plan(folder: str | Path, told: Mapping[str, Any]) -> Path:
    """Leave in the folder of a sweep what it was expected to take, in place of an earlier plan of it."""
    return _save_json(Path(folder) / PLAN, dict(told))


def load_plan(folder: str | Path) -> dict[str, Any] | None:
    """What a sweep was expected to take; None where it was not planned."""
    path = Path(folder) / PLAN
    return _load_json(path) if path.exists() else None


def failure_message(folder: str | Path) -> str | None:
    """The message of the failure in a folder: the last line of its traceback. None where nothing failed."""
    path = Path(folder) / FAILURE
    if not path.exists():
        return None
    return (path.read_text().strip().splitlines() or ["no message"])[-1]


def save_failure(folder: str | Path, text: str) -> Path:
    """Write the traceback of a failed cell. text: its last line is the message that reports show."""
    path = Path(folder) / FAILURE
    write_atomically(path, text.rstrip() + "\n")
    return path


def clear_result(folder: str | Path) -> None:
    """Remove the result of an earlier run of a cell, before it runs again."""
    for name in (ROW, FAILURE, SCORES):
        with writing(Path(folder) / name):
            (Path(folder) / name).unlink(missing_ok=True)


def sweep_cells(folder: str | Path) -> list[SweepCell]:
    """The cells of the latest sweep into a folder. Raises WinnowError where none was begun."""
    return _cells(Path(folder) / SWEEP)


def sweep_command(folder: str | Path) -> str | None:
    """How the latest sweep into a folder was started."""
    return _load_json(Path(folder) / SWEEP).get("command")


def failures(folder: str | Path) -> list[FailedCell]:
    """The cells of the latest sweep into a folder that stopped with an error."""
    cells = [(cell, failure_message(Path(folder) / cell.folder)) for cell in sweep_cells(folder)]
    return [FailedCell(cell.folder, list(cell.overrides), message) for cell, message in cells if message is not None]


def failure_lines(folder: str | Path, count: int) -> list[str]:
    """The last lines of the traceback in the folder of a cell that failed, at most `count`."""
    return (Path(folder) / FAILURE).read_text().strip().splitlines()[-count:]


def check_confusions(path: str) -> None:
    """Raise OptionError unless it is the name of a file that confusions can be left in."""
    if not path.endswith(".npy"):
        raise OptionError(f"confusions={path} must end in .npy; dataset.confusion=FILE.npy reads it.")


def save_confusions(path: str, confusions: np.ndarray) -> None:
    """Leave what probes take each example for, [n, C], in the file that a user named."""
    with writing(path), replaced_at_once(Path(path)) as temporary:
        np.save(temporary, confusions, allow_pickle=False)


def collect(folder: str | Path) -> Collected:
    """The finished, failed and missing cells of a run, a sweep, or any folder of them.

    Raises WinnowError when the folder does not exist or holds a row or a list of cells that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WinnowError(f"there is no folder {folder}; give the folder of a run or a sweep.")
    found = Collected([], [], 0)
    return _collect(folder, folder, found)


def _collect(folder: Path, top: Path, found: Collected) -> Collected:
    rows, failed, missing = found.rows, found.failed, found.missing
    if (folder / SWEEP).exists():
        for cell in _cells(folder / SWEEP):
            missing += not _take(folder / cell.folder, list(cell.overrides), top, rows, failed)
        return Collected(rows, failed, missing, _load_json(folder / SWEEP).get("command"))
    _take(folder, [], top, rows, failed)
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        missing = _collect(below, top, Collected(rows, failed, missing)).missing
    return Collected(rows, failed, missing)


def _take(cell: Path, overrides: list[str], top: Path, rows: list[Row], failed: list[FailedCell]) -> bool:
    """Add the result of one cell's folder to the lists, and say whether it had one."""
    if (cell / ROW).exists():
        rows.append(load_row(cell))
    elif (message := failure_message(cell)) is not None:
        failed.append(FailedCell(str(cell.relative_to(top)), overrides, message))
    else:
        return False
    return True


def _cells(path: Path) -> list[SweepCell]:
    try:
        return [SweepCell(cell["folder"], cell["overrides"]) for cell in _load_json(path)["cells"]]
    except (KeyError, TypeError) as error:
        raise WinnowError(f"{path} is not a list of cells; remove it to count every row below its folder.") from error


def _value(value: Any, name: str, kind: Any) -> Any:
    """A field as Row declares it: some tools write 1.0 as 1."""
    if kind is float or (kind == float | None and value is not None):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}")
    return value


def _save_json(path: Path, value: Any) -> Path:
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
    return path


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WinnowError(f"{path} cannot be read ({error}); remove it and run the cell again.") from error
