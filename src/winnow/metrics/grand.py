"""GraNd: the length of the example's gradient."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric, last_layer_blocks


@dataclass(frozen=True, kw_only=True)
class GraNd(Metric):
    """GraNd, the mean over K probes of ‖∇_θ ℓ(f_k(x), y)‖₂, high where the example pulls hard at the model.

    Paul, Ganguli & Dziugaite 2021 (2107.07075), definition 2.1. Exact for each example, of the summed loss in
    evaluation mode without augmentation, so that no score depends on the batch (a mean-reduced loss would scale a small
    last batch's scores up).
      parameters="all": every parameter, batch norm's too, gradient_norms [K, n] after `epoch` epochs.
      parameters="last_layer": those of the last layer alone, in closed form ‖p − y‖₂ √(1 + ‖h‖²), p the softmax, h the
        penultimate features and 1 for the bias, after the last evaluated epoch; a cheap stand-in.
    epoch=None reads the last evaluated epoch. The paper's GraNd at initialisation (epoch=0) does not reproduce: it is
    no better than the norm of the input there (Kirsch 2023, 2303.14753); take an epoch of some training.

    Raises OptionError for unknown parameters, or an epoch given with parameters=last_layer; MissingEvidenceError where
    the epoch was not evaluated.
    """

    version: ClassVar[int] = 2  # of the pass too: in-place activations are seen through

    parameters: str = "all"
    epoch: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.parameters", self.parameters, ("all", "last_layer"))
        if self.epoch is not None and self.parameters == "last_layer":
            raise OptionError("metric.epoch belongs to parameters=all; last_layer reads the last evaluated epoch.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"gradient_norms"} if self.parameters == "all" else {"logits", "features"})

    @property
    def name(self) -> str:
        return self._named("grand")

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        if self.parameters == "all":
            return evidence.gradient_norms_at(self.epoch).mean(axis=0, dtype=np.float64)
        total, members = np.zeros(evidence.n), len(evidence.required_features())
        for member in range(members):
            for rows, error, hidden in last_layer_blocks(evidence, member):
                total[rows] += np.linalg.norm(error, axis=1) * np.linalg.norm(hidden, axis=1)
        return total / members
