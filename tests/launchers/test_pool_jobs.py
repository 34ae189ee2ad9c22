"""What makes a cell on the pool, how its processes are called, and how they end."""

import os
import signal
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from helpers.scripts import TINY, run_script
from hydra_plugins.winnow_launchers.base import Cell
from hydra_plugins.winnow_launchers.pool_jobs import PoolJobs
from hydra_plugins.winnow_launchers.schedule import DONE, FAILED, INTERRUPTED, Ended, Job
from hydra_plugins.winnow_launchers.slots import Slots
from winnow.cli.entry import CONF
from winnow.core.errors import BudgetError, OptionError
from winnow.store import results
from winnow.training import precision

SOURCES = [{"path": "conf", "provider": "main"}, {"path": "mine", "provider": "command-line"}]
WARNED = ["hydra.sweep.dir=x", "hydra/launcher=pool", "hydra.mode=MULTIRUN", "hydra.verbose=1"]
HYDRA = {"runtime": {"config_sources": SOURCES}, "overrides": {"hydra": WARNED}, "job": {"config_name": "config"}}


def _compose(cell: Cell) -> DictConfig:
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("config", overrides=[*TINY, *cell.overrides])


def _cell(tmp_path: Path, *overrides: str, number: int = 0) -> Cell:
    return Cell(number, " ".join(overrides), list(overrides), tmp_path / "it's a, sweep" / str(number))


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoolJobs:
    monkeypatch.chdir(tmp_path)
    return PoolJobs(
        OmegaConf.create({"hydra": HYDRA}), _compose, tmp_path / "it's a, sweep", Slots(["", ""], 1, cores=2)
    )


def test_a_cell_comes_after_what_it_shares_and_each_is_a_single_run(jobs: PoolJobs, tmp_path: Path) -> None:
    *probes, scores, cell = jobs.plan(_cell(tmp_path, "selector=threshold", "compression.r=0.3"))
    assert [job.title for job in probes] == ["probe 1 of 2", "probe 2 of 2"]
    assert scores.after == {job.key for job in probes}
    assert cell.after == {*scores.after, scores.key}
    assert cell.key is None
    called = cell.command
    assert [word for word in called if "hydra" in word] == [
        "hydra.verbose=1", "hydra.sweeper.params=null",
        f"hydra.sweep.dir='{tmp_path}/it\\'s a, sweep'", f"hydra.run.dir='{tmp_path}/it\\'s a, sweep/0'",
    ]  # fmt: skip
    assert {"--config-dir=mine", "--config-name=config", "compression.r=0.3"} <= set(called)
    assert "only=probe:1" in probes[1].command
    assert probes[1].folder.parent == tmp_path / "it's a, sweep" / "shared"


def test_probes_of_another_recipe_are_others(jobs: PoolJobs, tmp_path: Path) -> None:
    rates = [jobs.plan(_cell(tmp_path, f"probe.recipe.lr={lr}")) for lr in (0.1, 0.2)]
    own = jobs.plan(_cell(tmp_path, "recipe.lr=0.1"))
    keys = [[job.key for job in each if job.title.startswith("probe ")] for each in (*rates, own)]
    assert keys[2] == keys[0]
    assert not {*keys[0]} & {*keys[1]}


def test_rules_that_keep_the_same_examples_are_one_model(jobs: PoolJobs, tmp_path: Path) -> None:
    (random,) = jobs.plan(_cell(tmp_path, "selector=random", "compression.r=1"))
    hardest = jobs.plan(_cell(tmp_path, "selector=threshold", "compression.r=1"))[-1]
    other = jobs.plan(_cell(tmp_path, "selector=random", "compression.r=1", "seed=1"))[-1]
    assert len(random.exclusive()) == 2
    assert len(random.exclusive() & hardest.exclusive()) == 1
    assert not random.exclusive() & other.exclusive()
    drawn = [
        jobs.plan(_cell(tmp_path, "selector=random", "compression.r=0.5", more))[-1].exclusive()
        for more in ("metric=el2n", "metric=aum", "selection_seed=1")
    ]
    assert drawn[0] == drawn[1]  # no rule reads the metric: one row
    assert not drawn[0] & drawn[2]


def test_a_cell_that_cannot_be_run_needs_no_process(jobs: PoolJobs, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="must be in"):
        jobs.plan(_cell(tmp_path, "compression.r=1.5"))
    with pytest.raises(OptionError, match="the launcher has 2 devices"):
        jobs.plan(_cell(tmp_path, "trainer.devices=3"))
    assert {job.devices for job in jobs.plan(_cell(tmp_path, "trainer.devices=2"))} == {2}


def test_a_finished_cell_needs_none_and_its_row_is_not_touched(
    jobs: PoolJobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = _cell(tmp_path, "selector=random", "compression.r=0.3")
    assert run_script("run.py", *TINY, *cell.overrides, "hydra.run.dir=elsewhere", capsys=capsys).code == 0
    cell.folder.mkdir(parents=True)
    (cell.folder / results.FAILURE).write_text("of an earlier run\n")
    assert jobs.plan(cell) == []
    assert results.load_row(cell.folder) == results.load_row("elsewhere")
    assert results.failure_message(cell.folder) is None
    written = (cell.folder / results.ROW).stat().st_mtime_ns
    assert jobs.plan(cell) == []
    assert (cell.folder / results.ROW).stat().st_mtime_ns == written


def _ended(tmp_path: Path, *, finished: bool, log: str = "") -> Job:
    (tmp_path / results.LOG).write_text(log)
    return Job(title="a", command=[], folder=tmp_path, is_finished=lambda: finished)


@pytest.mark.parametrize(
    ("code", "finished", "ending", "outcome", "said"),
    [
        (0, True, False, DONE, None),
        (0, False, False, FAILED, "exit code 0 without a result"),
        (3, False, False, FAILED, "exit code 3"),
        (-signal.SIGKILL, False, False, FAILED, "killed by SIGKILL; memory may have run out"),
        (-signal.SIGSEGV, True, False, FAILED, "killed by SIGSEGV"),
        (75, False, False, INTERRUPTED, None),
        (130, False, False, INTERRUPTED, None),
        (-signal.SIGTERM, False, False, INTERRUPTED, None),
        (-signal.SIGKILL, False, True, INTERRUPTED, None),
        (-signal.SIGTERM, True, True, DONE, None),
    ],
)
def test_how_a_process_ended(
    jobs: PoolJobs, tmp_path: Path, code: int, finished: bool, ending: bool, outcome: str, said: str | None
) -> None:
    jobs.ending = ending
    judged, reason = jobs.judge(_ended(tmp_path, finished=finished, log="step 1\nstep 2\n"), code)
    assert judged == outcome
    if said is None:
        assert reason is None
        assert results.failure_message(tmp_path) is None
    else:
        assert reason is not None
        assert reason.startswith("ChildProcessError: ")
        assert said in reason
        assert (tmp_path / results.FAILURE).read_text() == f"step 1\nstep 2\n{reason}\n"


def test_what_a_process_said_itself_stays(jobs: PoolJobs, tmp_path: Path) -> None:
    results.save_failure(tmp_path, "Traceback\nDivergedError: lower recipe.lr.")
    assert jobs.judge(_ended(tmp_path, finished=False), 1) == (FAILED, "DivergedError: lower recipe.lr.")


def test_a_cell_names_the_shared_stage_that_failed(jobs: PoolJobs, tmp_path: Path) -> None:
    stage = Job(title="probe 1 of 2", command=[], folder=tmp_path / "shared" / "probe-1", key="probe-1")
    cell = Job(title="a", command=[], folder=tmp_path / "0")
    jobs.settle(Ended(job=cell, outcome=FAILED, reason="DivergedError: lower recipe.lr.", blamed=stage))
    assert results.failure_message(cell.folder) == "DivergedError: lower recipe.lr. (probe 1 of 2)"
    assert str(stage.folder) in (cell.folder / results.FAILURE).read_text()


@pytest.mark.parametrize("script", ["score.py", "select.py"])
def test_other_scripts_are_refused_in_one_line(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script(script, "-m", *TINY, "metric=el2n,aum", "hydra/launcher=pool", capsys=capsys)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "hydra/launcher=pool runs the cells of scripts/run.py" in ended.err


def test_a_slow_precision_is_told_by_the_launcher_and_not_by_each_job(
    jobs: PoolJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: False)
    monkeypatch.setattr(precision, "slowdown", lambda kind: 7.4)
    monkeypatch.delenv(precision.WARNED, raising=False)
    for seed in (0, 1):
        jobs.plan(_cell(tmp_path, "selector=random", f"seed={seed}", "recipe.precision=bfloat16", "trainer=cpu"))
    assert [record.message for record in caplog.records if "takes 7.4 times" in record.message] == [
        precision.slow_choice(["bfloat16"])
    ]
    assert precision.WARNED in os.environ  # which jobs inherit
