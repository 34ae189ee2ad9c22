"""Processes that start in a moment, end as one, and do not outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.children import (
    fails,
    has_a_child_of_the_same_kind,
    has_a_grandchild,
    leaves,
    says_what_it_is,
    tells_what_a_script_imports,
)
from helpers.scripts import SCRIPTS, TINY
from winnow.parallel import processes

THREE = {"OMP_NUM_THREADS": "3", "COLOUR": "green"}


def _is_running(process: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _wait(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def _pid(path: Path) -> int:
    assert _wait(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def _spawn(tmp_path: Path, deaf: bool = False) -> tuple[processes.Child, int]:
    pid = tmp_path / "pid"
    child = processes.spawn(has_a_grandchild, pid, deaf, log=tmp_path / "logs" / "output.log", title=f"writes {pid}")
    return child, _pid(pid)


def test_ending_a_process_ends_its_group(tmp_path: Path) -> None:
    child, grandchild = _spawn(tmp_path)
    assert _is_running(grandchild)
    assert child.poll() is None
    processes.end([child], grace=20)
    assert child.poll() == -signal.SIGTERM
    assert _wait(lambda: not _is_running(grandchild))
    processes.end([child], grace=20)  # what has ended stays so
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGTERM


def test_one_that_ignores_the_request_is_killed_after_the_grace(tmp_path: Path) -> None:
    child, grandchild = _spawn(tmp_path, deaf=True)
    processes.end([child], grace=0.2)
    assert child.poll() == -signal.SIGKILL
    assert _wait(lambda: not _is_running(grandchild))

    (tmp_path / "pid").unlink()
    child, _ = _spawn(tmp_path, deaf=True)
    processes.end([child], grace=1000, hurry=lambda: True)
    assert child.poll() == -signal.SIGKILL


def test_a_child_has_its_own_log_environment_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    child = processes.spawn(says_what_it_is, log=tmp_path / "log", environment=THREE, title="says what it is")
    assert child.wait() == 0
    assert sorted((tmp_path / "log").read_text().splitlines()) == [f"green 3 {tmp_path} False", "to the error stream"]


def test_without_a_log_it_writes_where_this_process_does(capfd: pytest.CaptureFixture[str]) -> None:
    assert processes.spawn(says_what_it_is, environment=THREE, title="says what it is").wait() == 0
    said = capfd.readouterr()
    assert said.out.startswith("green 3 ")
    assert said.err == "to the error stream\n"


def test_a_process_listing_shows_the_title(tmp_path: Path) -> None:
    child, _ = _spawn(tmp_path)
    command = ["ps", "-wwo", "args=", "-p", str(child.pid)]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == f"writes {tmp_path}/pid"
    )
    processes.end([child], grace=20)


@pytest.mark.parametrize(("ends", "code", "said"), [
    ((fails, "it broke"), 1, "ValueError: it broke"),
    ((leaves, 75), 75, "at the exit"),
    ((leaves, "the reason"), 1, "the reason"),
])  # fmt: skip
def test_how_it_ends(tmp_path: Path, ends: tuple[Callable[..., None], str | int], code: int, said: str) -> None:
    child = processes.spawn(*ends, log=tmp_path / "log", title="ends")
    assert child.wait(60) == code
    assert said in (tmp_path / "log").read_text()


def test_without_a_group_signals_are_ignored(tmp_path: Path) -> None:
    child = processes.spawn(has_a_grandchild, tmp_path / "pid", title="follows", group=False)
    grandchild = _pid(tmp_path / "pid")
    assert os.getpgid(child.pid) != child.pid
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGTERM)
    assert child.wait(0.3) is None
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    os.kill(grandchild, signal.SIGKILL)


def test_children_and_grandchildren_die_with_a_killed_parent(tmp_path: Path) -> None:
    """Also where a child has children of the same server."""
    parent = processes.spawn(has_a_child_of_the_same_kind, tmp_path / "pid", title="a parent")
    family = [_pid(tmp_path / "pid"), _pid(tmp_path / "grandchild")]
    assert all(map(_is_running, family))
    parent.send_signal(signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    assert _wait(lambda: not any(map(_is_running, family)))


def test_a_script_that_guards_nothing_is_not_run_again(tmp_path: Path) -> None:
    """multiprocessing imports the main module in every new process; a user's script may do its work right there."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import time\nfrom winnow.parallel import processes\nprint('once', flush=True)\n"
        "assert processes.spawn(time.sleep, 0, environment={'OMP_NUM_THREADS': '1'}, title='sleeps').wait() == 0\n"
    )
    child = processes.spawn(processes.run_script, str(script), log=tmp_path / "log", title="a script")
    assert child.wait(60) == 0
    assert (tmp_path / "log").read_text() == "once\n"


def test_a_training_finds_everything_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*TINY, "metric=el2n", "selector=threshold", "compression.r=0.5", "callbacks=forgetting", "logger=csv"]
    command = [tmp_path / "told", str(SCRIPTS / "run.py"), *arguments, "hydra.run.dir=out"]
    child = processes.spawn(tells_what_a_script_imports, *command, log=tmp_path / "log", title="a training")
    assert child.wait() == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "out" / "row.json").exists()
    imported = (tmp_path / "told").read_text().split()
    heavy = {"torch", "pytorch_lightning", "torchvision", "torchmetrics", "winnow"}
    assert [name for name in imported if name.split(".")[0] in heavy] == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="Linux says there which signals a process blocks")
def test_the_server_hears_no_signal_while_it_imports() -> None:
    """A Ctrl-C in the terminal reaches it too, and would end it in the midst of its imports."""
    asks = """
from multiprocessing import forkserver
from winnow.parallel import processes
processes.PRELOADED = "time"
processes.warm_up()
print(open(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read())
"""
    status = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
    (blocked,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk")]
    assert all(blocked >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))
