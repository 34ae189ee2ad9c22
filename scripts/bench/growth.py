"""How each stage's time and memory grow with the data: n examples, 2n, 4n and 8n.

    OMP_NUM_THREADS=1 python scripts/bench/growth.py [--stages probe select] [--rounds 3] [--out TABLE.csv]

Stages: probe trains one small network for two epochs on synthetic images, records and evaluates it (8,000 n); score is
aum with its standard errors by two recorded runs of 50 epochs, in files (200,000 n); select is exact calibration at
r = 0.3 (1,000,000 n); collect is the report of a sweep, from row.json to table and figure (500 rows n). Each size is a
process of its own, in which a small one warms up, and rounds go over all sizes in turn. One JSON line each: processor
seconds and the peak MB of the process's own memory above what it held before there were inputs, which count too unless
they are mapped files (as in scoring.py; Linux with glibc). Then the exponent b of each stage's a·n^b with its 95%
interval, by least squares on logarithms; figure=growth draws TABLE.csv.
"""

import argparse
import ctypes
import gc
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scoring import anonymous_mb, cost_of, read_runs, write_runs

from winnow.core.machine import device_name
from winnow.scaling.growth import growth_exponents

MULTIPLES = (1, 2, 4, 8)
WARM, EPOCHS, RULES, FRACTIONS = 0.1, 50, 5, (0.1, 0.2, 0.4, 0.7, 1.0)


def probe(folder: Path, n: int) -> Callable[[], object]:
    import winnow
    from winnow.datasets.synthetic import Synthetic
    from winnow.models.smallconv import SmallConv
    from winnow.training.devices import TrainerSpec

    store = winnow.ArtifactStore(folder)
    dataset = winnow.pipeline.load_dataset(Synthetic(n=n, n_test=100), store=store)
    recipe = winnow.Recipe(epochs=2, batch_size=128, lr=0.1)
    spec = winnow.Probe(model=SmallConv(width=8), recipe=recipe, members=1, epochs=2, evaluate_at=(2,))
    needs = frozenset({"trajectories", "logits"})
    trainer = TrainerSpec(accelerator="cpu")
    return lambda: winnow.pipeline.probe_dataset(dataset, probe=spec, needs=needs, store=store, trainer=trainer)


def score(folder: Path, n: int) -> Callable[[], object]:
    from winnow.core.types import Evidence, Trajectory
    from winnow.metrics.aum import AUM

    write_runs(folder, 2, EPOCHS, n)
    labels = np.random.default_rng(1).integers(0, 10, n)

    def aum() -> object:
        return AUM()(Evidence(dataset="made-up", labels=labels, trajectories=Trajectory.stack(read_runs(folder))))

    return aum


def select(folder: Path, n: int) -> Callable[[], object]:
    from winnow.selectors.calibrated import Calibrated

    scores, labels = np.random.default_rng(0).exponential(size=n), np.zeros(n, dtype=np.int8)
    return lambda: Calibrated().select(scores, labels, r=0.3, alpha=0.5, seed=0)


def collect(folder: Path, n: int) -> Callable[[], object]:
    from dataclasses import asdict, fields

    from rich.console import Console

    from winnow.core.types import Row
    from winnow.reports.sweep import report
    from winnow.store.results import ROW

    draws = np.random.default_rng(0)
    made_up = {field.name: "none" if "str" in str(field.type) else 1 for field in fields(Row)}
    for cell in range(n):
        rule, at, seed = cell % RULES, cell // RULES % len(FRACTIONS), cell // RULES // len(FRACTIONS)
        kept = round(FRACTIONS[at] * 1000)
        given = {"rule": f"rule{rule} hardest", "r": FRACTIONS[at], "n": 1000, "n_kept": kept, "key": f"cell-{cell}"}
        given |= dict.fromkeys(("probe_seed", "selection_seed", "train_seed"), seed)
        given |= {"test_error": min(1.0, kept**-0.4 * draws.lognormal(0, 0.1)), "worst_class_error": None}
        (folder / str(cell)).mkdir()
        row = Row(**made_up | given)  # type: ignore[arg-type]
        (folder / str(cell) / ROW).write_text(json.dumps(asdict(row)))  # save_row waits for the disk each time
    return lambda: report(folder, Console(file=io.StringIO()))


STAGES = {"probe": (probe, 8_000), "score": (score, 200_000), "select": (select, 1_000_000), "collect": (collect, 500)}


def give_back() -> None:
    """Give the system what was freed, which the allocator keeps and would use for the next thing that is measured."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measure(stage: str, n: int) -> dict[str, object]:
    prepare, unit = STAGES[stage]
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as folder:
        prepare(Path(small), round(WARM * unit))()
        give_back()
        before = anonymous_mb()
        call = prepare(Path(folder), n)
        give_back()  # what making inputs up took beside them
        _, processor, peak = cost_of(call)
    return {
        "benchmark": "growth",
        "stage": stage,
        "n": n,
        "device": device_name("cpu"),
        "processor_seconds": round(processor, 3),
        "peak_mb": round(peak - before, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="a CSV file for what the lines say")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # measure the first stage at this n, here
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.stages[0], asked.one)))
        return
    lines = []
    for stage in asked.stages:
        for _ in range(asked.rounds):
            for multiple in MULTIPLES:
                how = ["--stages", stage, "--one", str(multiple * STAGES[stage][1])]
                done = subprocess.run([sys.executable, __file__, *how], check=True, stdout=subprocess.PIPE, text=True)
                lines.append(json.loads(done.stdout.splitlines()[-1]))
                print(json.dumps(lines[-1]), flush=True)
    table = pd.DataFrame(lines).drop(columns="benchmark")
    for fitted in growth_exponents(table).to_dict("records"):
        print(json.dumps({"benchmark": "growth exponent", **fitted}))
    if asked.out:
        table.to_csv(asked.out, index=False)


if __name__ == "__main__":
    main()
