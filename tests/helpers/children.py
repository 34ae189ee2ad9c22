"""What the tests of processes call in new ones, which import it: so it stands in a module of its own."""

import atexit
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from winnow.parallel import processes


def says_what_it_is() -> None:
    print(os.environ["COLOUR"], torch.get_num_threads(), os.getcwd(), "pytest" in sys.modules, flush=True)
    print("to the error stream", file=sys.stderr)


def has_a_grandchild(pid: Path, deaf: bool = False) -> None:
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(["sleep", "60"])
    pid.write_text(str(grandchild.pid))
    time.sleep(60)


def has_a_child_of_the_same_kind(pid: Path) -> None:
    child = processes.spawn(has_a_grandchild, pid.with_name("grandchild"), title="the child of a child")
    pid.write_text(str(child.pid))
    time.sleep(60)


def tells_what_a_script_imports(told: Path, script: str, *arguments: str) -> None:
    """Leave in `told` the modules that the script imports beyond those that are there, one a line."""
    before = set(sys.modules)
    try:
        processes.run_script(script, *arguments)
    finally:
        told.write_text("\n".join(sorted(set(sys.modules) - before)))


def fails(what: str) -> None:
    raise ValueError(what)


def leaves(code: int | str) -> None:
    atexit.register(print, "at the exit", flush=True)
    sys.exit(code)
