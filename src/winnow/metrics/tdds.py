"""TDDS: how much the rate of change of the prediction varies during training."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.errors import OptionError, check_choice
from winnow.metrics.base import Metric
from winnow.metrics.windows import check_recorded, check_window, windows
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class TDDS(Metric):
    """Temporal dual-depth score: Σ_t β (1 − β)^(T − t) R_t, R_t the variation of |ΔL| over the `window` epochs up to t.

    Zhang et al. 2024 (2311.13613), equations 4 to 9. ΔL_t is the change of the example's softmax p between successive
    presentations; late epochs weigh most, β = `decay`.
      variant="paper":    ΔL_t = KL(p_t+1 ‖ p_t), R_t = Σ_window (|ΔL| − mean)².
      variant="official": ΔL_t = Σ_c |p_c log(p_c/p′_c)|, R_t the square root of that sum, as their published code.
    J = 10, β = 0.9 and T ≈ 90 on CIFAR (metric.first_epochs=90). With β = 0.9 the last windows decide nearly
    everything. DUAL's copy of the code weighs windows as if the first ended at epoch 1; this only scales all scores.
    Mean over K runs (the paper: one). Read from the augmented training minibatches, before the update.

    Raises OptionError for an unknown variant, a decay outside (0, 1], a window under two epochs or longer than
    first_epochs; MissingEvidenceError where fewer than window + 1 epochs were recorded: a change needs two.
    """

    hard_means_undecided: ClassVar[bool] = True

    variant: str = "paper"
    window: int = 10
    decay: float = 0.9
    first_epochs: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.variant", self.variant, ("paper", "official"))
        check_window("tdds", self.window, None if self.first_epochs is None else self.first_epochs - 1)
        if not 0 < self.decay <= 1:
            raise OptionError(f"metric.decay={self.decay} must be in (0, 1]; the paper uses 0.9.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return self._named("tdds")

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or self.window + 1

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.ensemble()
        check_recorded(self.name, trajectories.epochs, self.window + 1, self.first_epochs)
        paper = self.variant == "paper"
        changes = trajectories.change_kl if paper else trajectories.change_abs
        total = np.zeros(evidence.n)
        for run in changes:
            seen = run[1 : self.first_epochs]  # an example's first presentation is no change
            for age, values in enumerate(reversed(list(windows(seen, self.window)))):
                deviation = np.square(np.abs(values) - np.abs(values).mean(axis=0)).sum(axis=0)
                total += self.decay * (1 - self.decay) ** age * (deviation if paper else np.sqrt(deviation))
        return total / len(changes)
