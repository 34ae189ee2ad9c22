"""What would their code have said? Our calls against what the peers' own functions gave on the same arrays.

    OMP_NUM_THREADS=1 python scripts/bench/conformance.py            # seconds: nothing is trained
    OMP_NUM_THREADS=1 python scripts/bench/conformance.py --digits   # also what the definitions change on real probes

The arrays are those of `--golden`, tests/golden: one line an array and a call, with how far apart they are measured to
be, and beside it what another run of the same training changes by our call. Definitions that differ by less do not
matter. With `--digits` our default is compared with the calls that are theirs, by probes of the digits, as they are and
with a tenth of the labels flipped. Writes conformance.csv, digits.csv and provenance.json into `--out`.
"""

import argparse
import itertools
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from golden_cases import CASES

from golden import Case, Golden, load
from winnow import pipeline
from winnow.core.machine import device_name
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.digits import Digits
from winnow.diagnostics.metric_properties import hardest_overlap, kendall
from winnow.metrics.aum import AUM
from winnow.metrics.base import Metric
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.grand import GraNd
from winnow.metrics.tdds import TDDS
from winnow.metrics.uncertainty import Uncertainty
from winnow.models.smallconv import SmallConv
from winnow.probes.probe import Probe
from winnow.store.artifacts import ArtifactStore
from winnow.store.provenance import provenance
from winnow.store.writing import write_atomically
from winnow.training.recipe import Recipe

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
ROUNDING = 1e-5  # of the largest value: theirs are sums in float32, and one adds 1e-8 inside a logarithm
COLUMNS = [
    *("whose", "array", "ours", "default", "verdict", "max_difference", "kendall_tau_b", "in_common"),
    *("other_run_tau_b", "other_run_in_common", "why", "follows_paper"),
]
THEIRS: list[tuple[Metric, Metric, str]] = [
    (EL2N(), EL2N(variant="window"), "CCS"),
    (Forgetting(), Forgetting(never_learned="inf"), "data_diet"),
    (Forgetting(), Forgetting(never_learned="zero"), "DeepCore, CCS, DUAL"),
    (AUM(), AUM(margin="probability"), "CCS, D2"),
    (TDDS(), TDDS(variant="official"), "TDDS, its code"),
    (TDDS(), TDDS(variant="dual"), "TDDS, DUAL's copy"),
    (GraNd(), GraNd(parameters="last_layer"), "DeepCore, in full batches"),
    (Uncertainty(kind="least_confidence"), Uncertainty(kind="least_confidence", variant="deepcore"), "DeepCore"),
]
LABEL_NOISE = (0.0, 0.1)
PROBES: dict[str, Any] = {"members": 5, "epochs": 12, "evaluate_at": (3,)}


def conformance(golden: Golden) -> pd.DataFrame:
    """One line a case: what is compared, the verdict, the numbers behind it, why, and what follows the paper."""
    lines = pd.DataFrame(
        [
            {"whose": case.whose, "array": case.array, "ours": case.ours, "default": case.default}
            | measured(case, golden)
            | {"why": case.why, "follows_paper": case.paper}
            for case in CASES
        ]
    )
    return lines[COLUMNS]


def measured(case: Case, golden: Golden) -> dict[str, Any]:
    """The verdict, exact (up to rounding), same order, differs or no rule here, and the numbers behind it.

    max_difference; kendall_tau_b; in_common, the share of the kept, or of the hardest tenth, that is the same; and of
    two runs by our call, other_run_tau_b and other_run_in_common.
    """
    if case.pair is None:
        return {"verdict": "no rule here"}
    ours, theirs = case.pair(golden)
    if case.kind == "kept":
        share = np.intersect1d(ours, theirs).size / theirs.size
        return {"verdict": "exact" if share == 1 else "differs", "in_common": share}
    if case.kind == "order":
        same = np.array_equal(ours, theirs)
        return {"verdict": "same order" if same else "differs", "in_common": np.isin(ours, theirs).mean()}
    finite = np.isfinite(theirs)
    apart = float(np.abs(ours[finite] - theirs[finite]).max())
    same = np.array_equal(finite, np.isfinite(ours)) and apart <= ROUNDING * np.abs(theirs[finite]).max()
    found: dict[str, Any] = {"verdict": "exact" if same else "differs", "max_difference": apart}
    if case.kind == "numbers":
        return found
    two = np.stack([ours, theirs])
    found["kendall_tau_b"] = kendall(two)[0, 1]
    if not same:
        found["in_common"] = hardest_overlap(two)[0, 1]
        found["verdict"] = "same order" if found["kendall_tau_b"] > 1 - 1e-12 else "differs"
    if case.metric is not None and "subset_runs" not in case.metric.needs:
        runs = np.stack([case.metric(golden.first).values, case.metric(golden.second).values])
        found |= {"other_run_tau_b": kendall(runs)[0, 1], "other_run_in_common": hardest_overlap(runs)[0, 1]}
    return found


def on_digits(store: ArtifactStore) -> pd.DataFrame:
    """Our default against their definition by the same probes, and what another set of probes changes by ours."""
    datasets = [pipeline.load_dataset(Digits(label_noise=noise), store=store) for noise in LABEL_NOISE]
    recipe = Recipe(epochs=9, batch_size=64, lr=0.2, augmentation=Augmentation(flip=False))

    def scores(dataset: ImageDataset, metric: Metric, seed: int) -> np.ndarray:
        probe = Probe(model=SmallConv(), recipe=recipe, seed=seed, **PROBES)
        return pipeline.score_dataset(dataset, metric=metric, probe=probe, store=store).values

    lines = []
    for dataset, (ours, theirs, who) in itertools.product(datasets, THEIRS):
        three = np.stack([scores(dataset, ours, 0), scores(dataset, theirs, 0), scores(dataset, ours, 1)])
        tau, overlap = kendall(three), hardest_overlap(three)
        lines.append(
            {
                "dataset": dataset.name,
                "ours": ours.name,
                "theirs": theirs.name,
                "who": who,
                "kendall_tau_b": tau[0, 1],
                "hardest_overlap": overlap[0, 1],
                "kendall_tau_b_other_probes": tau[0, 2],
                "hardest_overlap_other_probes": overlap[0, 2],
            }
        )
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare our definitions with what the peers' functions gave.")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder of metrics, selectors and deepcore .npz")
    parser.add_argument("--digits", action="store_true", help="also compare the definitions by probes of the digits")
    parser.add_argument("--out", type=Path, default=Path("outputs/conformance"))
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    arguments = parser.parse_args()
    tables = {"conformance": conformance(load(arguments.golden))}
    if arguments.digits:
        tables["digits"] = on_digits(ArtifactStore(arguments.artifacts))
    for name, table in tables.items():
        print(table.to_string(index=False, na_rep="", float_format="{:.3g}".format), end="\n\n")
        write_atomically(arguments.out / f"{name}.csv", table.to_csv(index=False, float_format="%.7g"))
    command = shlex.join(["python", "scripts/bench/conformance.py", *sys.argv[1:]])
    about = {"device": device_name("cpu"), "command": command, "probes": PROBES if arguments.digits else None}
    write_atomically(arguments.out / "provenance.json", json.dumps(provenance() | about, indent=1) + "\n")
    print(arguments.out / "conformance.csv")


if __name__ == "__main__":
    main()
