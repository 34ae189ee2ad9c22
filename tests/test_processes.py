"""Processes that end as one, and that do not outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from winnow import processes

CHILD = """
import signal, subprocess, sys, time
from pathlib import Path
from winnow import processes
assert processes.watch_parent() == (sys.argv[2] == "watched")
{before}
grandchild = subprocess.Popen(["sleep", "60"])
Path(sys.argv[1]).write_text(str(grandchild.pid))
time.sleep(60)
"""
LAUNCHER = """
import sys, time
from pathlib import Path
from winnow import processes
child = processes.spawn([sys.executable, "-c", sys.argv[1], sys.argv[2], "watched"], log=Path(sys.argv[3]))
print(child.pid, flush=True)
time.sleep(60)
"""


def _is_running(process: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _wait(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def _pid(path: Path) -> int:
    assert _wait(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def _spawn(tmp_path: Path, before: str = "") -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, "-c", CHILD.format(before=before), str(tmp_path / "pid"), "watched"]
    return processes.spawn(command, log=tmp_path / "logs" / "output.log"), _pid(tmp_path / "pid")


def test_ending_a_process_ends_its_group(tmp_path: Path) -> None:
    child, grandchild = _spawn(tmp_path)
    assert _is_running(grandchild)
    processes.end([child], grace=20)
    assert child.returncode == -signal.SIGTERM
    assert _wait(lambda: not _is_running(grandchild))
    processes.end([child], grace=20)  # what has ended stays so


def test_one_that_ignores_the_request_is_killed_after_the_grace(tmp_path: Path) -> None:
    ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child, grandchild = _spawn(tmp_path, ignoring)
    processes.end([child], grace=0.2)
    assert child.returncode == -signal.SIGKILL
    assert _wait(lambda: not _is_running(grandchild))

    (tmp_path / "pid").unlink()
    child, _ = _spawn(tmp_path, ignoring)
    processes.end([child], grace=1000, hurry=lambda: True)
    assert child.returncode == -signal.SIGKILL


def test_what_a_child_prints_is_in_its_log_and_it_knows_its_environment(tmp_path: Path) -> None:
    said = "import os, sys; print(os.environ['COLOUR']); print('to the error stream', file=sys.stderr)"
    child = processes.spawn([sys.executable, "-c", said], log=tmp_path / "log", environment={"COLOUR": "green"})
    assert child.wait() == 0
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["green", "to the error stream"]


def test_children_and_grandchildren_die_with_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAUNCHER, CHILD.format(before=""), str(tmp_path / "pid"), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        child = int(launcher.stdout.readline())
        grandchild = _pid(tmp_path / "pid")
        assert _is_running(child)
        launcher.kill()
    assert _wait(lambda: not _is_running(child) and not _is_running(grandchild))


def test_a_parent_that_was_gone_before_the_first_look_counts(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-c", CHILD.format(before=""), str(tmp_path / "pid"), "watched"]
    child = subprocess.Popen(command, start_new_session=True, env=os.environ | {processes.PARENT: str(gone.pid)})
    assert child.wait(timeout=20) == -signal.SIGTERM
    assert not (tmp_path / "pid").exists()


def test_nothing_is_watched_where_no_parent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(processes.PARENT, raising=False)
    assert not processes.watch_parent()


def test_a_parent_is_named_to_its_own_children_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PARENT, str(os.getppid()))
    monkeypatch.setattr(processes, "_watch", lambda parent: None)
    assert processes.watch_parent()
    assert processes.PARENT not in os.environ
