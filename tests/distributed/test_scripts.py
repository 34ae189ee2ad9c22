"""A cell trained by several processes, started in the ways that there are."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from helpers.scripts import SCRIPTS, TINY, start_script
from winnow.core.errors import REQUEUE, OptionError
from winnow.parallel import workers
from winnow.pipeline.stages import load_recorded
from winnow.store.artifacts import ArtifactStore

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
    folder = tmp_path / "run"
    child = start_script(*RUN, folder=folder, log=tmp_path / "log")
    assert child.wait(LIMIT) == 0, (tmp_path / "log").read_text()
    assert_trained_by_two(folder)


@pytest.mark.slow
def test_torchrun(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for _ in range(2):  # the second time there is nothing to train, and the others are let go
        done = subprocess.run([*torchrun, *RUN], cwd=tmp_path, env=environment(), timeout=LIMIT)
        assert done.returncode == 0
        assert_trained_by_two(tmp_path)


@pytest.mark.slow
def test_followers_do_not_outlive_a_leader_that_is_killed():
    leads = "import sys; from helpers.parallel import *; TWO.everywhere(busy_for_ever, alone={'told': sys.stdout})"
    leader = subprocess.Popen([sys.executable, "-c", leads], stdout=subprocess.PIPE, env=environment(), text=True)
    assert leader.stdout is not None
    first, follower = map(int, leader.stdout.readline().split())
    assert first == leader.pid
    leader.kill()
    leader.wait()
    deadline = time.monotonic() + LIMIT
    while is_alive(follower):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_signal_to_all_while_they_start_is_the_leaders_to_hear():
    leads = "import sys; from winnow.parallel import interruption; from helpers.parallel import *\n"
    leads += "print('starts', flush=True)\n"
    leads += "with interruption.handled(): TWO.everywhere(busy_for_ever, alone={'told': sys.stdout})"
    leader = subprocess.Popen(
        [sys.executable, "-c", leads],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    leader.stdout.readline()
    time.sleep(1.0)
    os.killpg(leader.pid, signal.SIGTERM)
    _, said = leader.communicate(timeout=LIMIT)
    assert (leader.returncode, said) == (REQUEUE, "")


def is_alive(pid):
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def tasks_of_srun(folder, *overrides):
    """Exit codes and what was said of two tasks that srun started, on two nodes with one device each."""
    job = {"SLURM_JOB_ID": "4242", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "winnow"}
    job |= {"SLURM_NODELIST": "localhost", "SLURM_LOCALID": "0", "SLURM_NTASKS_PER_NODE": "1"}
    tasks = [
        subprocess.Popen(
            [sys.executable, *RUN, *overrides],
            cwd=folder,
            env=environment(**job, SLURM_PROCID=str(rank), SLURM_NODEID=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [task.communicate(timeout=LIMIT)[1] for task in tasks]
    return [task.returncode for task in tasks], said


@pytest.mark.slow
def test_two_tasks_of_srun(tmp_path):
    codes, _ = tasks_of_srun(tmp_path, "trainer.devices=1", "trainer.nodes=2")
    assert codes == [0, 0]
    assert_trained_by_two(tmp_path)


@pytest.mark.slow
def test_another_number_than_was_started_is_refused_and_all_end(tmp_path):
    codes, said = tasks_of_srun(tmp_path, "trainer.devices=3")
    assert codes == [1, 0]
    assert "2 processes were started" in said[0]


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_another_number_than_was_started(devices, monkeypatch):
    told = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    for name, value in (told | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="4 processes were started"):
        workers.check_processes(devices, nodes=1)
    workers.check_processes(2, nodes=2)
