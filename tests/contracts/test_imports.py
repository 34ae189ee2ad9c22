"""What takes seconds to import is imported where it is needed: by which commands, and by which rooms."""

import json
import pkgutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

import winnow
from helpers.scripts import SCRIPTS, TINY
from winnow import pipeline
from winnow.cli.cells import parts_of
from winnow.cli.entry import CONF
from winnow.core.types import Row, Scores
from winnow.scaling import grid
from winnow.store import results
from winnow.store.records import save_row, save_scores

HEAVY = {"torch", "pytorch_lightning", "torchvision", "torchmetrics", "wandb", "faiss", "sklearn"}
TABLES = {"pandas", "matplotlib", "scipy"}
CELL = [*TINY, "metric=el2n", "selector=threshold", "compression.r=0.5", "paths.artifacts=artifacts"]
RUN = [*CELL, "hydra.run.dir=run"]
FIGURE = ["figure=scaling_curves", "figure.grid=run/grid.csv", "hydra.run.dir=drawn"]

TELLS = """
import importlib, json, runpy, sys
told, *steps = sys.argv[1:]
ends, packages = [], []
for step in steps:
    kind, *names = json.loads(step)
    code = 0
    if kind == "script":
        sys.argv = names
        sys.path.insert(0, "")  # the script's folder, which it takes off
        try:
            runpy.run_path(names[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
    else:
        for name in names:
            importlib.import_module(name)
    ends.append(code)
    packages.append(sorted({name.split(".")[0] for name in sys.modules}))
open(told, "w").write(json.dumps([ends, packages]))
"""


def _imported(folder: Path, *steps: list[str], code: int = 0) -> list[set[str]]:
    """The packages that one process has imported after each step: a script with its arguments, or modules.

    code: with which all scripts end.
    """
    told = folder / "told.json"
    asked = [sys.executable, "-c", TELLS, str(told), *map(json.dumps, steps)]
    ended = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    ends, packages = json.loads(told.read_text())
    assert ends == [code] * len(steps), ended.stderr
    return [set(each) for each in packages]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the artifacts of a finished cell, its row and its grid; the numbers mean nothing."""
    folder = tmp_path_factory.mktemp("finished")
    with initialize_config_dir(CONF, version_base="1.3"):
        cell, dataset, store, _ = parts_of(compose("config", [*CELL, f"paths.artifacts={folder}/artifacts"]))
    scores = Scores(np.arange(dataset.n, dtype=float), metric=cell.metric.name, dataset=dataset.fingerprint)
    key, inputs = pipeline.scores_key(dataset, cell.metric, cell.probe)
    store.fetch("scores", key, write=lambda draft: save_scores(draft, scores, dataset.columns), inputs=inputs)
    pipeline.select_for_cell(cell, dataset, store=store)
    key, inputs = pipeline.cell_key(cell, dataset)
    made_up: dict[str, Any] = {field.name: "none" if "str" in str(field.type) else 1 for field in fields(Row)}
    row = Row(**(made_up | {"key": key}))
    store.fetch("row", key, write=lambda draft: save_row(draft, row), inputs=inputs)
    results.save_row(folder / "run", row)
    grid.table([row]).to_csv(folder / "run" / results.GRID, index=False)
    return folder


@pytest.mark.parametrize(
    ("commands", "code", "may"),
    [
        ([["grid.py", "--help"], ["report.py", "--help"], ["run.py", "--help"]], 0, set()),
        ([["run.py", "metrik=el2n"]], 1, set()),
        ([["figures.py", *FIGURE], ["grid.py", "run", "--fit"], ["report.py", "run", "--artifacts=none"]], 0, TABLES),
    ],
    ids=["help", "misspelt", "tables"],
)
def test_a_command_imports_no_more_than_it_needs(
    commands: list[list[str]], code: int, may: set[str], finished: Path
) -> None:
    steps = [["script", str(SCRIPTS / script), *arguments] for script, *arguments in commands]
    imported = set.union(*_imported(finished, *steps, code=code))
    assert imported & (HEAVY | TABLES) <= may


def _modules(*rooms: str, but: tuple[str, ...] = ()) -> list[str]:
    """Every module of these rooms."""
    all_of_them = [each.name for each in pkgutil.walk_packages(winnow.__path__, "winnow.")]
    return [name for name in all_of_them if name.split(".")[1] in rooms and name.removeprefix("winnow.") not in but]


def test_rooms_of_numbers_and_figures_need_no_torch(tmp_path: Path) -> None:
    rooms = ("core", "store", "metrics", "selectors", "diagnostics", "scaling", "theory", "comparison", "figures")
    modules = _modules(*rooms, "reports", but=("theory.unrolled",))
    assert len(modules) > 100
    (imported,) = _imported(tmp_path, ["modules", *modules])
    assert imported & {"torch", "torchvision", "pytorch_lightning", "faiss"} == set()


def test_what_is_finished_or_only_described_needs_no_lightning(finished: Path) -> None:
    """In one process: a finished cell, the scores and the subset of one, a plan; then all that describes."""
    computing = ("probes.scorer", "probes.snapshots", "probes.embeddings.simclr_training", "cli.preloaded")
    modules = _modules("cli", "datasets", "exports", "models", "parallel", "pipeline", "probes", but=computing)
    of_training = (
        "recipe",
        "devices",
        "precision",
        "loggers",
        "fit",
        "callbacks.forgetting",
        "callbacks.contributions",
    )
    modules += [f"winnow.training.{name}" for name in of_training]
    assert {"winnow.pipeline.planning.plan", "winnow.probes.ensemble", "winnow.cli.run"} < set(modules)
    run, select = str(SCRIPTS / "run.py"), str(SCRIPTS / "select.py")
    row, subset, plan, described = _imported(
        finished,
        ["script", run, *RUN],
        ["script", select, *CELL, "hydra.run.dir=selected"],
        ["script", run, *RUN, "plan=true"],
        ["modules", *modules],
    )
    assert (row | subset | plan) & (HEAVY | TABLES) <= TABLES | {"torch"}
    assert described & {"pytorch_lightning", "torchmetrics", "wandb", "sklearn"} == set()
