"""What a sweep leaves whatever launches it: the list of its cells at the start, and at the end its report."""

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf


def begin(folder: Path, cells: Sequence[Sequence[str]], begun: int = 0) -> None:
    """Write sweep.json. cells: the overrides of each; a cell's place in the list is the name of its folder.

    begun: how many of them were launched before, by this command.
    """
    from winnow.cli.calling import called
    from winnow.store import results

    command = shlex.join([*called(), *sys.argv[1:]])
    listed = [results.SweepCell(str(number), list(filter_overrides(cell))) for number, cell in enumerate(cells)]
    results.begin_sweep(folder, listed, command, begun=begun)


def report(folder: Path, of: str, config: DictConfig) -> bool:
    """Write and print the report of what is there; False, with the reason on standard error, where it cannot.

    of: "cells", for a grid of rows and its page, or "scores", for a comparison. config: of the sweep, whose store the
    page reads, and whose logger is told of a grid when the command ends.
    """
    from winnow.cli import entry
    from winnow.core.errors import WinnowError

    try:
        if of == "cells":
            from winnow.reports.sweep import report as report_cells

            report_cells(folder)
            from winnow.cli.report import write

            print(write(folder, Path(str(config.paths.artifacts))))
            entry.at_end["log of the sweep"] = partial(_log, config, folder)
        else:
            from winnow.reports.scores import report as report_scores

            report_scores(folder)
    except WinnowError as error:
        print(f"error: {entry.one_line(error)}", file=sys.stderr)
        return False
    return True


def _log(config: DictConfig, folder: Path) -> None:
    from winnow.cli.sweep_log import log_sweep

    log_sweep(config, folder)


def can_draw(config: DictConfig, of: str | None) -> bool:
    """Whether the figure that a sweep is to end with can be drawn from what it leaves; says what leaves it, if not.

    of: "cells", "scores" or, for selections, None.
    """
    from winnow.cli.calling import begins

    diagnosed = of is None and config.get("diagnose") is not None
    left = {"cells": "grid", "scores": "folder", None: "table" if diagnosed else None}[of]
    asked = [name for name in ("grid", "folder", "table") if OmegaConf.is_missing(config.figure, name)]
    if not asked or left in asked:
        return True
    leaves = {"grid": ("run", ""), "folder": ("score", ""), "table": ("select", " diagnose=shift")}
    command, more = leaves[asked[0]]
    choices = config.hydra.runtime.choices
    again = f"{begins(command)} -m experiment={choices.experiment}" if choices.get("experiment") else begins(command)
    print(f"error: figure={choices['figure']} is drawn from what `{again}{more}` leaves; call that.", file=sys.stderr)
    return False


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
