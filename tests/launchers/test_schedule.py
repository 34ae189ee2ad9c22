"""The order in which the pool runs its jobs, with processes that end when the test says so."""

from pathlib import Path
from typing import Any

import pytest

from hydra_plugins.winnow_launchers import schedule as schedule_file
from hydra_plugins.winnow_launchers.schedule import CACHED, DONE, FAILED, INTERRUPTED, Job, Schedule
from hydra_plugins.winnow_launchers.slots import Slots, Taken


class Process:
    code: int | None = None

    def poll(self) -> int | None:
        return self.code


class Pool:
    """A schedule whose jobs are named by their titles."""

    def __init__(self, slots: Slots) -> None:
        self.processes: dict[str, Process] = {}
        self.taken: dict[str, Taken] = {}
        self.schedule = Schedule(slots, spawn=self._spawn, judge=self._judge)  # type: ignore[arg-type]

    def _spawn(self, job: Job, taken: Taken) -> Process:
        assert job.title not in self.processes, "started twice"
        self.taken[job.title] = taken
        return self.processes.setdefault(job.title, Process())

    def _judge(self, job: Job, code: int) -> tuple[str, str | None]:
        return {0: (DONE, None), 1: (FAILED, f"Broken: {job.title}"), 75: (INTERRUPTED, None)}[code]

    def step(self, **codes: int) -> list[tuple[str, str]]:
        for title, code in codes.items():
            self.processes[title].code = code
        return [(ended.job.title, ended.outcome) for ended in self.schedule.step()]

    @property
    def running(self) -> list[str]:
        return [each.job.title for each in self.schedule.running]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(schedule_file, "end", lambda processes, grace, **_: None)
    return Pool(Slots(["", ""], 1, cores=2))


def cell(title: str, *after: str, **given: Any) -> Job:
    return Job(title=title, command=[], folder=Path(title), after=frozenset(after), **given)


def stage(title: str, *after: str, **given: Any) -> Job:
    return cell(title, *after, key=title, **given)


def test_a_cell_begins_when_its_own_stages_are_made_and_stages_go_first(pool: Pool) -> None:
    pool.schedule.add([stage("p0"), stage("p1"), stage("scores", "p0", "p1"), cell("a", "p0", "p1", "scores")])
    pool.schedule.add([stage("p0"), cell("b", "p0"), cell("c")])  # p0 is the same one
    assert pool.step() == []
    assert pool.running == ["p0", "p1"]
    assert pool.step(p0=0) == [("p0", DONE)]
    assert pool.running == ["p1", "b"]
    assert pool.step(p1=0) == [("p1", DONE)]
    assert pool.running == ["b", "scores"]
    assert pool.step(b=0) == [("b", DONE)]
    assert pool.running == ["scores", "c"]
    assert pool.step(scores=0, c=0) == [("scores", DONE), ("c", DONE)]
    assert pool.running == ["a"]
    assert pool.step(a=0) == [("a", DONE)]
    assert not pool.schedule.waiting


def test_a_failed_stage_fails_the_cells_that_need_it_and_no_others(pool: Pool) -> None:
    pool.schedule.add([stage("p0"), stage("scores", "p0"), cell("a", "p0", "scores"), cell("b")])
    pool.step()
    pool.processes["p0"].code = 1
    ended = pool.schedule.step()
    assert [(each.job.title, each.outcome) for each in ended] == [("p0", FAILED), ("scores", FAILED), ("a", FAILED)]
    assert {each.reason for each in ended} == {"Broken: p0"}
    assert [each.blamed and each.blamed.title for each in ended] == [None, "p0", "p0"]
    pool.schedule.add([stage("p0"), cell("late", "p0")])
    assert pool.step() == [("late", FAILED)]
    assert pool.running == ["b"]


def test_an_interrupted_stage_is_no_failure_of_what_needs_it(pool: Pool) -> None:
    pool.schedule.add([stage("p0"), stage("p1"), cell("a", "p0"), cell("b", "p0", "p1")])
    pool.step()
    assert pool.step(p0=75, p1=1) == [("p0", INTERRUPTED), ("p1", FAILED), ("a", INTERRUPTED), ("b", FAILED)]


def test_cells_of_the_same_model_take_turns_and_others_pass(pool: Pool) -> None:
    same = {"exclusive": lambda: frozenset({"model"})}
    found = {"b": False}
    pool.schedule.add(
        [cell("a", **same), cell("b", **same, is_finished=lambda: found["b"]), cell("c", **same), cell("d")]
    )
    pool.step()
    assert pool.running == ["a", "d"]
    pool.step(d=0)
    assert pool.running == ["a"]
    found["b"] = True  # a made the row of b as well
    assert pool.step(a=0) == [("a", DONE), ("b", CACHED)]
    assert pool.running == ["c"]


def test_a_job_of_two_devices_is_not_passed_over(pool: Pool) -> None:
    pool.schedule.add([cell("a"), cell("wide", devices=2), cell("c")])
    pool.step()
    assert pool.running == ["a"]
    pool.step(a=0)
    assert pool.taken["wide"] == (0, 1)
    assert pool.running == ["wide"]
    pool.step(wide=0)
    assert pool.running == ["c"]


def test_what_a_job_cost_is_its_slots_times_its_seconds(pool: Pool) -> None:
    pool.schedule.add([cell("wide", devices=2)])
    pool.step()
    (running,) = pool.schedule.running
    running.started -= 100
    pool.processes["wide"].code = 0
    (ended,) = pool.schedule.step()
    assert 200 <= ended.cost < 300
