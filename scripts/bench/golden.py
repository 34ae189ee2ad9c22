"""What the peers' own functions gave on seeded arrays, as evidence, and what our calls give on it.

The README beside the arrays says whose function gave what. golden_cases.py pairs each array with a call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array

from winnow.core.types import Evidence, SubsetRuns, Trajectory
from winnow.metrics.base import Metric
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.grand import GraNd
from winnow.metrics.influence import Influence, influence_blocks
from winnow.metrics.uncertainty import Uncertainty
from winnow.selectors.base import Selector
from winnow.selectors.ccs import CCS
from winnow.selectors.d2 import D2
from winnow.selectors.facility_location import FacilityLocation, lazy_greedy
from winnow.selectors.moderate import Moderate
from winnow.selectors.strata import equal_width
from winnow.training.callbacks.trajectory_recorder import observe

Arrays = dict[str, NDArray[Any]]
Pair = tuple[NDArray[Any], NDArray[Any]]
T = 40
"""Presentations in metrics.npz."""
BATCH, LAST = 64, 8
"""Examples in DeepCore's batches, and in the last of 200."""


@dataclass(frozen=True, eq=False)
class Golden:
    """The arrays of a folder, and the evidence that they make: `both` runs of metrics.npz, and the first alone."""

    metrics: Arrays
    selectors: Arrays
    deepcore: Arrays
    both: Evidence

    @property
    def first(self) -> Evidence:
        return self.both.member(0)

    @property
    def second(self) -> Evidence:
        return self.both.member(1)


def load(folder: Path) -> Golden:
    """The golden arrays; trajectories are what the recorder makes of the logits."""
    files = {name: dict(np.load(folder / f"{name}.npz")) for name in ("metrics", "selectors", "deepcore")}
    arrays = files["metrics"]
    logits = arrays["logits"].astype(np.float32)
    runs = [_recorded(run, arrays["labels"]) for run in logits]
    parts = SubsetRuns(
        membership=arrays["membership"], correct=arrays["membership_correct"], test_correct=arrays["test_correct"]
    )
    evidence = Evidence(
        dataset="golden",
        labels=arrays["labels"],
        trajectories=Trajectory.stack(runs),
        logits={T: logits[:, -1]},
        features=tuple(arrays["features"]),
        subset_runs=parts,
    )
    return Golden(both=evidence, **files)


def _recorded(run: NDArray[np.float32], labels: NDArray[Any]) -> Trajectory:
    """The trajectory of a run that showed these logits [T, n, C]."""
    previous, epochs, truth = None, [], torch.as_tensor(labels)
    for logits in torch.as_tensor(run):
        values, previous = observe(logits, truth, previous)
        epochs.append(values)
    return Trajectory(**{name: torch.stack([epoch[name] for epoch in epochs]).numpy() for name in epochs[0]})


@dataclass(frozen=True)
class Case:
    """An array of the peers and a call here. ours: the call, as it is read.

    pair: ours and theirs; None where nothing here does that. kind: "scores", "kept" (indices), "order" (indices in the
    order of choice) or "numbers" (others, such as budgets). metric: whose scores of another run tell the probes' own
    noise. default: whether the call is our default where theirs is another definition. why: what the difference is.
    paper: what follows the paper: "both", "neither", or the call here that does.
    """

    array: str
    whose: str
    ours: str
    pair: Callable[[Golden], Pair] | None
    kind: str = "scores"
    metric: Metric | None = None
    default: bool = False
    why: str = ""
    paper: str = "both"


def scores_of(
    array: str, whose: str, ours: str, metric: Metric, *, times: float = 1, runs: str = "first", **told: Any
) -> Case:
    """Scores by a metric, `times` which is theirs, of one run or both."""

    def pair(golden: Golden) -> Pair:
        values = metric(golden.both if runs == "both" else golden.first).values
        return times * values, golden.metrics[array].astype(np.float64)

    return Case(array, whose, ours, pair, metric=metric, **told)


def forgetting_inf(golden: Golden) -> Pair:
    values = Forgetting(never_learned="inf")(golden.both).values
    return np.where(values >= T, np.inf, values), golden.metrics["forgetting__data_diet"]


def margin(golden: Golden) -> Pair:
    return 1 - Uncertainty(kind="margin")(golden.first).values, golden.metrics["margin__deepcore"]


def grand(batches: bool) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        n = golden.both.n
        size = np.where(np.arange(n) < n - LAST, BATCH, LAST) if batches else BATCH
        ours = GraNd(parameters="last_layer")(golden.both).values / size
        return ours, golden.metrics["grand_last_layer_batch64__deepcore"].astype(np.float64)

    return pair


def influence(golden: Golden) -> Pair:
    theirs = golden.metrics["influence__feldman_zhang"]
    ours = np.zeros(theirs.shape)
    for rows, columns, block in influence_blocks(golden.both.required_subset_runs(), "test"):
        ours[columns, rows] = block.T
    return ours, theirs.astype(np.float64)


def influence_sum(golden: Golden) -> Pair:
    theirs = np.abs(golden.metrics["influence__feldman_zhang"].astype(np.float64)).sum(axis=0)
    return Influence(targets="test")(golden.both).values, theirs


def _kept(selector: Selector, arrays: Arrays, *, r: float, n: int | None = None, seed: int = 0) -> NDArray[np.int64]:
    """The kept of the first n."""
    labels = arrays["labels"][:n]
    evidence = Evidence(dataset="golden", labels=labels, embeddings=arrays["embeddings"][:n].astype(np.float32))
    scores = arrays["scores"][:n] if "scores" in arrays else None
    return selector.select(scores, labels, r=r, seed=seed, evidence=evidence).indices


def ccs_budgets(kept: NDArray[np.int64], not_dropped: NDArray[np.int64], scores: NDArray[Any]) -> NDArray[np.int64]:
    """[50]: how many are kept of each stratum of those that are not dropped; all kept are among them."""
    assert np.isin(kept, not_dropped).all()
    return np.array([np.isin(stratum, kept).sum() for stratum in equal_width(not_dropped, scores[not_dropped], 50)])


def ccs(r: float, beta: float) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        arrays, name = golden.selectors, f"ccs_r{r}_beta{beta}__"
        ours = _kept(CCS(beta=beta), arrays, r=r)
        inside = arrays[name + "not_dropped"], arrays["scores"]
        return ccs_budgets(ours, *inside), ccs_budgets(arrays[name + "kept"], *inside)

    return pair


def moderate(variant: str) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        return _kept(Moderate(variant=variant), golden.selectors, r=0.3), golden.selectors["moderate_r0.3__kept"]

    return pair


def d2(selector: D2) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        theirs = golden.selectors[f"d2_first400_k5_gamma{selector.gamma_r}__kept_in_order"]
        return _kept(selector, golden.selectors, r=theirs.size / 400, n=400), theirs

    return pair


def d2_density(gamma: float) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        scores, embeddings = golden.selectors["scores"][:400], golden.selectors["embeddings"][:400]
        ours = D2(variant="official", k=5, gamma_r=gamma).importance(scores, embeddings.astype(np.float32))[0]
        return ours, golden.selectors[f"d2_first400_k5_gamma{gamma}__initial_density"]

    return pair


def greedy(similarity: str, order: str) -> Callable[[Golden], Pair]:
    def pair(golden: Golden) -> Pair:
        matrix = csc_array(golden.deepcore[similarity].astype(np.float64))
        return lazy_greedy(matrix, int(golden.deepcore["budget"])), golden.deepcore[order]

    return pair


def craig_sizes(golden: Golden) -> Pair:
    matrix = golden.deepcore["craig_matrix_from_euclid"].astype(np.float64)
    order = lazy_greedy(csc_array(matrix), int(golden.deepcore["budget"]))
    nearest = matrix[:, order].argmax(axis=1)
    return np.bincount(nearest, minlength=order.size), golden.deepcore["craig_cluster_sizes_in_order"]


def facility_location(golden: Golden) -> Pair:
    arrays = golden.deepcore
    ours = _kept(FacilityLocation(), arrays, r=int(arrays["budget"]) / len(arrays["labels"]))
    return ours, arrays["facility_location_naive__order"]
