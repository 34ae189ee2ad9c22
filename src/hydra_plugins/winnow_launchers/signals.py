"""Signals to a launcher: the first ends the sweep, a second one ends the waiting for its children."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from winnow.core.errors import REQUEUE, STOPPED, Interrupted
from winnow.parallel.interruption import SIGNALS


class Signals:
    """Within it the first signal raises Interrupted, STOPPED for Ctrl-C and REQUEUE for others; more are counted."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.holding = self.raised = False

    def __enter__(self) -> "Signals":
        self.before: dict[int, Any] = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    @property
    def asked_again(self) -> bool:
        """Whether a Ctrl-C came after the first signal."""
        return signal.SIGINT in self.received[1:]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this a signal waits until the end, so that no process is started and then forgotten."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False
        if self.received:
            self._raise_once()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if not self.holding:
            self._raise_once()

    def _raise_once(self) -> None:
        if self.raised:
            return
        self.raised = True
        raise Interrupted(STOPPED if self.received[0] == signal.SIGINT else REQUEUE)
