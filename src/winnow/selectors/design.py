"""Optimal experimental design on embeddings: a linear model's posterior, and greedy choice of what to add to it."""

from collections.abc import Callable
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from winnow.core.types import Floats, Ints

FIRST = 8
"""Targets that every candidate is held against."""

BLOCK = 256
"""The most targets looked at together: candidates × targets numbers at once, 205 MB for 100,000 candidates."""

Candidates = Ints | slice
"""Rows of the posterior's x; all of them as a slice, which copies nothing."""

Criterion = Callable[["Posterior", Candidates], Floats]
"""[B]: what each of the candidates is worth; the one with the smallest value is added."""


class Posterior:
    """The covariance S = (ridge I + Σ h_i x_i x_iᵀ)⁻¹, [d, d], of a linear model's weights, and variances xᵀSx.

    embeddings [k, d], divided by their root mean square length, so that ridge does not depend on their units: before
    anything is added, the mean variance is 1/ridge. The first `targets` rows are the target points x*; variances are
    kept up to date for the first `tracked`, at least these. curvature: h [k], of each example's negative log
    likelihood in its prediction; None is 1, the linear model with unit noise.
    """

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        *,
        ridge: float,
        targets: int,
        tracked: int,
        curvature: Floats | None = None,
    ) -> None:
        self.x = embeddings.astype(np.float64)
        scale = np.einsum("ij,ij->", self.x, self.x) / len(self.x) or 1.0
        self.x /= np.sqrt(scale)
        self.targets = targets
        self.curvature = np.ones(len(self.x)) if curvature is None else curvature
        self.covariance = np.eye(self.x.shape[1]) / ridge
        self._variance = np.einsum("ij,ij->i", self.x[:tracked], self.x[:tracked]) / ridge

    @property
    def target_variance(self) -> Floats:
        """x*ᵀSx*, [targets]."""
        return self._variance[: self.targets]

    def variance(self, candidates: Candidates) -> Floats:
        """x_iᵀSx_i, [B]."""
        if self._variance.size == len(self.x):
            return self._variance[candidates]
        x = self.x[candidates]
        return np.einsum("ij,ij->i", x @ self.covariance, x)

    def covariances(self, candidates: Candidates, targets: Candidates) -> Floats:
        """x_iᵀSx*, [B, targets]."""
        product = [self.x[candidates], self.covariance, self.x[: self.targets][targets].T]
        return np.linalg.multi_dot(product)  # in the cheaper order

    def add(self, i: int) -> None:
        """Add example i, by Sherman and Morrison's rank-one update of S: O(d² + tracked · d)."""
        direction = self.covariance @ self.x[i]
        gain = self.curvature[i] / (1 + self.curvature[i] * (self.x[i] @ direction))
        self.covariance -= np.outer(gain * direction, direction)
        self._variance -= gain * (self.x[: self._variance.size] @ direction) ** 2


def add_greedily(
    posterior: Posterior, count: int, criterion: Criterion, *, epsilon: float | None, rng: np.random.Generator
) -> Ints:
    """[count] rows, in the order in which they are added: each time the candidate with the smallest criterion.

    epsilon None: all rows that are left are candidates. Otherwise each step draws ⌈(k/count) ln(1/epsilon)⌉ of them,
    the "stochastic greedy" of Mirzasoleiman et al. 2015 (1409.7938), so that all steps together look at about
    k ln(1/epsilon) candidates whatever count is. Of equal candidates the first row is added, or the first drawn.
    """
    k = len(posterior.x)
    draws = ceil(k / count * log(1 / (epsilon or 1)))
    left = np.arange(k)
    added = np.empty(count, dtype=np.int64)
    for step in range(count):
        if epsilon is None:
            added[step] = left[np.argmin(criterion(posterior, slice(None))[left])]
        else:
            drawn = left[rng.choice(left.size, min(draws, left.size), replace=False)]
            added[step] = drawn[np.argmin(criterion(posterior, drawn))]
        posterior.add(added[step])
        left = left[left != added[step]]
    return added


def largest_variance(posterior: Posterior, candidates: Candidates) -> Floats:
    """[B]: max over targets x* of x*ᵀ(S⁻¹ + x_i x_iᵀ)⁻¹x* = x*ᵀSx* − (x*ᵀSx_i)² / (1 + x_iᵀSx_i), for candidates i.

    The smallest is exact, the others may be too small, but not below it. Targets are taken by falling variance, which
    adding an example only lowers, until the next one's is no larger than the smallest value so far; after the first
    few, only candidates whose value so far is no larger than the whole value of one of them go on.
    """
    before = posterior.target_variance
    order = np.argsort(-before)
    shrink = 1 + posterior.variance(candidates)

    def after(some: Ints | slice, part: Candidates) -> Floats:
        rows = candidates if isinstance(some, slice) else np.arange(len(posterior.x))[candidates][some]
        explained = posterior.covariances(rows, part) ** 2 / shrink[some, None]
        return (before[part] - explained).max(axis=1)

    largest = after(slice(None), order[:FIRST])
    if order.size <= FIRST or before[order[FIRST]] <= largest.min():
        return largest
    likely = np.array([largest.argmin()])
    largest[likely] = after(likely, slice(None))
    rivals = np.flatnonzero(largest <= largest[likely])
    for first in range(FIRST, order.size, BLOCK):
        if before[order[first]] <= largest.min():
            break
        largest[rivals] = np.maximum(largest[rivals], after(rivals, order[first : first + BLOCK]))
    return largest
