"""Calibrated pruning: part of the budget by score, the rest at random, reweighted to stand for what was dropped."""

from dataclasses import dataclass

import numpy as np

from winnow.core.errors import BudgetError, OptionError, check_choice
from winnow.core.types import Floats, Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Calibrated(Selector):
    """Keeps the s = ⌊alpha m + ½⌋ hardest examples and e = m − s uniformly at random from the rest, m = ⌊r n + ½⌋.

    Ayed & Hayou 2023 (2302.06960). Each explored example stands for γ = (n − s)/e of the rest; the protocol says how
    much of that its weight carries, w_explored / w_signal = γ^τ:
      "exact":       τ = 1, w_signal = m/n, w_explored = (m/n) γ; the mean over draws of Σ w_i ℓ_i / m is the full mean
                     (1/n) Σ ℓ_i. For real counts w = r and (1 − alpha r)/(1 − alpha); the integer counts are used, so
                     that it holds exactly. The spread of the weights grows as r falls (Subset.effective_sample_size).
      "approximate": τ = 0, all weights one: less variance, biased towards the signal.
      "tempered":    τ = tau in [0, 1], in between (not in the paper).
    Weights have mean one, w_signal = m / Σ_c (s_c + γ_c^τ e_c). alpha = 0 is random pruning, and r = 1 the full data
    set, with weights one to the last bit. With balance, s_c, m_c, n_c and γ_c = (n_c − s_c)/(m_c − s_c) are those of
    each class, and a class that does not keep all its examples keeps one explored one at least.

    signal: the rule that chooses the s examples, any other selector (its own weights are not used); None: the hardest.
    Exact calibration is unbiased given whatever the signal is, because the rest stands for the rest.

    Raises OptionError for an unknown protocol, tau outside [0, 1] or a signal with a balance of its own; BudgetError
    where weights that depend on γ have no explored example to carry them (alpha = 1, or its rounding, or a class of
    which none is kept).
    """

    signal: Selector | None = None
    protocol: str = "exact"
    tau: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.protocol", self.protocol, ("exact", "approximate", "tempered"))
        if self.tau != 0.5 and self.protocol != "tempered":
            raise OptionError(f"selector.tau belongs to protocol=tempered; protocol={self.protocol} does not read it.")
        if not 0 <= self.tau <= 1:
            raise OptionError(f"selector.tau={self.tau} is outside its range; choose tau in [0, 1].")
        if self.signal is not None and (self.signal.balance is not None or self.signal.drop_suspect):
            raise OptionError("balance and drop_suspect belong to the selector, not to its signal; set them there.")

    @property
    def _rule_reads_scores(self) -> bool:
        return self.signal is None or self.signal.reads_scores

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset() if self.signal is None else self.signal.needs

    @property
    def least_epochs(self) -> int:
        return 1 if self.signal is None else self.signal.least_epochs

    def effective_alpha(self, alpha: float) -> float:
        return float(alpha)

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        tau = f" tau={self.tau:g}" if self.protocol == "tempered" else ""
        signal = f"{metric_name}" if self.signal is None else self.signal._rule(metric_name, alpha)
        return f"{signal} {self.protocol} {alpha}{tau}"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        return super()._pick(members, count, pool) if self.signal is None else self.signal._pick(members, count, pool)

    @property
    def _exponent(self) -> float:
        return {"exact": 1.0, "approximate": 0.0, "tempered": self.tau}[self.protocol]

    def _signal_caps(self, sizes: Ints, budgets: Ints) -> Ints:
        if self._exponent == 0:
            return budgets
        if np.any(budgets == 0):
            raise BudgetError(
                f"a class of {sizes[budgets == 0].max()} examples keeps none of them, so no weights can stand for it; "
                "raise r, or choose protocol=approximate or balance=null."
            )
        return np.where(budgets < sizes, budgets - 1, budgets)

    def _weights(self, sizes: Ints, budgets: Ints, signals: Ints) -> tuple[Floats, Floats]:
        n, m = int(sizes.sum()), int(budgets.sum())
        explored = budgets - signals
        whole = np.maximum(explored, 1)  # where nothing is explored all members are signal, and no weight is needed
        if self._exponent == 1:
            # One division of whole numbers, exact until then: at alpha = 0 and at r = 1 it gives 1.0 to the last bit,
            # so that these subsets have the same content as a random and as the full one.
            return np.full(sizes.size, m / n), m * (sizes - signals) / (n * whole)
        ratio = ((sizes - signals) / whole) ** self._exponent
        scale = (signals + ratio * explored).sum()
        return np.full(sizes.size, m / scale), m * ratio / scale
