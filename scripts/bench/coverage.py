"""What do the intervals cover? Simulated grids of known truth, by design and spread of the probes, before and after.

    OMP_NUM_THREADS=1 python scripts/bench/coverage.py

Four rules read probes and are compared with random on the same seeds; no rule differs from it, or for the power the
first by 3 points. A run's error is that of its ensemble (standard deviation 0, 1 or 3 points) and of its seeds (1
point: shared by all ensembles, or drawn for each run); every ensemble is compared with the one run of random of those
seeds (1 point). "after" is `replicates.Design`, as `paired.differences` and `grid.summarise` use it; "before" is what
versions up to d2024d7 did: average the probes of a pair of seeds before Student's test (difference), count rows as
independent (mean). Writes coverage.csv and provenance.json into `--out`.
"""

import argparse
import itertools
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from winnow.scaling.replicates import Design
from winnow.store.artifacts import device_name
from winnow.store.provenance import provenance
from winnow.store.writing import write_atomically

RULES, LEVEL, TRUE = 4, 0.95, 3.0
SPREADS = (0, 1, 3)
Cells = list[tuple[int, int]]
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def own(*seeds: int) -> Cells:
    """Ensembles with so many seeds each, which no other ensemble has."""
    starts = np.cumsum([0, *seeds])
    return [(p, int(starts[p]) + i) for p, count in enumerate(seeds) for i in range(count)]


def crossed(ensembles: int, seeds: int) -> Cells:
    return list(itertools.product(range(ensembles), range(seeds)))


def missing(cells: Cells, share: float) -> Cells:
    kept = np.random.default_rng(0).permutation(len(cells))[int(share * len(cells)) :]
    return [cells[i] for i in sorted(kept)]


DESIGNS: dict[str, Cells] = {
    "1 ensemble x 3 seeds": crossed(1, 3),
    "nested 3x1": own(1, 1, 1),
    "nested 5x1": own(1, 1, 1, 1, 1),
    "nested 10x1": own(*[1] * 10),
    "nested 4x3": own(3, 3, 3, 3),
    "nested 1, 2, 3, 3, 5": own(1, 2, 3, 3, 5),
    "seeds 1, 2, 3, 3, 5 shared": [(p, s) for p, count in enumerate((1, 2, 3, 3, 5)) for s in range(count)],
    "crossed 3x3": crossed(3, 3),
    "crossed 5x5": crossed(5, 5),
    "crossed 3x10": crossed(3, 10),
    "crossed 4x4, a quarter missing": missing(crossed(4, 4), 0.25),
    "crossed 2x3 and nested 1, 2, 2": crossed(2, 3) + [(p + 2, s + 3) for p, s in own(1, 2, 2)],
}


def simulate(cells: Cells, probes: float, reading: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the rules and their differences from random, [count, RULES, N] each, in points."""
    p, s = np.array(cells).T
    draw = np.random.default_rng(seed).standard_normal
    errors = probes * draw((count, RULES, p.max() + 1))[..., p]
    errors += draw((count, RULES, s.max() + 1))[..., s] if reading == "shared" else draw((count, RULES, p.size))
    return errors, errors - draw((count, 1, s.max() + 1))[..., s]


def after(cells: Cells, values: np.ndarray) -> Found:
    p, s = np.array(cells).T
    known = Design(p, s, reads=True)
    se, df = known.spread(values.reshape(-1, p.size))
    return values @ known.weights, se.reshape(values.shape[:2]), df.reshape(values.shape[:2])


def rows_as_independent(_: Cells, values: np.ndarray) -> Found:
    n = values.shape[-1]
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(n), np.full(values.shape[:2], n - 1.0)


def probes_averaged_first(cells: Cells, values: np.ndarray) -> Found:
    seeds = np.array(cells)[:, 1]
    averaged = [values[..., seeds == each].mean(axis=-1) for each in np.unique(seeds)]
    return rows_as_independent(cells, np.stack(averaged, axis=-1))


def measured(cells: Cells, values: np.ndarray, test: Callable[[Cells, np.ndarray], Found]) -> dict[str, float]:
    """Coverage of zero and mean width, tests of one comparison and of any of four that find what is not there; power.

    NaN where the test knows no chance.
    """
    mean, se, df = test(cells, values)
    if np.isnan(se).all():
        return dict.fromkeys(("coverage", "width", "false", "any_false_holm", "power_holm"), np.nan)

    def p_values(means: np.ndarray) -> np.ndarray:
        # seeds that all rules share, and no other chance, leave nothing to test by: no rejection
        return np.where(se > 0, 2 * stdtr(df, -np.abs(means) / np.where(se > 0, se, 1)), 1.0)

    p = p_values(mean)
    real = p_values(mean + TRUE * (np.arange(RULES) == 0))
    reach = stdtrit(df, (1 + LEVEL) / 2) * se
    return {
        "coverage": float(np.mean(np.abs(mean) <= reach)),
        "width": float(np.mean(2 * reach)),
        "false": float(np.mean(p < 1 - LEVEL)),
        "any_false_holm": float(np.mean(p.min(axis=1) * RULES < 1 - LEVEL)),
        "power_holm": float(np.mean(_first_by_holm(real) < 1 - LEVEL)),
    }


def _first_by_holm(p: np.ndarray) -> np.ndarray:
    """The first of each line of p-values after Holm's correction, as `paired.holm` does it for one line."""
    ranked = np.sort(p, axis=1)
    corrected = np.maximum.accumulate(ranked * np.arange(p.shape[1], 0, -1), axis=1)
    return np.take_along_axis(corrected, np.argmax(ranked == p[:, :1], axis=1)[:, None], axis=1)[:, 0]


def coverage(count: int, designs: dict[str, Cells] | None = None, seed: int = 0) -> pd.DataFrame:
    """A line for each quantity, design, spread of the probes and reading of the seeds' spread."""
    lines = []
    for (name, cells), probes, reading in itertools.product((designs or DESIGNS).items(), SPREADS, ("shared", "alone")):
        errors, differences = simulate(cells, probes, reading, count, seed)
        for quantity, values, old in (
            ("difference", differences, probes_averaged_first),
            ("mean", errors, rows_as_independent),
        ):
            line: dict[str, Any] = {"quantity": quantity, "design": name, "probe_spread": probes, "seeds": reading}
            for when, test in (("before", old), ("after", after)):
                line |= {f"{what}_{when}": value for what, value in measured(cells, values, test).items()}
            lines.append(line)
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate what intervals cover, and what tests find.")
    parser.add_argument("--replications", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=Path("outputs/statistics"))
    arguments = parser.parse_args()
    table = coverage(arguments.replications)
    shown = table[table["quantity"] == "difference"].drop(columns="quantity").set_index(["design", "probe_spread"])
    with pd.option_context("display.width", 200, "display.max_columns", 20, "display.max_rows", 200):
        print(shown.round(3).to_string())
    write_atomically(arguments.out / "coverage.csv", table.to_csv(index=False, float_format="%.4f"))
    command = shlex.join(["python", "scripts/bench/coverage.py", *sys.argv[1:]])
    about = {"device": device_name("cpu"), "command": command, "replications": arguments.replications}
    write_atomically(arguments.out / "provenance.json", json.dumps(provenance() | about, indent=1) + "\n")
    print(arguments.out / "coverage.csv")


if __name__ == "__main__":
    main()
