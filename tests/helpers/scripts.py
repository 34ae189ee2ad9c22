"""Run a script of the project inside the test's process, which spares the seconds that importing torch anew takes."""

import contextlib
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra

from helpers.config import composing_once
from winnow.parallel import processes

SCRIPTS = Path(__file__).parents[2] / "scripts"
TINY = [
    "dataset=synthetic",
    "dataset.n=120",
    "dataset.n_test=40",
    "model.width=4",
    "recipe.epochs=1",
    "probe.members=2",
    "probe.epochs=2",
    "probe.evaluate_at=[1]",
]
"""Overrides that make one cell take well under a second."""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def run_script(name: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Run scripts/`name` with these arguments in the current folder; its exit code and what it printed."""
    argv, path, environment = sys.argv, sys.path, dict(os.environ)
    sys.argv, sys.path = [str(SCRIPTS / name), *arguments], [str(SCRIPTS), *sys.path]
    os.environ.pop("HYDRA_FULL_ERROR", None)
    GlobalHydra.instance().clear()
    capsys.readouterr()
    code = 0
    try:
        with composing_once():
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)  # as the interpreter does
    finally:
        sys.argv, sys.path = argv, path
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()
    out, err = capsys.readouterr()
    return Ended(code, out, err)


def start_script(name: str, *arguments: str, folder: Path, log: Path) -> processes.Child:
    """Run scripts/`name` in a folder, in a process of its own that has imported everything already."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        command = [str(SCRIPTS / name), *arguments]
        return processes.spawn(processes.run_script, *command, log=log, title=" ".join(command))


def finished_artifacts(root: Path, stage: str = "*") -> list[Path]:
    """The folders of finished artifacts below an artifact store."""
    return sorted(
        path.parent for path in root.glob(f"{stage}/*/provenance.json") if not path.parent.name.startswith(".")
    )


def logs_with(text: str, sweep: str | Path) -> list[Path]:
    """The logs of a sweep's cells in which a text is."""
    return [path for path in sorted(Path(sweep).glob("*/winnow.log")) if text in path.read_text()]
