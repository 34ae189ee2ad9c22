"""A cell trained by several processes, started in the ways that there are."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.scripts import SCRIPTS, TINY
from winnow.artifacts import ArtifactStore
from winnow.stages import load_recorded

CELL = [*TINY, "dataset.n=123", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "callbacks=forgetting"]
CELL += ["metric=el2n", "compression.r=0.5", "logger=none"]
RUN = [str(SCRIPTS / "run.py"), *CELL, "hydra.run.dir=out", "paths.artifacts=store"]
LIMIT = 200


def environment(**more):
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | more


def assert_trained_by_two(folder):
    row = json.loads((folder / "out" / "row.json").read_text())
    assert row["device"].startswith("2 x ")
    assert row["n_kept"] == 62
    assert row["examples_seen"] == row["steps"] * 62
    recorded = load_recorded(row["key"], store=ArtifactStore(folder / "store"))
    assert np.isfinite(recorded.loss).all()
    assert sorted(path.name for path in folder.iterdir()) == ["out", "store"]


def test_a_single_command(tmp_path):
    done = subprocess.run([sys.executable, *RUN], cwd=tmp_path, env=environment(), timeout=LIMIT)
    assert done.returncode == 0
    assert_trained_by_two(tmp_path)


@pytest.mark.slow
def test_torchrun(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for _ in range(2):  # the second time there is nothing to train, and the others are let go
        done = subprocess.run([*torchrun, *RUN], cwd=tmp_path, env=environment(), timeout=LIMIT)
        assert done.returncode == 0
        assert_trained_by_two(tmp_path)


@pytest.mark.slow
def test_two_tasks_of_srun(tmp_path):
    """What srun says to its tasks, of two nodes with one device each."""
    job = {"SLURM_JOB_ID": "4242", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "winnow"}
    job |= {"SLURM_NODELIST": "localhost", "SLURM_LOCALID": "0", "SLURM_NTASKS_PER_NODE": "1"}
    command = [sys.executable, *RUN, "trainer.devices=1", "trainer.nodes=2"]
    tasks = [
        subprocess.Popen(command, cwd=tmp_path, env=environment(**job, SLURM_PROCID=str(rank), SLURM_NODEID=str(rank)))
        for rank in range(2)
    ]
    assert [task.wait(LIMIT) for task in tasks] == [0, 0]
    assert_trained_by_two(tmp_path)


def test_another_number_than_was_started_is_refused(tmp_path):
    tasks = {"WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0"}
    tasks |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    done = subprocess.run(
        [sys.executable, *RUN], cwd=tmp_path, env=environment(**tasks), timeout=LIMIT, capture_output=True
    )
    assert done.returncode == 1
    assert "4 processes were started" in done.stderr.decode()
