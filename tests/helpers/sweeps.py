"""Sweeps on the pool in processes of their own, to be disturbed."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from helpers.scripts import SCRIPTS, TINY, finished_artifacts, start_script
from winnow.parallel import processes
from winnow.store import results
from winnow.store.artifacts import ArtifactStore

SHARED = [*TINY, "probe.members=1", "probe.seed=0", "trainer=cpu"]
"""Cells of it share one probe run."""
TWO_SLOTS = ["hydra/launcher=pool", "hydra.launcher.devices=2", "hydra.launcher.grace=20"]


class Sweep:
    """A sweep into `folder`, with a store of its own. cells: the overrides that list them."""

    def __init__(self, folder: Path, cells: Sequence[str], launcher: Sequence[str] = TWO_SLOTS) -> None:
        self.folder, self.artifacts = folder / "sweep", folder / "artifacts"
        self.store = ArtifactStore(self.artifacts)
        self.printed = folder / "printed.txt"
        where = [f"hydra.sweep.dir={self.folder}", f"paths.artifacts={self.artifacts}"]
        self.overrides = ["-m", *SHARED, *cells, *launcher, *where]

    def start(self) -> processes.Child:
        """Of a process that has imported everything, which spares the seconds that it takes."""
        return start_script("run.py", *self.overrides, folder=self.printed.parent, log=self.printed)

    def start_cold(self) -> subprocess.Popen[bytes]:
        """As a user does."""
        self.printed.parent.mkdir(parents=True, exist_ok=True)
        with self.printed.open("wb") as file:
            command = [sys.executable, str(SCRIPTS / "run.py"), *self.overrides]
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=self.printed.parent)

    def jobs(self) -> list[int]:
        """The processes that work for the sweep, launcher included."""
        listed = subprocess.run(["ps", "-Awwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if str(self.folder) in line]

    def rows(self) -> dict[Path, int]:
        """When each row in the folder was written."""
        return {path: path.stat().st_mtime_ns for path in self.folder.glob(f"*/{results.ROW}")}

    def grid(self) -> pd.DataFrame:
        """The grid without the columns that tell times."""
        return pd.read_csv(self.folder / results.GRID).drop(columns="seconds")

    def check_store(self) -> None:
        """Every artifact that looks finished is whole."""
        for path in finished_artifacts(self.artifacts):
            assert self.store.load(path.parent.name, path.name) is not None, path  # type: ignore[arg-type]
        assert not list(self.artifacts.glob("*/*.damaged-*"))


def wait_until(condition: Callable[[], object], seconds: float = 240.0) -> None:
    """Raise AssertionError where it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
