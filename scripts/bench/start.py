"""How quickly a finished sweep is seen to be finished: composing its cells, and all that a finished cell costs.

    python scripts/bench/start.py [number of cells, 108]

The cells are those of experiment=demo, whose rows are made up: nothing is trained. Prints JSON lines: seconds to
compose them, as Hydra does and here, for so many cells; then finished cells a second, from composing to row.json.
"""

import json
import sys
import tempfile
import time
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

sys.path.pop(0)

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow import pipeline
from winnow.cli import entry, run
from winnow.cli.cells import parts_of
from winnow.cli.composing import QuickLoader
from winnow.core.types import Row
from winnow.store.records import save_row

HYDRAS_OWN = 12  # cells that Hydra composes, for the time of all
SWEPT = {
    "metric": ("el2n", "forgetting"),
    "selector": ("random", "threshold", "calibrated"),
    "compression.r": (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
}


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
        quick = QuickLoader(path)
        begin = time.perf_counter()
        for i, cell in enumerate(cells):
            assert run.keep_finished(quick.load_sweep_config(master, cell), Path(folder) / "sweep" / str(i))
        seconds = time.perf_counter() - begin
        print(json.dumps({"finished": {"seconds": round(seconds, 2), "cells_a_second": round(number / seconds, 1)}}))


def make_up(config: DictConfig) -> None:
    """Leave a row for a cell, with numbers of no meaning."""
    cell, dataset, store, _ = parts_of(config)
    key, inputs = pipeline.cell_key(cell, dataset)
    made_up: dict[str, Any] = {field.name: "none" if "str" in str(field.type) else 1 for field in fields(Row)}
    row = Row(**(made_up | {"key": key}))
    store.fetch("row", key, write=lambda draft: save_row(draft, row), inputs=inputs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
