"""A command that a signal ends, given once more, ends as if nothing had happened."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import TINY, run_script, start_script
from winnow.core.errors import REQUEUE, STOPPED
from winnow.training.noise import Noise

CELL = [*TINY, "selector=threshold", "compression.r=0.5", "callbacks=forgetting", "logger=none"]


def _left(folder: Path) -> list[str]:
    """What an interruption must not leave: temporary folders; and what it may: checkpoints."""
    names = [path.name for path in (folder / "artifacts").rglob("*")]
    assert not [name for name in names if name.startswith(".")]
    return sorted(name for name in names if ".ckpt" in name)


def _row(printed: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(Path(printed.splitlines()[-1]).read_text())
    assert row.pop("seconds") > 0
    return row


def _killed(folder: Path, command: list[str], stage: str, number: signal.Signals) -> tuple[int | None, str]:
    """Exit code and output of the command, ended by a signal once a training of that stage has taken a checkpoint."""
    log = folder.with_suffix(".log")
    process = start_script("run.py", *command, folder=folder, log=log)
    deadline = time.monotonic() + 60
    while not list((folder / "artifacts/unfinished").glob(f"{stage}-*.ckpt")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    return process.wait(60), log.read_text()


@pytest.mark.parametrize(
    ("number", "stage"), [(signal.SIGTERM, "probe"), pytest.param(signal.SIGKILL, "model", marks=pytest.mark.slow)]
)
def test_a_killed_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    stage: str,
) -> None:
    epochs = "probe.epochs=60" if stage == "probe" else "recipe.epochs=60"
    command = [*CELL, "probe.members=1", epochs, "trainer=cpu", "trainer.progress=false"]
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        folder.mkdir()
    code, printed = _killed(folders["killed"], [*command, "trainer.checkpoint_seconds=0.001"], stage, number)
    assert "row.json" not in printed
    if number == signal.SIGTERM:
        assert code == REQUEUE
        assert printed.splitlines()[-1] == "interrupted: the same command goes on from here."
        assert "Traceback" not in printed
        assert len(_left(folders["killed"])) == 1
    else:
        assert code == -signal.SIGKILL
    rows, trained = {}, {}
    for name, folder in folders.items():
        monkeypatch.chdir(folder)
        ended = run_script("run.py", *command, capsys=capsys)
        assert ended.code == 0, ended.err
        rows[name] = _row(ended.out)
        trained[name] = "going on at step" in ended.err + ended.out
        assert not list((folder / "artifacts/unfinished").glob("*"))
    assert trained == {"whole": False, "killed": True}
    assert rows["whole"] == rows["killed"]
    for path in (folders["whole"] / "artifacts").rglob("*.npy"):
        other = folders["killed"] / path.relative_to(folders["whole"])
        np.testing.assert_array_equal(np.load(path), np.load(other))


def test_a_sweep_ends_with_the_report_of_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["-m", *TINY, "selector=random", "compression.r=0.2,0.5,1", "hydra.sweep.dir=grid", "trainer=cpu"]
    seed, steps = Noise.on_train_batch_start, []

    def terminate(self: Noise, *arguments: Any) -> None:
        seed(self, *arguments)
        steps.append(None)
        if len(steps) == 3:  # each cell has two
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Noise, "on_train_batch_start", terminate)
        ended = run_script("run.py", *command, capsys=capsys)
    assert ended.code == REQUEUE
    assert ended.err.splitlines()[-1] == "interrupted: the same command goes on from here."
    assert len(pd.read_csv("grid/grid.csv")) == 1
    assert len(_left(tmp_path)) == 1
    again = run_script("run.py", *command, capsys=capsys)
    assert again.code == 0, again.err
    assert "2 done, 1 cached, 0 failed" in again.out
    assert sorted(pd.read_csv("grid/grid.csv").n_kept) == [24, 60, 120]
    assert not _left(tmp_path)


@pytest.mark.parametrize("script", [["score.py"], ["score.py", "-m"], ["select.py", "selector=threshold"]])
def test_other_scripts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seed = Noise.on_train_batch_start

    def terminate(self: Noise, *arguments: Any) -> None:
        seed(self, *arguments)
        os.kill(os.getpid(), signal.SIGINT)

    command = [*script, *TINY, "trainer=cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(Noise, "on_train_batch_start", terminate)
        ended = run_script(*command, capsys=capsys)
    assert ended.code == STOPPED
    assert ended.err.splitlines()[-1] == "interrupted: the same command goes on from here."
    assert len(_left(tmp_path)) == 1
    again = run_script(*command, capsys=capsys)
    assert again.code == 0, again.err
    assert not _left(tmp_path)
