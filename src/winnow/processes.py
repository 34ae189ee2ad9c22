"""Operating-system processes: groups that end as one, and children that do not outlive their parent."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from winnow.writing import writing

PARENT = "WINNOW_PARENT"  # environment variable: the process id of the parent that must not be outlived
SECONDS_BETWEEN_LOOKS = 0.5
ORPHAN_GRACE = 10.0  # seconds in which a process whose parent died may write its checkpoint


def spawn(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command that ends when this process does, if it calls `watch_parent`.

    It leads a session and a process group of its own, which a Ctrl-C in the terminal does not reach and `end` ends as
    one. log: the file for all its output, begun anew.

    Raises StoreError where there is no writing the log.
    """
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("wb")
    with file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | dict(environment or {}) | {PARENT: str(os.getpid())},
        )


def end(
    processes: Sequence[subprocess.Popen[bytes]], grace: float, *, hurry: Callable[[], bool] = lambda: False
) -> None:
    """End processes of `spawn` with their groups: SIGTERM, `grace` seconds or until `hurry` says so, SIGKILL."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline and not hurry():
        time.sleep(0.05)
    for process in processes:
        signal_group(process, signal.SIGKILL)  # also what is left of the group of a process that ended
        process.wait()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the group that a process leads; nothing where none of it is left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS denies it for a group of zombies
        os.killpg(process.pid, number)


def watch_parent() -> bool:
    """End this process with the group that it leads once the parent named in its environment is gone.

    The end is SIGTERM, and SIGKILL after ORPHAN_GRACE. A parent that was gone before the first look counts too.
    Returns whether a parent is named; it is no longer named then, because the next children are not that parent's.
    """
    named = os.environ.pop(PARENT, None)
    if named is None:
        return False
    parent = int(named)
    if os.getppid() != parent:
        _end_self()
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="watch_parent").start()
    return True


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    _end_self()


def _end_self() -> None:
    own = os.getpid()
    send = os.killpg if os.getpgrp() == own else os.kill
    send(own, signal.SIGTERM)
    time.sleep(ORPHAN_GRACE)
    send(own, signal.SIGKILL)
