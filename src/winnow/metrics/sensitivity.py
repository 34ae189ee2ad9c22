"""Sensitivity: how much the loss changes with the input."""

from dataclasses import dataclass

import numpy as np

from winnow.core.errors import MissingEvidenceError
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Metric):
    """The mean over K probes of ‖∂ℓ(f_k(x), y)/∂x‖₂, in nats per unit of the normalised pixels.

    input_gradient_norms [K, n] after the last evaluated epoch, evaluation mode, no augmentation. A confidently right
    example has a flat loss and a small score; so has an image of little contrast.

    Raises MissingEvidenceError without input_gradient_norms.
    """

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"input_gradient_norms"})

    @property
    def name(self) -> str:
        return "sensitivity"

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        if evidence.input_gradient_norms is None:
            raise MissingEvidenceError("sensitivity reads input_gradient_norms, which this evidence does not have.")
        return evidence.input_gradient_norms.mean(axis=0, dtype=np.float64)
