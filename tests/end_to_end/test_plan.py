"""plan=true, as a user asks for it."""

from pathlib import Path

import pytest

from helpers.scripts import TINY, finished_artifacts, run_script
from winnow.store.results import load_plan

GRID = ["selector=random,threshold", "compression.r=0.2,1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_is_planned_and_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_script("run.py", "-m", *TINY, *GRID, "plan=true", "hydra.sweep.dir=grid", capsys=capsys)
    assert ended.code == 0, ended.err
    assert "plan of 4 cells: 4 to run, 0 finished" in ended.out
    assert "trainings: at most 3 to run, 0 finished" in ended.out  # random, the hardest, and everything
    # Two members: two epochs of 120 examples and one evaluation. Trainings of two steps: 24 twice, or all of 120 once.
    trainings = 2 * 2 * 24 + 2 * 60
    assert f"examples to process: {720 + trainings}: {trainings} in trainings of cells, 720" in ended.out
    assert "time: unknown: no past row" in ended.out
    assert "it fits" in ended.out
    assert finished_artifacts(tmp_path / "artifacts") == []
    assert {path.name for path in (tmp_path / "grid").iterdir()} <= {"multirun.yaml", "plan.json"}
    told = load_plan("grid")
    assert (told["cells"], told["to_run"], told["trainings"], told["at_most"]) == (4, 4, 3, True)
    assert (told["examples"], told["seconds"]) == (trainings, None)


def test_what_is_finished_is_told_and_times_come_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = [*TINY, "selector=random", "logger=none"]
    assert run_script("run.py", *cell, capsys=capsys).code == 0
    ended = run_script("run.py", *cell, "plan=true", capsys=capsys)
    assert "plan of 1 cell: 0 to run, 1 finished" in ended.out
    before = finished_artifacts(tmp_path / "artifacts")
    ended = run_script("run.py", "-m", *cell, "seed=0,1", "plan=true", "compression.r=0.3,0", capsys=capsys)
    assert ended.code == 0, ended.err
    assert "plan of 2 cells: 1 to run, 1 finished" in ended.out
    assert "trainings: 1 to run, 1 finished" in ended.out
    assert "refused: 2 cells (1,3): compression.r=0 must be" in ended.out
    assert "time: about 0:00:0" in ended.out
    assert "by past rows" in ended.out
    assert finished_artifacts(tmp_path / "artifacts") == before


@pytest.mark.parametrize(
    ("script", "overrides", "told"),
    [
        ("run.py", ["experiment=demo"], "add -m to the command"),
        ("run.py", ["-m", "recipe.epocs=1,2"], "Could not override 'recipe.epocs'"),
        ("select.py", [], "plan=True belongs to scripts/run.py"),
        ("score.py", [], "plan=True belongs to scripts/run.py"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    script: str, overrides: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_script(script, *overrides, *TINY, "plan=true", capsys=capsys)
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line]
    assert line.startswith("error: ")
    assert told in line
    assert finished_artifacts(tmp_path / "artifacts") == []
