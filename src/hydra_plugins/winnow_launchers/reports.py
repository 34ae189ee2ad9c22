"""What a sweep leaves whatever launches it: the list of its cells at the start, and at the end its report."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import filter_overrides


def command() -> str:
    """How this sweep was started."""
    return shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])


def list_cells(folder: Path, cells: Sequence[Sequence[str]]) -> None:
    """Write sweep.json. cells: the overrides of each; a cell's place in the list is the name of its folder."""
    from winnow import results

    listed = [
        results.SweepCell(str(number), list(filter_overrides(overrides))) for number, overrides in enumerate(cells)
    ]
    results.save_sweep(folder, listed, command())


def end_sweep(folder: Path, of: str, *, any_failed: bool) -> None:
    """Leave the report: a grid of rows, or a comparison of scores. The exit code is 1 where a cell failed.

    of: "cells" or "scores".
    """
    from winnow import app
    from winnow.comparison.report import report as report_scores
    from winnow.errors import WinnowError
    from winnow.scaling.report import report as report_cells

    try:
        if of == "cells":
            report_cells(folder)
        else:
            report_scores(folder)
    except WinnowError as error:
        print(f"error: {app.one_line(error)}", file=sys.stderr)
        sys.exit(1)
    if any_failed:
        sys.exit(1)
