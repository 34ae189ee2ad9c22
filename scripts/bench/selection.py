"""How long each selector takes, and how much memory, against numpy's argpartition of the same scores.

    python scripts/bench/selection.py [--sizes 100000 1000000 10000000] [--r 0.3] [--rounds 5] [--rules ccs beta]
    python scripts/bench/selection.py --geometric --r 0.01 --rounds 1

Every yaml of conf/selector is a rule; those that read embeddings or features run under --geometric only, on 100,000
examples of 512 dimensions. Scores are normal, labels are of ten classes, trajectories of one epoch of one probe, so
that their mean costs nothing. Each rule and size is a process of its own, in which rule and argpartition run in turn; a
first round is not counted. One JSON line each: medians of wall-clock and of processor seconds (the same where the
machine does nothing else, and libraries have one thread: OMP_NUM_THREADS=1), the ratio of the processor seconds, and
the peak of memory in MB: what numpy allocated during one more call (tracemalloc; the inputs are not in it), and of
geometric rules, which also use faiss, the most that the whole process held, inputs of 200 MB included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from winnow.cli.configuration import CONF, options
from winnow.core.machine import device_name
from winnow.core.types import Evidence, Trajectory
from winnow.selectors.base import Selector

GEOMETRIC_SIZE, DIMENSIONS, CLASSES = 100_000, 512, 10


def selector_of(name: str) -> Selector:
    """The rule that a yaml of conf/selector describes."""
    with initialize_config_dir(CONF, version_base="1.3"):
        selector: Selector = instantiate(compose(f"selector/{name}").selector)
    return selector


def is_geometric(selector: Selector) -> bool:
    return bool(selector.needs & {"embeddings", "features"})


def evidence_of(selector: Selector, labels: np.ndarray, rng: np.random.Generator) -> Evidence:
    """What the rule needs, made up."""
    given: dict[str, Any] = {}
    if "trajectories" in selector.needs:
        p_true = rng.random((1, 1, labels.size), dtype=np.float32)
        fields: dict[str, Any] = dict.fromkeys(Trajectory.__dataclass_fields__, p_true)
        given["trajectories"] = Trajectory(**fields | {"correct": np.ones(p_true.shape, dtype=np.int8)})
    if is_geometric(selector):
        centres = rng.standard_normal((CLASSES, DIMENSIONS), dtype=np.float32)
        embeddings = rng.standard_normal((labels.size, DIMENSIONS), dtype=np.float32)
        embeddings += centres[labels]
        logits = (embeddings @ centres.T)[None] / np.float32(DIMENSIONS**0.5)
        given |= {"embeddings": embeddings, "features": (embeddings,), "logits": {1: logits}}
    return Evidence(dataset="made-up", labels=labels, **{name: given[name] for name in selector.needs})


def seconds_of(call: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(name: str, n: int, r: float, rounds: int) -> dict[str, Any]:
    """One rule at one size."""
    selector, rng = selector_of(name), np.random.default_rng(0)
    scores, labels = rng.normal(size=n), rng.integers(0, CLASSES, n)
    evidence = evidence_of(selector, labels, rng)

    def select() -> object:
        return selector.select(scores, labels, r=r, alpha=0.5, seed=0, evidence=evidence)

    taken: list[tuple[float, float]] = []
    floor: list[float] = []
    for number in range(rounds + 1):
        of_rule = seconds_of(select) if number or not is_geometric(selector) else (0.0, 0.0)
        of_floor = seconds_of(lambda: np.argpartition(scores, n - round(r * n)))
        if number:  # the first round warms up; a geometric rule is too long to need it
            taken.append(of_rule)
            floor.append(of_floor[1])
    if is_geometric(selector):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    else:
        tracemalloc.start()
        select()
        peak = tracemalloc.get_traced_memory()[1]
    wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "benchmark": "selection",
        "rule": name,
        "n": n,
        "r": r,
        "device": device_name("cpu"),
        "rounds": rounds,
        "seconds": round(wall, 4),
        "processor_seconds": round(processor, 4),
        "to_argpartition": round(processor / statistics.median(floor), 1),
        "peak_mb": round(peak / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--r", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rules", nargs="+", help="names of yamls; all, if not given")
    parser.add_argument("--geometric", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # measure this rule at the first size, here
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, asked.sizes[0], asked.r, asked.rounds)))
        return
    names = asked.rules or list(options("selector"))
    for name in names:
        if is_geometric(selector_of(name)) != asked.geometric:
            continue
        for n in [GEOMETRIC_SIZE] if asked.geometric else asked.sizes:
            how = ["--one", name, "--sizes", str(n), "--r", str(asked.r), "--rounds", str(asked.rounds)]
            subprocess.run([sys.executable, __file__, *how], check=True)


if __name__ == "__main__":
    main()
