"""Which job of a sweep runs when: shared stages before the cells that need them, each in a free slot."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hydra_plugins.winnow_launchers.slots import Slots, Taken
from winnow.parallel.processes import Child, end

DONE, CACHED, FAILED, INTERRUPTED = "done", "cached", "failed", "interrupted"


@dataclass(kw_only=True, eq=False)
class Job:
    """One process to come. key: of the shared stage that it makes, None for a cell.

    after: the keys of the shared stages that must be finished first. devices: how many it takes. exclusive: names that
    no two running jobs share, asked for when the job could start. is_finished: whether nothing is left to do, asked
    just before it starts.
    """

    title: str
    command: list[str]
    folder: Path
    devices: int = 1
    key: str | None = None
    after: frozenset[str] = frozenset()
    exclusive: Callable[[], frozenset[str]] = frozenset
    is_finished: Callable[[], bool] = lambda: False


@dataclass(kw_only=True, eq=False)
class Running:
    job: Job
    process: Child
    taken: Taken
    names: frozenset[str]
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended, and why it failed. blamed: the shared stage that it needed, where that is what failed.

    cost: slots times seconds.
    """

    job: Job
    outcome: str
    reason: str | None = None
    blamed: Job | None = None
    cost: float = 0.0


class Schedule:
    """Starts jobs in the order in which they were added, shared stages first, and sees them end.

    spawn: starts the process of a job on what was taken. judge: how it ended, by its exit code: DONE, FAILED or
    INTERRUPTED, and why.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        spawn: Callable[[Job, Taken], Child],
        judge: Callable[[Job, int], tuple[str, str | None]],
    ) -> None:
        self.slots, self.spawn, self.judge = slots, spawn, judge
        self.waiting: list[Job] = []
        self.running: list[Running] = []
        self.keys: set[str] = set()  # of every shared stage that was added
        self.made: dict[str, Ended] = {}  # by key

    def add(self, jobs: Iterable[Job]) -> None:
        """Add jobs; a shared stage that was added before, for another cell, is left out."""
        for job in jobs:
            if job.key is None:
                self.waiting.append(job)
            elif job.key not in self.keys:
                self.waiting.append(job)
                self.keys.add(job.key)
        self.waiting.sort(key=lambda job: job.key is None)  # stable

    def step(self) -> list[Ended]:
        """See which jobs have ended, and start what can start."""
        ended = self._reap() + self._give_up()
        for job in list(self.waiting):
            if not any(self.slots.free):
                break  # before anything is asked that takes time
            if not all(key in self.made for key in job.after):
                continue
            names = job.exclusive()
            if any(names & other.names for other in self.running):
                continue
            if job.is_finished():
                self.waiting.remove(job)
                ended.append(self._end(Ended(job=job, outcome=CACHED)))
                continue
            taken = self.slots.take(job.devices)
            if taken is None:
                break  # a job of many devices is not passed over by small ones, or it would never start
            self.waiting.remove(job)
            started = Running(job=job, process=self.spawn(job, taken), taken=taken, names=names)
            self.running = [*self.running, started]  # a new list: the display reads it from a thread of its own
        return ended

    def end(self, grace: float, hurry: Callable[[], bool]) -> list[Ended]:
        """End every running job."""
        end([running.process for running in self.running], grace, hurry=hurry)
        return self._reap()

    def _reap(self) -> list[Ended]:
        ended = []
        for running in list(self.running):
            code = running.process.poll()
            if code is None:
                continue
            end([running.process], 0)  # what is left of its group, so that the slot is free
            self.running = [other for other in self.running if other is not running]
            self.slots.give(running.taken)
            outcome, reason = self.judge(running.job, code)
            cost = running.seconds * len(running.taken)
            ended.append(self._end(Ended(job=running.job, outcome=outcome, reason=reason, cost=cost)))
        return ended

    def _give_up(self) -> list[Ended]:
        """The jobs that need what could not be made, which then cannot be made either."""
        ended = []
        for job in list(self.waiting):
            made = [self.made[key] for key in sorted(job.after) if key in self.made]
            for outcome in (FAILED, INTERRUPTED):
                bad = next((stage for stage in made if stage.outcome == outcome), None)
                if bad is not None:
                    self.waiting.remove(job)
                    blamed = bad.blamed or bad.job
                    ended.append(self._end(Ended(job=job, outcome=outcome, reason=bad.reason, blamed=blamed)))
                    break
        return ended

    def _end(self, ended: Ended) -> Ended:
        if ended.job.key is not None:
            self.made[ended.job.key] = ended
        return ended
