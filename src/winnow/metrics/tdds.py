"""TDDS: how much the rate of change of the prediction varies during training."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.arrays import blocks
from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric
from winnow.metrics.windows import EXAMPLES_IN_BLOCK, check_recorded, check_window, windows


@dataclass(frozen=True, kw_only=True)
class TDDS(Metric):
    """Temporal dual-depth score: Σ_t β (1 − β)^(T − t) R_t, R_t the variation of |ΔL| over the `window` epochs up to t.

    Zhang et al. 2024 (2311.13613), equations 4 to 9. ΔL_t is the change of the example's softmax p between successive
    presentations; late epochs weigh most, β = `decay`.
      variant="paper":    ΔL_t = KL(p_t+1 ‖ p_t), R_t = Σ_window (|ΔL| − mean)², over `window` changes.
      variant="official": ΔL_t = Σ_c |p_c log(p_c/p′_c)|, R_t the square root of that sum, as their published code; its
        window is of `window` presentations, which have window − 1 changes. The code adds 1e-8 to both p inside the
        logarithm and a trajectory does not, which tells where a softmax output falls below that: ranks are the same
        on the arrays of tests/golden, and have Kendall's τ 0.997 and 0.83 on their logits times 2 and 4.
      variant="dual":     the copy in DUAL's code: as "official", but every window is the first, so that the score is
        the variation in the first `window` epochs, and T only scales it.
    J = `window` = 10, β = 0.9 and T ≈ 90 on CIFAR (metric.first_epochs=90). With β = 0.9 the last windows decide nearly
    everything. Mean over K runs (the paper: one). Read from the augmented training minibatches, before the update.

    Raises OptionError for an unknown variant, a decay outside (0, 1], a window of less than two changes or longer than
    first_epochs; MissingEvidenceError where fewer epochs were recorded than a window takes: of the paper window + 1,
    since a change needs two, of the others window, or where they were recorded without changes (probe.changes=false).
    """

    hard_means_undecided: ClassVar[bool] = True

    variant: str = "paper"
    window: int = 10
    decay: float = 0.9
    first_epochs: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.variant", self.variant, ("paper", "official", "dual"))
        paper = self.variant == "paper"
        slides_over = None if self.first_epochs is None else self.first_epochs - paper
        check_window("tdds", self.window, slides_over, least=2 if paper else 3)
        if not 0 < self.decay <= 1:
            raise OptionError(f"metric.decay={self.decay} must be in (0, 1]; the paper uses 0.9.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return self._named("tdds")

    def _version(self) -> int:
        return 1 if self.variant == "paper" else 2

    @property
    def _window_epochs(self) -> int:
        """Epochs that one window takes."""
        return self.window + (self.variant == "paper")

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or self._window_epochs

    @property
    def reads_changes(self) -> bool:
        return True

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.required_trajectories()
        check_recorded(self.name, trajectories.epochs, self._window_epochs, self.first_epochs)
        total = np.zeros(evidence.n)
        for run in trajectories.runs:
            changes = run.required_change("change_kl" if self.variant == "paper" else "change_abs")
            for some in blocks(evidence.n, EXAMPLES_IN_BLOCK):
                read = changes[1 : self.first_epochs, some]  # an example's first presentation is no change
                variations = [self._variation(values) for values in windows(read, self._window_epochs - 1)]
                if self.variant == "dual":
                    variations = [variations[0]] * len(variations)
                for age, variation in enumerate(reversed(variations)):
                    total[some] += self.decay * (1 - self.decay) ** age * variation
        return total / len(trajectories.runs)

    def _variation(self, changes: Floats) -> Floats:
        """R [n] of the changes in one window [·, n]."""
        squares = np.square(np.abs(changes) - np.abs(changes).mean(axis=0)).sum(axis=0)
        return squares if self.variant == "paper" else np.sqrt(squares)
