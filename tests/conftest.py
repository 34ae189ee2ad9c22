"""One thread a test process: the suite runs in as many processes as there are cores, and threads beyond that fight."""

import functools
import importlib.metadata
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

# Whenever Lightning makes a Trainer it looks through all installed packages, a quarter of the time of a tiny training.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)
