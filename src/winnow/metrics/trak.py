"""TRAK: the influence of a training example, from random projections of gradients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.gradient_features import GradientFeatures, blocks, one_minus_p


@dataclass(frozen=True, kw_only=True)
class TRAK(GradientFeatures):
    """The effect of example i's presence in training on the margin log(p / (1 − p)) of target j, without retraining.

    Park et al. 2023 (2303.14186), equation 17, over K probes:
        τ_ij = mean_k[φ_k,jᵀ (Φ_kᵀ Φ_k + λ)⁻¹ φ_k,i] · mean_k[1 − p_k,i]
    φ [n, P] the projected gradients of the margin (over all parameters, evaluation mode, no augmentation), p the true
    class's probability, after the last evaluated epoch; float64.
      targets="self": τ_ii, the influence of an example on itself, in [0, 1], high where it is remembered instead of
        inferred from others, as memorization is.
      targets="set": the mean of τ_ij over a target set without i; positive where i helps the targets, so what helps
        most ranks highest, and what hurts, lowest.
    λ = `damping` × the mean eigenvalue of ΦᵀΦ; the paper has none, but without it there is no inverse at P ≥ n. Keep
    P = `projection` below n: near P = n every φ_iᵀ(ΦᵀΦ)⁻¹φ_i approaches 1, and only 1 − p still ranks. Well
    below n the weights 1 − p_i make badly fitted examples the most influential on many others too.

    Deviations from the authors' traker: projections that are the product of two, layer by layer
    (winnow.probes.projections), instead of dense ones, and no soft threshold of the influences.

    Raises OptionError as GradientFeatures does, and for unknown targets or a damping that is not positive;
    MissingEvidenceError without projected_gradients or logits.
    """

    targets: str = "self"
    damping: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("metric.targets", self.targets, ("self", "set"))
        if not self.damping > 0:
            raise OptionError(f"metric.damping={self.damping} must be positive: it makes ΦᵀΦ invertible.")
        if self.targets == "self" and self.indices is not None:
            raise OptionError("metric.indices are a target set; they belong to metric.targets=set.")

    @property
    def name(self) -> str:
        return self._named("trak")

    def _values(self, evidence: Evidence) -> Floats:
        effect, unsure = np.zeros(evidence.n), np.zeros(evidence.n)
        members = len(evidence.required_projected_gradients())
        for member in range(members):
            effect += self._effects(evidence, member) / members
            unsure += one_minus_p(evidence, member) / members
        return effect * unsure

    def _effects(self, evidence: Evidence, member: int) -> Floats:
        """[n]: φ_jᵀ (ΦᵀΦ + λ)⁻¹ φ_i at j = i, or its mean over the other targets j."""
        factor = _factor(evidence, member, self.damping)
        own, toward = np.empty(evidence.n), np.empty(evidence.n)
        is_target = np.zeros(evidence.n, dtype=bool) if self.targets == "self" else self._targets(evidence.n)
        total = np.zeros(factor[0].shape[0])
        for rows, phi in blocks(evidence, member):
            total += phi[is_target[rows]].sum(axis=0)
        direction = cho_solve(factor, total)
        for rows, phi in blocks(evidence, member):
            own[rows] = np.einsum("bp,pb->b", phi, cho_solve(factor, phi.T))
            toward[rows] = phi @ direction
        if self.targets == "self":
            return own
        return (toward - np.where(is_target, own, 0)) / (is_target.sum() - is_target)


def _factor(evidence: Evidence, member: int, damping: float) -> tuple[NDArray[np.float64], bool]:
    """The Cholesky factor of ΦᵀΦ + λ."""
    kernel = np.zeros((evidence.required_projected_gradients()[member].shape[1],) * 2)
    for _, phi in blocks(evidence, member):
        kernel += phi.T @ phi
    kernel[np.diag_indices_from(kernel)] += damping * np.trace(kernel) / len(kernel)
    return cho_factor(kernel, lower=True)
