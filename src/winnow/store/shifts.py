"""The table of shift reports, `shifts.csv` of a run or sweep: its lines are added one report at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from winnow.core.errors import WinnowError
from winnow.store.results import SHIFTS
from winnow.store.writing import write_atomically


def add_shifts(folder: str | Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Put the lines of one shift report into the table of its run or sweep, over earlier ones of the same key."""
    path = Path(folder) / SHIFTS
    table = pd.DataFrame(lines)
    if path.exists():
        table = pd.concat([read_shifts(path), table]).drop_duplicates(["key", "weighted"], keep="last")
    write_atomically(path, table.to_csv(index=False))
    return path


def read_shifts(path: str | Path) -> pd.DataFrame:
    """The table of shift reports, one line a subset and weighting.

    Raises WinnowError, naming the file, where it does not exist or is no such table.
    """
    make = "write one with scripts/select.py -m diagnose=shift"
    if not Path(path).is_file():
        raise WinnowError(f"there is no file {path}; {make}.")
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise WinnowError(f"{path} is not a table of shift reports ({error}); {make}.") from error
    if missing := {"key", "rule", "r", "n", "of", "weighted", "energy"} - set(table):
        raise WinnowError(f"{path} is not a table of shift reports: it has no column {min(missing)}; {make}.")
    return table
