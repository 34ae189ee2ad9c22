"""Sweeps through SLURM as submitit drives it, against a SLURM of shell scripts."""

import signal
import threading
import time
from pathlib import Path

import pytest

from helpers.scripts import TINY, run_script
from helpers.slurm import FakeSlurm
from winnow.store import results

SWEEP = ["-m", *TINY, "hydra.sweep.dir=grid", "trainer=cpu", "seed=0,1"]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.chdir(tmp_path)
    fake = FakeSlurm(tmp_path / "slurm")
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    return fake


def job_of(launcher: str, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """The options of the job that a sweep asks for, from a cluster that refuses it."""
    slurm.refuse()
    ended = run_script("run.py", *SWEEP, f"hydra/launcher={launcher}", *options, capsys=capsys)
    assert ended.code == 1
    assert ended.err.strip().splitlines()[-1].startswith(f"error: hydra/launcher={launcher}: ")
    assert ended.err.strip().endswith("sbatch: error: invalid partition")
    return slurm.options()


def test_a_cell_is_a_job_with_one_gpu(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    asked = job_of("submitit_slurm", slurm, capsys, "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=30")
    assert asked["array"].startswith("0-1%")
    assert asked["nodes"] == asked["ntasks-per-node"] == asked["gpus-per-node"] == "1"
    assert asked["cpus-per-task"] == "8"
    assert asked["signal"] == "USR2@120"
    assert (asked["partition"], asked["time"], asked["requeue"]) == ("gpu", "30", "")
    before_srun = slurm.script().split("\nsrun ")[0]
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK" in before_srun


def test_a_cell_is_a_node_with_one_task(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    asked = job_of("submitit_slurm_node", slurm, capsys)
    assert asked["nodes"] == asked["ntasks-per-node"] == "1"
    assert asked["gpus-per-node"] == "8"
    assert asked["signal"] == "USR2@120"
    assert asked["requeue"] == asked["exclusive"] == ""


def test_what_cannot_begin_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for options, word in {
        ("seed=0,1",): "srun",
        ("seed=0,1", "plan=true"): "plan=true",
        ("seed=0,]",): "mismatched",
    }.items():
        ended = run_script("run.py", "-m", *TINY, "hydra/launcher=submitit_slurm", *options, capsys=capsys)
        assert ended.code == 1
        assert ended.err.startswith("error: ")
        assert word in ended.err.splitlines()[0]


@pytest.mark.slow
def test_cells_run_and_fail_as_in_one_process(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = [*SWEEP[:-1], "hydra/launcher=submitit_slurm", "compression.r=0.5,0.001"]
    ended = run_script("run.py", *sweep, capsys=capsys)
    assert ended.code == 1
    assert Path("grid/0/row.json").exists()
    assert "Traceback" in Path("grid/1/error.txt").read_text()
    found = results.collect("grid")
    assert (len(found.rows), len(found.failed), found.missing) == (1, 1, 0)
    assert found.command is not None
    assert "hydra/launcher=submitit_slurm" in found.command
    assert Path("grid/grid.csv").exists()


@pytest.mark.slow
def test_a_cell_whose_time_is_up_is_requeued_and_goes_on(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    # The first job is long, so that its time is up, after its first checkpoint, while it still trains.
    sweep = [*SWEEP[:-1], "logger=none", "selector=random", "compression.r=0.5", "recipe.epochs=300,1"]
    whole = run_script("run.py", *sweep, "hydra.sweep.dir=whole", "paths.artifacts=whole/artifacts", capsys=capsys)
    assert whole.code == 0, whole.err

    def time_is_up() -> None:
        # Once the short job has ended, a checkpoint is the long one's, which then has the handlers of signals.
        while not (Path("grid/1/row.json").exists() and list(Path("artifacts/unfinished").glob("model-*.ckpt"))):
            time.sleep(0.01)
        slurm.signal(0, signal.SIGUSR2)

    threading.Thread(target=time_is_up, daemon=True).start()
    ended = run_script(
        "run.py", *sweep, "hydra/launcher=submitit_slurm", "trainer.checkpoint_seconds=0.1", capsys=capsys
    )
    assert ended.code == 0, ended.err
    assert (slurm.folder / "requeued-0").exists()
    assert slurm.exits(0, runs=2) == [255, 0]
    assert slurm.exits(1, runs=1) == [0]
    assert "going on at step" in Path("grid/0/winnow.log").read_text()
    rows, expected = results.collect("grid").rows, results.collect("whole").rows
    assert [(row.key, row.steps, row.test_loss) for row in rows] == [
        (row.key, row.steps, row.test_loss) for row in expected
    ]
