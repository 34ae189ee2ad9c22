"""What would their code have said? Scores by our definition of a metric against those by the definition of others.

    OMP_NUM_THREADS=1 python scripts/bench/conformance.py

All are of the same probes on the digits, as they are and with a tenth of the labels flipped. What another set of
probes changes, by our own definition, stands beside each, because a difference that is smaller does not matter. Writes
conformance.csv and provenance.json into `--out`.
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

from winnow import pipeline
from winnow.artifacts import ArtifactStore, provenance, write_atomically
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.digits import Digits
from winnow.diagnostics.metric_properties import hardest_overlap, kendall
from winnow.machine import device_name
from winnow.metrics.active import Active
from winnow.metrics.aum import AUM
from winnow.metrics.base import Metric
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.grand import GraNd
from winnow.metrics.ssp import SSP
from winnow.metrics.tdds import TDDS
from winnow.metrics.uncertainty import Uncertainty
from winnow.models.smallconv import SmallConv
from winnow.probes.probe import Probe
from winnow.training.recipe import Recipe

PAIRS: list[tuple[Metric, Metric, str]] = [
    (EL2N(), EL2N(variant="window"), "CCS"),
    (Forgetting(), Forgetting(never_learned="inf"), "data_diet"),
    (Forgetting(), Forgetting(never_learned="zero"), "DeepCore, CCS, DUAL"),
    (AUM(), AUM(margin="probability"), "CCS, D2"),
    (TDDS(), TDDS(variant="official"), "TDDS, its code"),
    (GraNd(), GraNd(parameters="last_layer"), "last-layer stand-ins"),
    (SSP(), SSP(supervised=True), "Sorscher et al., with labels"),
    (Uncertainty(), Uncertainty(kind="margin"), "DeepCore, margin"),
    (Uncertainty(), Uncertainty(kind="least_confidence"), "DeepCore, least confidence"),
    (Active(), Active(kind="mutual_information"), "BALD"),
]
LABEL_NOISE = (0.0, 0.1)
PROBES: dict[str, Any] = {"members": 5, "epochs": 12, "evaluate_at": (3,)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare our definitions of metrics with those of others.")
    parser.add_argument("--out", type=Path, default=Path("outputs/conformance"))
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    arguments = parser.parse_args()
    store = ArtifactStore(arguments.artifacts)
    datasets = [pipeline.load_dataset(Digits(label_noise=noise), store=store) for noise in LABEL_NOISE]
    recipe = Recipe(epochs=9, batch_size=64, lr=0.2, augmentation=Augmentation(flip=False))

    def scores(dataset: ImageDataset, metric: Metric, seed: int) -> np.ndarray:
        probe = Probe(model=SmallConv(), recipe=recipe, seed=seed, **PROBES)
        return pipeline.score_dataset(dataset, metric=metric, probe=probe, store=store).values

    lines = []
    for dataset, (ours, theirs, who) in itertools.product(datasets, PAIRS):
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
    table = pd.DataFrame(lines)
    print(table.round(2).to_string(index=False))
    write_atomically(arguments.out / "conformance.csv", table.to_csv(index=False, float_format="%.7g"))
    command = shlex.join(["python", "scripts/bench/conformance.py", *sys.argv[1:]])
    about = {"device": device_name("cpu"), "command": command, "probes": PROBES}
    write_atomically(arguments.out / "provenance.json", json.dumps(provenance() | about, indent=1) + "\n")
    print(arguments.out / "conformance.csv")


if __name__ == "__main__":
    main()
