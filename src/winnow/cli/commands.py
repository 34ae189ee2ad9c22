"""The commands, which read sys.argv: what scripts call.

What computes is imported once it is asked for, so that --help and a mistake in an option take no longer than Hydra.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Threads that spin while they wait for each other take, on cores that other processes use too, several times as long.
# OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def run() -> None:
    """Run one cell, or with -m a grid of them."""
    from winnow.cli.entry import hydra_script

    hydra_script(_run, name="run")


def score() -> None:
    """Score a data set."""
    from winnow.cli.entry import hydra_script

    hydra_script(_score, name="score", config_name="stage")


def select() -> None:
    """Select a subset."""
    from winnow.cli.entry import hydra_script

    hydra_script(_select, name="select", config_name="select")


def select_file() -> None:
    """Select from a table of scores."""
    from winnow.cli.entry import hydra_script

    hydra_script(_select_file, name="select_file", config_name="select_file")


def grid() -> None:
    """Collect rows into a grid, draw the curves, print the test errors."""
    from winnow.cli.grid import main

    main()


def report() -> None:
    """Write the page of a run or sweep."""
    from winnow.cli.report import main

    main()


def figures() -> None:
    """Draw a figure."""
    from winnow.cli.entry import hydra_script

    hydra_script(_figures, name="figures", config_name="figures")


def _run(cfg: "DictConfig") -> float | None:
    from winnow.cli.run import task

    return task(cfg)


def _score(cfg: "DictConfig") -> None:
    from winnow.cli.score import task

    task(cfg)


def _select(cfg: "DictConfig") -> None:
    from winnow.cli.select import task

    task(cfg)


def _select_file(cfg: "DictConfig") -> None:
    from winnow.cli.select_file import task

    task(cfg)


def _figures(cfg: "DictConfig") -> None:
    from winnow.cli.figures import task

    task(cfg)
