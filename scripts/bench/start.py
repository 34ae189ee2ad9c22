"""How long commands take before they compute anything, and how quickly a finished sweep is seen to be finished.

    python scripts/bench/start.py [number of cells, 108]

The cells are those of experiment=demo, whose scores and rows are made up: nothing is trained. Prints JSON lines.
For each command, started anew three times: the median of its processor time in seconds, and its ratio to that of
`import hydra, pandas, matplotlib`. Then the seconds from asking the pool for a process until it has begun, and those of
a process for a finished cell. Before it the seconds to compose the cells, as Hydra does and here, for so many; and last
finished cells a second, from composing to row.json.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

sys.path.pop(0)

import numpy as np
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow import pipeline
from winnow.cli import entry, run
from winnow.cli.cells import parts_of
from winnow.cli.composing import QuickLoader
from winnow.core.types import Row, Scores
from winnow.parallel import processes
from winnow.scaling import grid
from winnow.store import results
from winnow.store.records import save_row, save_scores

HYDRAS_OWN = 12  # cells that Hydra composes, for the time of all
SWEPT = {
    "metric": ("el2n", "forgetting"),
    "selector": ("random", "threshold", "calibrated"),
    "compression.r": (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
}


SCRIPTS = Path(__file__).parents[1]
CELL = ["dataset=digits", "metric=el2n", "selector=threshold", "compression.r=0.1"]
BASE = "import hydra, pandas, matplotlib"
PYTHON = (
    "import hydra, pandas, matplotlib.figure",
    "import torch",
    "from winnow import pipeline; pipeline.load_dataset",
)


def processor_seconds(command: list[str]) -> float:
    """The median of three runs, user and system; a mistake in the command is one of those that are timed."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(seconds)


def finished_cell(folder: Path) -> list[str]:
    """The overrides of the cell that is finished in `folder`."""
    return [*CELL, f"paths.artifacts={folder}/artifacts", f"hydra.run.dir={folder}/run"]


def time_commands(folder: Path) -> None:
    """Print a line a command, of a cell that is finished in `folder`."""
    cell = finished_cell(folder)
    drawn = ["figure=scaling_curves", f"figure.grid={folder}/run/{results.GRID}", f"hydra.run.dir={folder}/drawn"]
    commands = {
        "run.py --help": ["run.py", "--help"],
        "misspelt": ["run.py", "metrik=el2n"],
        "grid.py": ["grid.py", f"{folder}/run"],
        "grid.py --fit": ["grid.py", f"{folder}/run", "--fit"],
        "figures.py figure=scaling_curves": ["figures.py", *drawn],
        "run.py, finished": ["run.py", *cell],
        "run.py plan=true": ["run.py", *cell, "plan=true"],
        "select.py, finished scores": ["select.py", *cell],
    }
    base = processor_seconds(["-c", BASE])
    print(json.dumps({"command": BASE, "processor_seconds": round(base, 2)}))
    lines = {name: [str(SCRIPTS / script), *rest] for name, (script, *rest) in commands.items()}
    for name, command in {**{line: ["-c", line] for line in PYTHON}, **lines}.items():
        seconds = processor_seconds(command)
        told = {"command": name, "processor_seconds": round(seconds, 2), "ratio": round(seconds / base, 2)}
        print(json.dumps(told), flush=True)


def time_pool(folder: Path) -> None:
    """Print the seconds until a process of the pool begins, once the pool is warm, and those of its finished cell."""
    threads = {processes.THREADS: "1"}
    jobs: dict[str, tuple[Callable[..., None], list[Any]]] = {
        "begins": (time.sleep, [0]),
        "finished": (processes.run_script, [str(SCRIPTS / "run.py"), *finished_cell(folder)]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(4):
        for name, (function, arguments) in jobs.items():
            begin = time.perf_counter()
            child = processes.spawn(function, *arguments, environment=threads, log=folder / "log", title=name)
            assert child.wait() == 0, (folder / "log").read_text()
            seconds[name].append(time.perf_counter() - begin)
    print(json.dumps({"pool": {name: round(median(each[1:]), 2) for name, each in seconds.items()}}))  # the first warms


def timed(loader: ConfigLoaderImpl, master: DictConfig, cells: list[list[str]]) -> tuple[float, list[DictConfig]]:
    """The seconds a cell, and what was composed."""
    begin = time.perf_counter()
    configs = [loader.load_sweep_config(master, cell) for cell in cells]
    return (time.perf_counter() - begin) / len(cells), configs


def main(number: int = 108) -> None:
    choices = list(product(*SWEPT.values()))
    swept = [(*choices[i % len(choices)], i // len(choices)) for i in range(number)]
    cells = [[f"{name}={value}" for name, value in zip((*SWEPT, "seed"), each, strict=True)] for each in sorted(swept)]
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(entry.CONF, version_base="1.3"):
        path = GlobalHydra.instance().config_loader().get_search_path()
        arguments = ["dataset=digits", f"paths.artifacts={folder}/artifacts"]
        cells = [[*arguments, *cell] for cell in cells]
        own, quick = ConfigLoaderImpl(path), QuickLoader(path)
        master = own.load_configuration("config", arguments, RunMode.MULTIRUN)
        before, _ = timed(own, master, cells[:: max(1, number // HYDRAS_OWN)])
        after, configs = timed(quick, master, cells)
        composed = {"hydra": before * number, "winnow": after * number, "ratio": before / after}
        print(
            json.dumps({"composing": {"cells": number} | {name: round(value, 2) for name, value in composed.items()}})
        )
        for config in configs:
            make_up(config)
        make_up(own.load_configuration("config", [*CELL, f"paths.artifacts={folder}/artifacts"], RunMode.RUN), folder)
        time_commands(Path(folder))
        time_pool(Path(folder))
        quick = QuickLoader(path)
        begin = time.perf_counter()
        for i, cell in enumerate(cells):
            assert run.keep_finished(quick.load_sweep_config(master, cell), Path(folder) / "sweep" / str(i))
        seconds = time.perf_counter() - begin
        print(json.dumps({"finished": {"seconds": round(seconds, 2), "cells_a_second": round(number / seconds, 1)}}))


def make_up(config: DictConfig, folder: str | None = None) -> None:
    """Leave scores and a row for a cell, with numbers of no meaning, and in the folder of a run a grid of that row."""
    cell, dataset, store, _ = parts_of(config)
    scores = Scores(np.arange(dataset.n, dtype=float), metric=cell.metric.name, dataset=dataset.fingerprint)
    key, inputs = pipeline.scores_key(dataset, cell.metric, cell.probe)
    store.fetch("scores", key, write=lambda draft: save_scores(draft, scores, dataset.columns), inputs=inputs)
    key, inputs = pipeline.cell_key(cell, dataset)
    made_up: dict[str, Any] = {field.name: "none" if "str" in str(field.type) else 1 for field in fields(Row)}
    row = Row(**(made_up | {"key": key}))
    store.fetch("row", key, write=lambda draft: save_row(draft, row), inputs=inputs)
    if folder is not None:
        results.save_row(Path(folder) / "run", row)
        (Path(folder) / "run" / results.GRID).write_text(grid.table([row]).to_csv(index=False))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
