"""How long scoring by training dynamics takes, and how much memory, at the sizes of CIFAR-10 and ImageNet.

    python scripts/bench/scoring.py [--sizes 10x200x50000 1x90x1281167] [--names aum dual beta]

Sizes are probes x epochs x examples. Measured are the metrics of training dynamics (el2n with variant=window), with
their standard errors where they have any, and selectors that read trajectories, each in a process of its own. The
recorded numbers are made up and lie in files, mapped as those of the store are: one of floats a probe, which stands for
each field, and one of `correct`; they were just written, so the disk enters only where memory is short.

One JSON line each: wall-clock and processor seconds from the files to scores (or a subset), and in MB the peak of the
process's anonymous memory (RssAnon, sampled every 2 ms: pages of mapped files, which the system takes back when it
needs them, are not in it) and what of it was there before, of imports. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from winnow.cli.configuration import CONF
from winnow.core.machine import device_name
from winnow.core.types import Evidence, Trajectory
from winnow.metrics.base import Metric

METRICS = ("aum", "dual", "dyn_unc", "el2n", "forgetting", "tdds", "tdds_official", "tdds_dual")
SELECTORS = ("beta", "ccs_aum")
CLASSES = 10


def reader_of(name: str) -> Any:
    """A metric or selector by the name of its yaml; el2n in the variant that reads trajectories."""
    group = "selector" if name in SELECTORS else "metric"
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose(f"{group}/{name}", overrides=[f"{group}.variant=window"] if name == "el2n" else [])
    return instantiate(config[group])


def write_runs(folder: Path, members: int, epochs: int, n: int) -> None:
    rng = np.random.default_rng(0)
    for k in range(members):
        floats = np.lib.format.open_memmap(folder / f"floats_{k}.npy", "w+", np.float32, (epochs, n))
        correct = np.lib.format.open_memmap(folder / f"correct_{k}.npy", "w+", np.int8, (epochs, n))
        for epoch in range(epochs):
            floats[epoch] = rng.random(n, dtype=np.float32)
            correct[epoch] = floats[epoch] > 0.3


def read_runs(folder: Path) -> list[Trajectory]:
    runs = []
    for k in range(len(list(folder.glob("floats_*.npy")))):
        floats, correct = (np.load(folder / f"{kind}_{k}.npy", mmap_mode="r") for kind in ("floats", "correct"))
        runs.append(Trajectory(**dict.fromkeys((f.name for f in fields(Trajectory)), floats) | {"correct": correct}))
    return runs


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / 1e6


def cost_of(call: Callable[[], object]) -> tuple[float, float, float]:
    """(seconds, processor seconds, peak MB) of a call."""
    peak, done = anonymous_mb(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, processor = time.perf_counter(), time.process_time()
    call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    done.set()
    watcher.join()
    return wall, processor, peak


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One metric or selector on the runs in the folder."""
    reader = reader_of(name)
    runs = read_runs(folder)
    epochs, n = runs[0].p_true.shape
    labels = np.random.default_rng(1).integers(0, CLASSES, (n,))
    scores = np.random.default_rng(2).random(n)
    before = anonymous_mb()

    def score() -> object:
        evidence = Evidence(dataset="made-up", labels=labels, trajectories=Trajectory.stack(read_runs(folder)))
        if isinstance(reader, Metric):
            return reader(evidence)
        return reader.select(scores, labels, r=0.3, alpha=0.5, seed=0, evidence=evidence)

    wall, processor, peak = cost_of(score)
    return {
        "benchmark": "scoring",
        "name": name,
        "members": len(runs),
        "epochs": epochs,
        "n": n,
        "device": device_name("cpu"),
        "seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "peak_mb": round(peak),
        "before_mb": round(before),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", default=["10x200x50000", "1x90x1281167"])
    parser.add_argument("--names", nargs="+", choices=METRICS + SELECTORS, help="all, if not given")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # measure this one on the runs in this folder, here
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], Path(asked.one[1]))))
        return
    for size in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_runs(Path(folder), *map(int, size.split("x")))
            for name in asked.names or METRICS + SELECTORS:
                subprocess.run([sys.executable, __file__, "--one", name, folder], check=True)


if __name__ == "__main__":
    main()
