"""What a sweep leaves whatever launches it: the list of its cells at the start, and at the end its report."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig


def begin(folder: Path, cells: Sequence[Sequence[str]]) -> None:
    """Write sweep.json. cells: the overrides of each; a cell's place in the list is the name of its folder."""
    from winnow.cli.calling import called
    from winnow.store import results

    command = shlex.join([*called(), *sys.argv[1:]])
    listed = [results.SweepCell(str(number), list(filter_overrides(cell))) for number, cell in enumerate(cells)]
    results.begin_sweep(folder, listed, command)


def report(folder: Path, of: str) -> bool:
    """Write and print the report of what is there; False, with the reason on standard error, where it cannot.

    of: "cells", for a grid of rows, or "scores", for a comparison.
    """
    from winnow.cli import entry
    from winnow.core.errors import WinnowError

    try:
        if of == "cells":
            from winnow.reports.sweep import report as report_cells

            report_cells(folder)
        else:
            from winnow.reports.scores import report as report_scores

            report_scores(folder)
    except WinnowError as error:
        print(f"error: {entry.one_line(error)}", file=sys.stderr)
        return False
    return True


def draw(folder: Path, config: DictConfig) -> bool:
    """Draw the figure that a sweep ends with, and print its paths; False, with the reason, where it cannot."""
    from winnow.cli import entry
    from winnow.cli.figures import draw_of_sweep
    from winnow.core.errors import WinnowError

    try:
        choices = config.hydra.runtime.choices
        for path in draw_of_sweep(folder, config.figure, choices["figure"], experiment=choices.get("experiment")):
            print(path)
    except WinnowError as error:
        print(f"error: {entry.one_line(error)}", file=sys.stderr)
        return False
    return True
