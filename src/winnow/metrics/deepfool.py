"""DeepFool: how far the image is from the decision boundary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric


@dataclass(frozen=True, kw_only=True)
class DeepFool(Metric):
    """Minus the mean over K probes of the length of the smallest change of the image that changes the prediction.

    Ducoffe & Precioso 2018 (1802.09841): what lies close to the boundary is worth learning. The change is DeepFool's
    (Moosavi-Dezfooli et al. 2016, 1511.04599; winnow.probes.boundary), without its overshoot, ‖·‖₂ in normalised
    pixels, between the predicted class and the next most likely, `classes` of them in all. boundary_distances [K, n]
    after the last evaluated epoch, evaluation mode, no augmentation.

    Labels are not read, so that a confident mistake is as easy as a confident success; a wrong label is not hard.
    An image whose prediction has not changed after `iterations` steps, or whose gradients are all zero, has no known
    distance: it counts as far as the furthest that was found by the same probe, so it is as easy as the easiest.

    Raises OptionError for fewer than 2 classes or 1 iteration; MissingEvidenceError without boundary_distances, or
    where a probe found none at all.
    """

    classes: int = 10
    iterations: int = 50

    def __post_init__(self) -> None:
        if self.classes < 2 or self.iterations < 1:
            raise OptionError(
                f"metric.classes={self.classes} must be at least 2, and metric.iterations={self.iterations} at least 1."
            )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"boundary_distances"})

    @property
    def name(self) -> str:
        return self._named("deepfool")

    @property
    def averages_members(self) -> bool:
        return True

    @property
    def pass_options(self) -> Mapping[str, Mapping[str, Any]]:
        return {"boundary_distances": {"classes": self.classes, "iterations": self.iterations}}

    def _values(self, evidence: Evidence) -> Floats:
        if evidence.boundary_distances is None:
            raise MissingEvidenceError("deepfool reads boundary_distances, which this evidence does not have.")
        distances = evidence.boundary_distances.astype(np.float64)
        found = np.isfinite(distances)
        if not found.any(axis=1).all():
            raise MissingEvidenceError(
                "a probe has no boundary near any image; train the probes for longer or raise metric.iterations."
            )
        furthest = np.where(found, distances, 0).max(axis=1, keepdims=True)
        return -np.where(found, distances, furthest).mean(axis=0)
