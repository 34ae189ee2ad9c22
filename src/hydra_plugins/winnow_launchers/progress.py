"""Progress over the cells of a sweep: a bar where someone watches, plain lines where nobody does."""

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 5.0


class CellProgress:
    """Counts cells that are done, cached (finished before) and failed, and estimates the time left.

    The estimate is the mean time of the cells that were not cached, times the cells that are left: cached cells take
    no time, and it cannot be known without looking which of those to come are cached.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.counts = {"done": 0, "cached": 0, "failed": 0}
        self.spent, self.timed, self.last_line = 0.0, 0, 0.0
        self.console = Console(stderr=True)
        self.bar: Progress | None = None
        if self.console.is_terminal:
            bar, state = BarColumn(bar_width=20), TextColumn("{task.description}")
            self.bar = Progress(TextColumn("cells"), bar, MofNCompleteColumn(), state, console=self.console)

    def __enter__(self) -> "CellProgress":
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task(self.state(), total=self.cells)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, title: str) -> None:
        self.started, self.title = time.monotonic(), title
        if self.bar is not None:
            self.bar.update(self.task, description=f"{self.state()} | {title}")

    def end(self, outcome: str) -> None:
        """outcome: "done", "cached" or "failed"."""
        self.count(outcome, self.title, time.monotonic() - self.started)

    def count(self, outcome: str, title: str, seconds: float) -> None:
        """A cell ended after these seconds; 0 for one that was never begun."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if outcome in ("done", "failed") and seconds > 0:
            self.spent += seconds
            self.timed += 1
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=self.state())
        elif self.finished == self.cells or outcome == "failed" or self.is_time():
            self.last_line = time.monotonic()
            print(f"cells {self.finished}/{self.cells}: {self.state()} | {title}: {outcome}", flush=True)

    def is_time(self) -> bool:
        """Whether the last plain line is long enough ago."""
        return time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES

    @property
    def finished(self) -> int:
        return sum(self.counts.values())

    @property
    def seconds_left(self) -> float | None:
        """None before any cell was trained."""
        return self.spent / self.timed * (self.cells - self.finished) if self.timed else None

    def state(self) -> str:
        """The counts and the time left, on one line."""
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return counts if self.seconds_left is None else f"{counts}, {clock(self.seconds_left)} left"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, such as 0:02:05."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
