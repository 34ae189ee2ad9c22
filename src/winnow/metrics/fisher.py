"""Fisher: the length of the example's gradient, each parameter measured by how much it matters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import OptionError
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric, last_layer_blocks


@dataclass(frozen=True, kw_only=True)
class Fisher(Metric):
    """Σ_θ g_i² / (F + λ) over the last layer's parameters, mean over K probes; high where the gradient is unusual.

    g_i = (p_i − y_i) ⊗ [h_i, 1] is the example's gradient (softmax p, one-hot y, penultimate features h, 1 for the
    bias) and F = mean_i g_i² the diagonal of the empirical Fisher information. Against grand, which sums g², parameters
    that every example pulls at count for less. λ = `damping` × the mean of F, so that a parameter that nothing
    pulls at does not blow up; the damping has no unit.

    A diagonal of rank-one squares: g_i² = (p_i − y_i)² ⊗ [h_i², 1], so two passes of matrix products are exact. Logits
    [K, n, C] and features, K of [n, d], after the last evaluated epoch, evaluation mode, no augmentation; float64.

    Raises OptionError for a damping that is not positive; MissingEvidenceError without logits or features.
    """

    damping: float = 0.001

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise OptionError(f"metric.damping={self.damping} must be positive: it keeps unused parameters finite.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits", "features"})

    @property
    def name(self) -> str:
        return self._named("fisher")

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        total, members = np.zeros(evidence.n), len(evidence.required_features())
        for member in range(members):
            fisher: NDArray[np.float64] | float = 0.0
            for _, error, features in last_layer_blocks(evidence, member):
                fisher = fisher + np.square(error).T @ np.square(features)
            fisher = np.asarray(fisher) / evidence.n  # [C, d + 1]
            inverse = 1 / (fisher + self.damping * fisher.mean())
            for rows, error, features in last_layer_blocks(evidence, member):
                total[rows] += np.sum((np.square(error) @ inverse) * np.square(features), axis=1)
        return total / members
