"""Progress of the pool: a bar over cells, one over shared stages, and a line for each job that runs."""

import re
import time
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from hydra_plugins.winnow_launchers.progress import CellProgress, clock
from hydra_plugins.winnow_launchers.schedule import CACHED, DONE, Ended, Schedule

SECONDS_BETWEEN_STATES = 60.0  # of plain lines that tell what runs, where no job ends
TAIL = 4096  # bytes of a log that are looked at
STAMP = re.compile(r"^\[[\d\-]+ [\d:,]+\](\[[\w.]+\])*( - )?")


class PoolProgress(CellProgress):
    """Counts cells and shared stages, and estimates the time left from what jobs of each kind cost and the slots."""

    def __init__(self, cells: int, schedule: Schedule) -> None:
        super().__init__(cells)
        self.schedule = schedule
        self.stages = {DONE: 0, "ended": 0}
        self.stages_spent = 0.0
        self.last_state = time.monotonic()
        self.live: Live | None = None
        if self.console.is_terminal:
            bar, state = BarColumn(bar_width=20), TextColumn("{task.description}", markup=False)
            name = TextColumn("{task.fields[name]}")
            self.bar = Progress(name, bar, MofNCompleteColumn(), state, console=self.console)
            self.live = Live(console=self.console, get_renderable=self.render, refresh_per_second=4)

    def __enter__(self) -> "PoolProgress":
        if self.bar is not None and self.live is not None:
            self.task = self.bar.add_task(self.state(), total=self.cells, name="cells")
            self.stages_task = self.bar.add_task("", total=0, name="shared", visible=False)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def look(self) -> None:
        """Show what is under way: the bar follows by itself, a plain line is printed now and then."""
        if self.bar is not None:
            self.bar.update(self.task, description=self.state())
            total = len(self.schedule.keys)
            self.bar.update(self.stages_task, total=total, completed=self.stages["ended"], visible=total > 0)
        elif time.monotonic() - max(self.last_line, self.last_state) >= SECONDS_BETWEEN_STATES:
            self.last_state = time.monotonic()
            under_way = "; ".join(f"{each.job.title}: {last_line(each.job.folder)}" for each in self.schedule.running)
            print(f"cells {self.finished}/{self.cells}: {self.state()} | running {under_way}", flush=True)

    def ended(self, ended: Ended) -> None:
        if ended.job.key is None:
            self.count(ended.outcome, ended.job.title, ended.cost)
            return
        self.stages["ended"] += 1
        self.stages_spent += ended.cost
        if self.bar is None and (ended.outcome not in (DONE, CACHED) or self.is_time()):
            self.last_line = time.monotonic()
            stages = f"shared {self.stages['ended']}/{len(self.schedule.keys)}"
            print(f"{stages}: {ended.job.title}: {ended.outcome}", flush=True)

    def announce_ending(self, jobs: int) -> None:
        """Say what the wait at the end is for."""
        if jobs:
            self.console.print(f"ending {jobs} running jobs; Ctrl-C ends them at once", highlight=False)

    @property
    def seconds_left(self) -> float | None:
        """None before any cell was trained.

        What runs already counts as far as it has come, at most for the mean of its kind, which it takes to the end.
        """
        if not self.timed:
            return None
        a_cell, a_stage = self.spent / self.timed, self.stages_spent / max(1, self.stages["ended"])
        cells, stages = self.cells - self.finished, len(self.schedule.keys) - self.stages["ended"]
        under_way = sum(
            min(each.seconds * len(each.taken), a_cell if each.job.key is None else a_stage)
            for each in self.schedule.running
        )
        at_once = max(1, min(self.schedule.slots.total, cells + stages))
        return max(0.0, a_cell * cells + a_stage * stages - under_way) / at_once

    def render(self) -> RenderableType:
        assert self.bar is not None
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True, overflow="ellipsis", max_width=max(20, self.console.width // 2))
        lines.add_column(no_wrap=True, justify="right")
        lines.add_column(no_wrap=True, overflow="ellipsis")
        for each in self.schedule.running:
            lines.add_row(Text(each.job.title), clock(each.seconds), Text(last_line(each.job.folder), style="dim"))
        return Group(self.bar, lines)


def last_line(folder: Path) -> str:
    """The last line in the log of a job, without its time stamp."""
    from winnow.store import results

    try:
        with (folder / results.LOG).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    written = [line for line in lines if line.strip()]
    return STAMP.sub("", written[-1]) if written else ""
