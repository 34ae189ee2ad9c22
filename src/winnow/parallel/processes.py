"""Operating-system processes that start in a moment, end as groups, and do not outlive their parent.

Importing torch and Lightning takes seconds. So each process is forked from one, the server, that has imported them once
and does nothing else: it holds no device and has no threads that work, which is what makes a fork safe. It is
multiprocessing's forkserver, and ends with the last process that may ask it.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver, reduction, resource_tracker
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import setproctitle
import threadpoolctl

from winnow.parallel import interruption
from winnow.store.writing import writing

PRELOADED = "winnow.cli.preloaded"
ORPHAN_GRACE = 10.0  # seconds in which a process whose parent died may write its checkpoint
THREADS = "OMP_NUM_THREADS"
SHARE = "WINNOW_THREADS_ARE_A_SHARE"  # environment variable: a launcher has said how many threads, not the user


class Child:
    """A process that `spawn` started, with what of subprocess.Popen's is needed of it."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process, self._lock = process, threading.Lock()
        assert process.pid is not None
        self.pid: int = process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, once there is one; None where it still runs after `timeout` seconds."""
        connection.wait([self._process.sentinel], timeout)
        with self._lock:  # several threads may ask, and the server tells it once
            return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """To this process alone; nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def warm_up() -> None:
    """Start the server, so that what it imports is there when the first process is asked for."""
    if forkserver.get_inherited_fds() is not None:
        return  # this process comes from one
    multiprocessing.set_forkserver_preload([PRELOADED])
    # By itself the server starts it first, and that lets SIGINT and SIGTERM through again.
    resource_tracker.ensure_running()
    with interruption.blocked(), _without_main(), _environment({THREADS: "1"}):
        forkserver.ensure_running()


def spawn(
    function: Callable[..., None],
    *arguments: Any,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    title: str,
    group: bool = True,
) -> Child:
    """Call a function of a module in a new process, which ends when this one does.

    group: it leads a session and a process group of its own, which a Ctrl-C in the terminal does not reach and `end`
    ends as one. Without, it ignores the signals of `interruption` until it is told otherwise. log: the file for all
    its output, begun anew; None: where this process's goes. environment: what it has beyond this process's; of both
    together, OMP_NUM_THREADS says how many threads it computes with. title: as process listings show it.

    Raises StoreError where there is no writing the log.
    """
    given = os.environ | dict(environment or {})
    warm_up()
    with open(os.devnull, "rb") as nothing, _opened(log) as file:
        streams = [_Descriptor(each) for each in (nothing.fileno(), file or 1, file or 2)]
        what = (function, arguments, streams, given, list(sys.path), title, group)
        process = multiprocessing.get_context("forkserver").Process(target=_begin, args=what, name=title)
        with _without_main():
            process.start()
    return Child(process)


def run_script(path: str, *arguments: str) -> None:
    """Run a script of Python's in this process, as the interpreter would."""
    sys.argv, sys.path = [path, *arguments], [str(Path(path).parent), *sys.path]
    runpy.run_path(path, run_name="__main__")


def end(processes: Sequence[Child], grace: float, *, hurry: Callable[[], bool] = lambda: False) -> None:
    """End processes that lead groups with them: SIGTERM, `grace` seconds or until `hurry` says so, SIGKILL."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline and not hurry():
        time.sleep(0.05)
    for process in processes:
        signal_group(process, signal.SIGKILL)  # also what is left of the group of a process that ended
        process.wait()


def signal_group(process: Child, number: int) -> None:
    """Send a signal to the group that a process leads; nothing where none of it is left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS denies it for a group of zombies
        os.killpg(process.pid, number)


def _begin(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    streams: list[int],
    environment: Mapping[str, str],
    path: list[str],
    title: str,
    group: bool,
) -> None:
    """In the new process: become what was asked for, and call the function."""
    if group:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    setproctitle.setproctitle(title)  # before the environment changes, beside which it finds what it overwrites
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    _set_threads(int(environment[THREADS]))
    # The server is asked for this process's children too; by itself it would start another.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True, name="watch the parent").start()
    if group:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interruption.SIGNALS)
    else:
        interruption.ignore()
    try:
        function(*arguments)
    finally:
        if sys.version_info < (3, 13):  # from then on multiprocessing does it
            atexit._run_exitfuncs()


class _Descriptor:
    """A file descriptor that reaches the new process as the number that it has there."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _received, (reduction.DupFd(self.number),)


def _received(descriptor: Any) -> int:
    number: int = descriptor.detach()
    return number


@contextmanager
def _opened(log: Path | None) -> Iterator[int | None]:
    if log is None:
        yield None
        return
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("wb")
    with file:
        yield file.fileno()


def _set_threads(threads: int) -> None:
    """Libraries read the environment when they are imported, and the server has told them to take one thread."""
    import torch

    threadpoolctl.threadpool_limits(threads)
    torch.set_num_threads(threads)


def _watch(sentinel: int) -> None:
    """End this process, with the group that it leads, once its parent is gone: SIGTERM, SIGKILL after ORPHAN_GRACE."""
    connection.wait([sentinel])
    own = os.getpid()
    send = os.killpg if os.getpgrp() == own else os.kill
    send(own, signal.SIGTERM)
    time.sleep(ORPHAN_GRACE)
    send(own, signal.SIGKILL)


@contextmanager
def _without_main() -> Iterator[None]:
    """Within this, multiprocessing finds no main module: it would run the user's script again in each new process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
