"""What signals do to a running command: a training takes its checkpoint first, anything else ends at once.

SIGTERM, SIGUSR1 and SIGUSR2 are how schedulers announce the end of a job, and Ctrl-C how a person does. Only scripts
install the handlers (`handled`); without them nothing here does anything, and a library user's own are left alone.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from winnow.errors import REQUEUE, STOPPED, Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)

_before: dict[
    signal.Signals, Callable[[int, FrameType | None], Any] | None
] = {}  # by signal; None where there was the default
_deferring = False
_pending: signal.Signals | None = None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def handled() -> Iterator[None]:
    """Within this, the signals raise Interrupted, or wait for the checkpoint of a training (`deferred`).

    A handler that somebody else had installed, such as a launcher's that requeues the job, is called in its place. An
    ignored signal stays ignored. In a thread that is not the main one, and within another `handled`, it does nothing.
    """
    if _before or not _in_main_thread():
        yield
        return
    originals = {number: signal.getsignal(number) for number in SIGNALS}
    for number, original in originals.items():
        if original is not signal.SIG_IGN:
            own = callable(original) and original is not signal.default_int_handler
            _before[number] = original if own else None  # type: ignore[assignment]
    try:
        reclaim()
        yield
    finally:
        for number in _before:
            signal.signal(number, originals[number])
        _before.clear()


def reclaim() -> None:
    """Install the handlers once more, after somebody put others over them (Lightning does, at the start of a fit)."""
    if _in_main_thread():
        for number in _before:
            signal.signal(number, _receive)


@contextmanager
def deferred() -> Iterator[None]:
    """Within this, a signal waits for a call of `act`, or for the end. A Ctrl-C while one waits does not."""
    global _deferring
    if not (_before and _in_main_thread()):
        yield
        return
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
        act()


def pending() -> bool:
    """Whether a signal waits, for this thread to `act` on."""
    return _pending is not None and _in_main_thread()


def act() -> None:
    """Do what the waiting signal asks for, if one waits: raise Interrupted, or call the handler that was there before.

    That handler may return, and then the work goes on.
    """
    global _pending
    if not pending():
        return
    number, _pending = _pending, None
    assert number is not None
    _answer(number, None)


def _receive(number: int, frame: FrameType | None) -> None:
    global _pending
    if not _deferring:
        _answer(number, frame)
    elif _pending is not None and number == signal.SIGINT:
        _pending = None
        raise Interrupted(STOPPED)  # not KeyboardInterrupt: Lightning would turn it into exit code 1
    else:
        _pending = signal.Signals(number)


def _answer(number: int, frame: FrameType | None) -> None:
    before = _before[signal.Signals(number)]
    if before is None:
        raise Interrupted(STOPPED if number == signal.SIGINT else REQUEUE)
    before(number, frame)
