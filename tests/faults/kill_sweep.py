"""Kill a sweep's launcher at random moments, run the same command again, and compare with an undisturbed sweep.

    OMP_NUM_THREADS=1 python tests/faults/kill_sweep.py --moments 10

Twelve cells that share one probe run, in two slots. After each SIGKILL every process of the sweep must be gone; after
the second run the grid must equal the undisturbed one's in every column that tells no times, rows that were there must
have kept their modification times, the probe must have been trained once, and the store must be whole.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.scripts import finished_artifacts
from helpers.sweeps import Sweep, wait_until

CELLS = ["selector=random,threshold", "compression.r=0.3,0.5,1", "seed=0,1"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a sweep at random moments and run it again.")
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Sweep(Path(folder) / "undisturbed", CELLS)
        started = time.monotonic()
        assert undisturbed.start_cold().wait() == 0, undisturbed.printed.read_text()
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        for number in range(arguments.moments):
            moment = moments.uniform(0, seconds)
            sweep = Sweep(Path(folder) / f"killed-{number}", CELLS)
            there = kill_and_resume(sweep, undisturbed.grid(), lambda moment=moment: time.sleep(moment))
            print(f"killed after {moment:.1f} s with {there} of 12 rows there: equal after the second run", flush=True)


def kill_and_resume(sweep: Sweep, expected: pd.DataFrame, wait: Callable[[], None]) -> int:
    """The number of rows that were there when the launcher was killed; AssertionError where anything differs.

    wait: from when it starts until it is killed.
    """
    launcher = sweep.start_cold()
    wait()
    launcher.kill()
    launcher.wait()
    wait_until(lambda: not sweep.jobs(), 20)
    rows = sweep.rows()
    sweep.check_store()
    assert sweep.start_cold().wait() == 0, sweep.printed.read_text()
    pd.testing.assert_frame_equal(sweep.grid(), expected)
    after = sweep.rows()
    assert {path: after[path] for path in rows} == rows, "a finished cell was touched"
    assert len(finished_artifacts(sweep.artifacts, "probe")) == 1
    sweep.check_store()
    return len(rows)


if __name__ == "__main__":
    main()
