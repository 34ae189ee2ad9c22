"""Sweeps with logger=wandb, told to a stand-in: who made what of what, finished cells, and what agents ask for."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import wandb
import yaml

from helpers import pages
from helpers.scripts import TINY, finished_artifacts, run_script
from helpers.wandb_stand_in import StandIn, names
from winnow.store import results
from winnow.training import wandb_sweep

CELLS = [*TINY, "probe.epochs=1", "metric=el2n", "selector=threshold", "compression.r=0.5", "trainer=cpu"]
ONLINE = ["logger=[csv,wandb]", "logger.mode=online", "logger.project=pruning"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", *wandb_sweep.VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wandb_sweep, "_asked", None)
    stand_in = StandIn()
    monkeypatch.setattr(wandb, "init", stand_in.init)
    return stand_in


def test_a_sweep_and_one_that_finds_it_finished_or_imported(
    told: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *CELLS, "compression.r=0.5,0.0001", "callbacks=forgetting", *ONLINE]
    assert run_script("run.py", *sweep, "hydra.sweep.dir=first", capsys=capsys).code == 1, "one cell fails"

    probes, (score,), (selection,), (cell,), (whole,) = map(told.of, ("probe", "score", "select", "train", "sweep"))
    assert told.runs == [*probes, score, selection, cell, whole]
    assert {(run.group, run.options["project"], run.exit_code) for run in told.runs} == {("first", "pruning", 0)}
    assert names(score.used) == [made for probe in probes for made in names(probe.made)]
    assert names(selection.used)[0] == names(score.made)[0]
    assert names(cell.used) == names(selection.made)
    assert [artifact.type for artifact in cell.made] == ["model"]

    (row,) = results.collect("first").rows
    assert (cell.name, cell.summary["key"]) == ("el2n hardest r=0.5 seed 0", row.key)
    assert {"metric": "el2n", "selector": "threshold", "alpha": 1.0, "seed": 0}.items() <= cell.config.items()
    assert [name for name, value in cell.config.items() if isinstance(value, dict)] == ["cell"]
    assert all("forgetting/0" in run.summary and "train_loss" in run.summary for run in [*probes, cell])

    assert whole.table("grid")["key"].tolist() == pd.read_csv("first/grid.csv")["key"].tolist()
    assert (whole.summary["cells/done"], whole.summary["cells/failed"]) == (1, 1)
    assert "keeps none" in whole.table("failures")["message"][0]
    assert {"grid.csv", "scaling_curves.png"} <= set(whole.made[0].manifest.entries)
    assert list(Path("first/0/logs").glob("cell-*/metrics.csv")), "and the other logger too"

    before = len(told.runs)
    assert run_script("run.py", *sweep, "hydra.sweep.dir=second", capsys=capsys).code == 1
    cached, other = told.runs[before:]
    assert (other.job_type, other.id == whole.id) == ("sweep", False)
    assert (cached.job_type, cached.group, cached.tags[-1]) == ("train", "second", "cached")
    assert cached.summary["test_error"] == row.test_error

    shutil.rmtree("artifacts")
    ended = run_script("grid.py", "--import", "first/grid.csv", capsys=capsys)
    assert "imported 1 row of first/grid.csv into artifacts: 1 new" in ended.out, ended.err
    before = len(told.runs)
    assert "0 done, 1 cached, 1 failed" in run_script("run.py", *sweep, "hydra.sweep.dir=third", capsys=capsys).out
    imported, _ = told.runs[before:]
    assert (imported.summary, imported.tags, imported.config) == (cached.summary, cached.tags, cached.config)
    assert Path("third/grid.csv").read_bytes() == Path("first/grid.csv").read_bytes()
    assert [path.parent.name for path in finished_artifacts(tmp_path / "artifacts")] == ["row"]


def test_what_an_agent_of_a_wandb_sweep_runs(
    told: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of the docs, as wandb's own agent fills it in; the second time the cell is finished."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    (text,) = (each.text for each in pages.all_blocks() if each.page == "docs/sweeps.md" and each.language == "yaml")
    sweep = yaml.safe_load(text)
    first = {
        name: each.get("value", each.get("values", [each.get("min")])[0]) for name, each in sweep["parameters"].items()
    }
    command = create_sweep_command_args({"args": {name: {"value": value} for name, value in first.items()}})
    given = [
        word
        for each in sweep["command"]
        for word in {"${args_no_hyphens}": command["args_no_hyphens"]}.get(each, [each])
    ]
    assert given[:3] == ["${env}", "${interpreter}", "${program}"]
    small = [*TINY, "probe.epochs=1", "probe.members=1", "trainer=cpu", "logger.mode=online", "compression.r=0.5"]
    words = [word for word in given[3:] if not word.startswith(("dataset=", "compression.r="))]
    for number in range(2):
        for name, value in zip(wandb_sweep.VARIABLES, ("sweepid", f"run{number}", "none"), strict=True):
            monkeypatch.setenv(name, value)
        ended = run_script(Path(sweep["program"]).name, *words, *small, f"hydra.run.dir={number}", capsys=capsys)
        assert ended.code == 0, ended.err
    own, cached = told.of("train")
    assert [(run.id, run.options["settings"].sweep_id) for run in (own, cached)] == [
        ("run0", "sweepid"),
        ("run1", "sweepid"),
    ]
    assert own.summary[sweep["metric"]["name"]] == cached.summary["test_error"]
    assert {run.options["settings"].sweep_id for run in told.runs if run.job_type != "train"} == {None}
