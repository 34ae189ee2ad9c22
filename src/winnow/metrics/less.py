"""LESS: training examples whose gradients point the way of a target set's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Bools, Evidence, Floats
from winnow.metrics.gradient_features import GradientFeatures, blocks, one_minus_p
from winnow.store.keys import NOT_IN_KEY


@dataclass(frozen=True, kw_only=True)
class LESS(GradientFeatures):
    """Mean over K probes of the cosine between the example's loss gradient and the mean one of a target set.

    Xia et al. 2024 (2402.04333), definition 3.1, by randomly projected gradients of all parameters, evaluation mode, no
    augmentation, after the last evaluated epoch. A step along the example's gradient lowers the targets' loss where the
    score is positive: what helps the targets ranks highest, what is useless to them near zero, and what hurts
    them, such as a wrong label, lowest. So this is a ranking by use, not by difficulty.
      similarity="cosine": as in the paper, so that a long gradient is no advantage.
      similarity="inner_product": by how much a step of size one lowers the targets' mean loss, to first order.
    The gradient of the loss is −(1 − p) φ, φ the projected gradient of log(p / (1 − p)): trak's pass serves both.
      folder: the targets are a validation set of one's own instead, DIR/<class>/<file> (see datasets.targets), that no
        probe is trained on; their loss gradients are evidence.target_gradients. A key holds their pixels and labels,
        not where they lie. title: what rules and figures call them.

    Deviations: one target set instead of the maximum over subtasks; the last evaluated epoch instead of a sum
    over epochs weighted by learning rate; the gradient of the example itself where theirs is Adam's update, because the
    probes are trained by SGD. Because the probes have been trained on targets of the training set too, evaluate them
    early (probe.evaluate_at), while the targets' gradients say more than noise.

    Raises OptionError as GradientFeatures does, for an unknown similarity, for a folder together with indices, and for
    a title without a folder; MissingEvidenceError without projected_gradients or logits, or for a folder without
    target_gradients.
    """

    hard_means_undecided: ClassVar[bool] = True
    free_of_order: ClassVar[bool] = False  # the targets are a seeded draw by index

    similarity: str = "cosine"
    folder: str | None = field(default=None, metadata=NOT_IN_KEY)
    title: str = field(default="folder", metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("metric.similarity", self.similarity, ("cosine", "inner_product"))
        if self.folder is not None and self.indices is not None:
            raise OptionError("metric.folder and metric.indices are two target sets; give one of them.")
        if self.folder is None and self.title != "folder":
            raise OptionError(f"metric.title={self.title} is the name of a folder of targets; set metric.folder too.")

    @property
    def name(self) -> str:
        if self.folder is None:
            return self._named("less")
        return replace(self, folder=None, title="folder")._named(f"less to {self.title}")

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | ({"target_gradients"} if self.folder is not None else set())

    @property
    def pass_options(self) -> Mapping[str, Mapping[str, Any]]:
        """The same projection for both sides: gradients of different ones cannot be compared."""
        options = super().pass_options
        return options if self.folder is None else {**options, "target_gradients": options["projected_gradients"]}

    @property
    def reads_folder(self) -> str | None:
        return self.folder

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        values, members = np.zeros(evidence.n), len(evidence.required_projected_gradients())
        for member in range(members):
            values += self._of_member(evidence, member) / members
        return values

    def _of_member(self, evidence: Evidence, member: int) -> Floats:
        length, values = one_minus_p(evidence, member), np.empty(evidence.n)
        total, count, is_target = self._toward(evidence, member, length)
        for rows, phi in blocks(evidence, member):
            gradients = length[rows, None] * phi
            others = (total - is_target[rows, None] * gradients) / (count - is_target[rows, None])
            values[rows] = np.sum(gradients * others, axis=1)
            if self.similarity == "cosine":
                lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(others, axis=1)
                values[rows] = np.divide(values[rows], lengths, out=np.zeros(len(phi)), where=lengths > 0)
        return values

    def _toward(self, evidence: Evidence, member: int, length: Floats) -> tuple[Floats, int, Bools]:
        """The sum [P] of the targets' (1 − p) φ, how many there are, and which examples [n] are in it."""
        if self.folder is not None:
            theirs = evidence.required_target_gradients()[member]
            return -theirs.sum(axis=0, dtype=np.float64), len(theirs), np.zeros(evidence.n, dtype=bool)
        is_target = self._targets(evidence.n)
        total = np.zeros(evidence.required_projected_gradients()[member].shape[1])
        for rows, phi in blocks(evidence, member):
            total += (length[rows] * is_target[rows]) @ phi
        return total, int(is_target.sum()), is_target
