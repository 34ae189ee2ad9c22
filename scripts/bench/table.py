"""How long the table of a paper takes: twelve rules, six fractions, three seeds, 216 trainings and the probes.

    python scripts/bench/table.py data/cifar10 [--jobs 2] [--minutes 10] [OVERRIDE ...]

One sweep of scripts/run.py on the pool, fastnet by recipe=fast, probes of the same with half the epochs. It is ended
after so many minutes. One JSON line: the seconds, how many cells have finished, how long all would take at that rate
where they have not, and the test accuracy where all images are kept.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from winnow.core.machine import device_name
from winnow.store.results import collect

CELLS = {
    "metric": "el2n,aum,forgetting",
    "selector": "threshold,calibrated,ccs,window",
    "compression.r": "0.05,0.1,0.3,0.5,0.7,1.0",
    "seed": "0,1,2",
}
FIXED = ("model=fastnet", "recipe=fast", "probe.seed=0", "probe.epochs=5", "probe.evaluate_at=null")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", help="of dataset=imagefolder")
    parser.add_argument("--jobs", type=int, default=2, help="at once on a device")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("overrides", nargs="*")
    asked = parser.parse_intermixed_args()
    data = ["dataset=imagefolder", f"dataset.root={Path(asked.folder).absolute()}"]
    pool = ["hydra/launcher=pool", f"hydra.launcher.jobs_per_device={asked.jobs}", "hydra.sweep.dir=sweep"]
    cells = [f"{name}={values}" for name, values in CELLS.items()]
    command = [sys.executable, str(Path(__file__).parents[1] / "run.py"), "-m", *data, *FIXED, *cells, *pool]
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        process = subprocess.Popen([*command, *asked.overrides], cwd=folder, stdout=sys.stderr)
        try:
            process.wait(60 * asked.minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
        seconds = time.monotonic() - started
        found = collect(Path(folder) / "sweep")
    finished, whole = len(found.rows), len(found.rows) + len(found.failed) + found.missing
    full = [1 - row.test_error for row in found.rows if row.r == 1]
    result = {
        "benchmark": "table",
        "device": device_name("cuda" if torch.cuda.is_available() else "cpu"),
        "jobs": asked.jobs,
        "seconds": round(seconds),
        "finished": finished,
        "failed": [cell.message for cell in found.failed[:1]],
        "cells": whole,
        "minutes_for_all": round(seconds / 60 * whole / finished, 1) if finished else None,
        "accuracy_of_all_images": round(100 * statistics.mean(full), 2) if full else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
