"""One thread a test process: the suite runs in as many processes as there are cores, and threads beyond that fight."""

import functools
import gc
import importlib.metadata
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

gc.disable()  # while modules are imported, none of which is garbage

# Whenever Lightning makes a Trainer it looks through all installed packages, an eighth of the time of a tiny training.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)


def pytest_collection_finish() -> None:
    """Garbage is not looked for in what was imported, which takes a sixth of the time of tests that compose."""
    gc.collect()
    gc.freeze()
    gc.enable()
