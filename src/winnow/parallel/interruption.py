"""What signals do to a running command: a training takes its checkpoint first, anything else ends at once.

SIGTERM, SIGUSR1 and SIGUSR2 are how schedulers announce the end of a job, and Ctrl-C how a person does. Only scripts
install the handlers (`handled`); without them nothing here does anything, and a library user's own are left alone.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from winnow.core.errors import REQUEUE, STOPPED, Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]
_before: dict[int, Handler | None] = {}  # by signal; None where there was the default
_deferring = False
_ignoring = False
_pending: int | None = None


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
    originals: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for each, original in originals.items():
        if original is not signal.SIG_IGN:
            own = callable(original) and original is not signal.default_int_handler
            _before[each] = original if own else None
    try:
        reclaim()
        yield
    finally:
        for number in _before:
            signal.signal(number, originals[number])
        _before.clear()


def ignore() -> None:
    """Ignore the signals from now on, also after `reclaim`: for a process that another one, which hears them, leads."""
    global _ignoring
    _ignoring = True
    reclaim()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # those that waited are forgotten


@contextmanager
def listening() -> Iterator[None]:
    """Within this, a process that ignores the signals hears them: it works on its own for a while."""
    global _ignoring
    if not _ignoring:
        yield
        return
    _ignoring = False
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    try:
        with handled():
            yield
    finally:
        ignore()


@contextmanager
def blocked() -> Iterator[None]:
    """Within this the signals wait, and in processes that are started in here until they `ignore` them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reclaim() -> None:
    """Install the handlers once more, after somebody put others over them (Lightning does, at the start of a fit)."""
    if _in_main_thread():
        numbers: Iterable[int] = SIGNALS if _ignoring else _before
        for number in numbers:
            signal.signal(number, signal.SIG_IGN if _ignoring else _receive)


@contextmanager
def deferred() -> Iterator[None]:
    """Within this, a signal waits until `act` is called, at the latest at the end; a second Ctrl-C does not."""
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
        _pending = number


def _answer(number: int, frame: FrameType | None) -> None:
    before = _before[number]
    if before is None:
        raise Interrupted(STOPPED if number == signal.SIGINT else REQUEUE)
    before(number, frame)
