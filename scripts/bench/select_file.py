"""How long `winnow select-file` takes, and how much memory, from Parquet to Parquet.

    python scripts/bench/select_file.py [--sizes 10000000 30000000 100000000] [--r 0.3] [--rules random calibrated]
        [--overrides selector.balance=exact] [--at FOLDER]

Made-up scores, float32 and exponential, with an int64 index and a label of 1,000 classes, in ten shards with row groups
of 2^20 lines, in FOLDER or where temporary files go: about 1.2 GB for 10^8 examples, just written, so that the disk
enters only where memory is short. Rules are the yamls of conf/selector that go by scores alone. Each is the command
itself in a process of its own, start and imports included. One JSON line each: wall-clock and processor seconds, and in
MB the most memory that the process held (maximum resident set).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from winnow.cli.configuration import CONF, options
from winnow.core.machine import processor_name

CLASSES, SHARDS, ROWS = 1000, 10, 2**20


def rules_by_score() -> list[str]:
    """The yamls of conf/selector that read nothing but scores."""
    with initialize_config_dir(CONF, version_base="1.3"):
        return [name for name in options("selector") if not instantiate(compose(f"selector/{name}").selector).needs]


def write_scores(folder: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    for number, start in enumerate(range(0, n, -(-n // SHARDS))):
        writer = None
        for first in range(start, end := min(n, start + -(-n // SHARDS)), ROWS):
            index = np.arange(first, min(end, first + ROWS))
            scores, labels = (
                rng.standard_exponential(index.size, dtype=np.float32),
                rng.integers(0, CLASSES, index.size),
            )
            table = pa.table({"index": index, "score": scores, "label": labels.astype(np.int16)})
            writer = writer or pq.ParquetWriter(folder / f"scores-{number}.parquet", table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()


def measure(rule: str, scores: Path, n: int, r: float, overrides: list[str]) -> dict[str, Any]:
    kept = scores / "kept" / "subset.parquet"
    kept.parent.mkdir(exist_ok=True)
    kept.unlink(missing_ok=True)
    asked = [f"scores={scores}", f"to={kept}", "label=label" if "balance" in str(overrides) else "label=null"]
    asked += [f"selector={rule}", f"compression.r={r}", "alpha.value=0.5", *overrides]
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "winnow", "select-file", *asked], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    if status:
        sys.exit(f"{rule} failed")
    return {
        "benchmark": "select_file",
        "rule": " ".join([rule, *overrides]),
        "n": n,
        "r": r,
        "device": processor_name(),
        "seconds": round(wall, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**7, 3 * 10**7, 10**8])
    parser.add_argument("--r", type=float, default=0.3)
    parser.add_argument("--rules", nargs="+", help="names of yamls; all, if not given")
    parser.add_argument("--overrides", nargs="+", default=[], help="for all of them, such as selector.balance=exact")
    parser.add_argument("--at", help="an existing folder with room")
    asked = parser.parse_args()
    for n in asked.sizes:
        with tempfile.TemporaryDirectory(dir=asked.at) as folder:
            write_scores(Path(folder), n)
            for rule in asked.rules or rules_by_score():
                print(json.dumps(measure(rule, Path(folder), n, asked.r, asked.overrides)), flush=True)


if __name__ == "__main__":
    main()
