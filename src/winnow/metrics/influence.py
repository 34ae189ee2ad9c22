"""Influence: how much an example of the training set changes what models get right elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import check_choice
from winnow.core.types import Evidence, Floats, SubsetRuns
from winnow.metrics.base import Metric
from winnow.metrics.inside_outside import check_both

BLOCK = 4_096


@dataclass(frozen=True, kw_only=True)
class Influence(Metric):
    """The effect of example i on targets j, I_ij = P[f(x_j) = y_j | i in] − P[f(x_j) = y_j | i out], over all j.

    Feldman & Zhang 2020 (2008.03703), equation 2, from the models of memorization. aggregate="sum_abs": Σ_j |I_ij|;
    "max": max_j I_ij. Both grow with the noise of few models: with K models an I_ij that is zero still has a deviation
    of about 1/√(K f (1 − f)) · √(p(1 − p)), f the fraction trained on, and sum_abs adds that up over all targets.

    targets="held_out": j are the other training examples, by the models that were not trained on j; the test set plays
    no part, so that a subset may be chosen by it. targets="test": the test set, as in the paper, to look at; such
    scores have seen the test labels and no subset may be chosen by them.
    The n × J matrix is never held: blocks of 4,096 × 4,096.

    Raises OptionError for an unknown aggregate or targets; MissingEvidenceError without such models, or where an
    example is never in or never out, with the count.
    """

    aggregate: str = "sum_abs"
    targets: str = "held_out"

    def __post_init__(self) -> None:
        check_choice("metric.aggregate", self.aggregate, ("sum_abs", "max"))
        check_choice("metric.targets", self.targets, ("held_out", "test"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"subset_runs"})

    @property
    def reads_test_set(self) -> bool:
        return self.targets == "test"

    @property
    def name(self) -> str:
        return self._named("influence")

    def _values(self, evidence: Evidence) -> Floats:
        runs = evidence.required_subset_runs()
        check_both(runs)
        values = np.zeros(evidence.n) if self.aggregate == "sum_abs" else np.full(evidence.n, -np.inf)
        for rows, _, block in influence_blocks(runs, self.targets):
            if self.aggregate == "sum_abs":
                values[rows] += np.abs(block).sum(axis=1, dtype=np.float64)
            else:
                values[rows] = np.maximum(values[rows], block.max(axis=1))
        return values


def influence_blocks(runs: SubsetRuns, targets: str) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """(rows, columns, I[rows, columns]) of the influence matrix, float32; 0 where i = j or no model tells.

    With held-out targets a model counts for column j only where j was not in its part.
    """
    membership = runs.membership.astype(np.float32)  # [K, n]
    right = (runs.correct if targets == "held_out" else runs.test_correct).astype(np.float32)  # [K, J]
    counts = 1 - membership if targets == "held_out" else np.ones_like(right)
    right = right * counts
    for j in range(0, right.shape[1], BLOCK):
        columns = slice(j, min(j + BLOCK, right.shape[1]))
        all_right, all_counts = right[:, columns].sum(axis=0), counts[:, columns].sum(axis=0)
        for i in range(0, membership.shape[1], BLOCK):
            rows = slice(i, min(i + BLOCK, membership.shape[1]))
            inside = membership[:, rows].T
            right_in, count_in = inside @ right[:, columns], inside @ counts[:, columns]
            count_out = all_counts - count_in
            defined = (count_in > 0) & (count_out > 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                block = right_in / count_in - (all_right - right_in) / count_out
            block = np.where(defined, block, np.float32(0))
            if targets == "held_out":
                np.fill_diagonal(block[max(j - i, 0) :, max(i - j, 0) :], 0)
            yield rows, columns, block
