"""Importance sampling: harder examples are kept more often and weigh less, so that the loss stays unbiased."""

from dataclasses import dataclass

import numpy as np

from winnow.core.errors import BudgetError, OptionError
from winnow.core.sampling import capped, systematic
from winnow.core.types import Floats, Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Importance(Selector):
    """Keeps example i with probability π_i, exactly m in all, with the weight m/(n π_i) of Horvitz & Thompson 1952.

    The mean of Σ w_i ℓ_i / m over draws is the full mean (1/n) Σ ℓ_i, whatever ℓ is, because every π_i is positive. The
    weights have mean one in expectation only: normalising those of a draw would bias it.

    π_i = min(1, κ q_i), κ such that Σ π_i = m, with q_i = (1 − floor) s_i^power / Σ_j s_j^power + floor / n. Examples
    whose π reaches 1 are always kept, and the others share the rest of the budget, until none is above 1. s is the
    score, or, where some are negative, its distance from the smallest (Pool.positive_scores); all alike are drawn
    alike. Where the loss, or the norm of the gradient, is proportional to s, power 1 and a small floor have the least
    variance.

    The draw is systematic (winnow.core.sampling), so m and every π_i are met exactly.

    power: 0 is uniform; more follows the score more closely. floor: the share of q that is uniform, in (0, 1]; no
    weight exceeds 1/floor. With balance the draw is within each class, by n_c and m_c, and the weight is (m/n)/π_i, at
    most (m/n)/(m_c/n_c)/floor. alpha is ignored: everything follows the scores.

    Raises OptionError for a negative power or a floor outside (0, 1]; BudgetError where a class keeps none, since no
    weights can stand for it.
    """

    power: float = 1.0
    floor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.power >= 0:
            raise OptionError(f"selector.power={self.power} must not be negative: harder is kept more often.")
        if not 0 < self.floor <= 1:
            raise OptionError(f"selector.floor={self.floor} must be in (0, 1]: without it weights have no bound.")

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        return f"{metric_name} importance {self.power:g} floor={self.floor:g}"

    def _signal_caps(self, sizes: Ints, budgets: Ints) -> Ints:
        if np.any(budgets == 0):
            raise BudgetError(
                f"a class of {sizes[budgets == 0].max()} examples keeps none of them, so no weights can stand for it; "
                "raise r, or choose balance=null."
            )
        return budgets

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        probability = self._probabilities(members, count, pool)
        return members[systematic(probability, count, pool.stream(self.name, members))]

    def _signal_weights(self, members: Ints, signal: Ints, weight: float, r: float, pool: Pool) -> Floats:
        probability = self._probabilities(members, signal.size, pool)
        return r / probability[np.searchsorted(members, signal)]

    def _probabilities(self, members: Ints, count: int, pool: Pool) -> Floats:
        """π of the members, [k]; Σ π = count."""
        sizes = pool.positive_scores(members)  # of its own, and from here on changed in place
        sizes /= sizes.max() or 1.0
        sizes **= self.power
        total = sizes.sum() or 1.0
        sizes *= 1 - self.floor
        sizes /= total
        sizes += self.floor / members.size
        return capped(sizes, count)
