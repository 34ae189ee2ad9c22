"""How much memory ssp's k-means takes on embeddings that lie in a file: is 1.3 M × 2,048 within 4 GB?

    python scripts/bench/ssp.py [--n 1300000] [--d 2048] [--k 1000] [--iterations 25] [--restarts 5] [--at DIR]

Makes a .npy of n × d normal float32 numbers about k centres in a temporary folder (of --at, which needs 4 n d bytes),
and scores it as embedding=npy gives it. One JSON line. anonymous_gb: the peak, over samples 20 ms apart, of the
process's resident memory without the pages of mapped files (RssAnon of Linux), which is what must fit; resident_gb:
the peak with them, which the system takes back when it needs to. before_gb: anonymous memory before, of the libraries.
"""

import argparse
import json
import re
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from winnow.core.machine import device_name
from winnow.core.types import Evidence
from winnow.metrics.ssp import SSP

ROWS_IN_BLOCK = 16_384


def resident_gb(kind: str) -> float:
    """RssAnon, VmRSS or VmHWM of this process."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text(), flags=re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e9


class Watch(threading.Thread):
    """Samples anonymous memory until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._end = 0.0, threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.02):
            self.peak = max(self.peak, resident_gb("RssAnon"))

    def stop(self) -> float:
        self._end.set()
        self.join()
        return self.peak


def make(path: Path, n: int, d: int, k: int) -> None:
    """Fill the file by blocks."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((k, d), dtype=np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, d))
    for start in range(0, n, ROWS_IN_BLOCK):
        rows = out[start : start + ROWS_IN_BLOCK]
        rows[:] = centres[rng.integers(0, k, len(rows))] + rng.standard_normal(rows.shape, dtype=np.float32)
    out.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1_300_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--at", help="where the temporary folder is made")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.at) as folder:
        path = Path(folder) / "embeddings.npy"
        make(path, asked.n, asked.d, asked.k)
        embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
        evidence = Evidence(dataset="made-up", labels=np.zeros(asked.n, dtype=np.int64), embeddings=embeddings)
        metric = SSP(k=asked.k, iterations=asked.iterations, restarts=asked.restarts)
        before, started, watch = resident_gb("RssAnon"), time.perf_counter(), Watch()
        watch.start()
        metric(evidence)
        line = {
            "benchmark": "ssp",
            "n": asked.n,
            "d": asked.d,
            "k": asked.k,
            "iterations": asked.iterations,
            "restarts": asked.restarts,
            "device": device_name("cpu"),
            "file_gb": round(path.stat().st_size / 1e9, 3),
            "before_gb": round(before, 3),
            "anonymous_gb": round(watch.stop(), 3),
            "resident_gb": round(resident_gb("VmHWM"), 3),
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
