"""Progress of decoding images: a bar where someone watches, a line now and then where nobody does."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
SECONDS_PER_LOG_LINE = 10.0


@contextmanager
def decoding_progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, otherwise a log line now and then; yields what to call after each few images."""
    if sys.stderr.isatty():
        columns = (TextColumn("decoding images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)
        return
    started = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done, now = done + count, time.monotonic()
        if now - last >= SECONDS_PER_LOG_LINE:
            last = now
            left = (now - started) / done * (total - done)
            log.info("decoded %d of %d images, about %.0f s left", done, total, left)

    yield advance
