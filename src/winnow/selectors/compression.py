"""How the size of the kept set is given: as a fraction of the data, or as a count."""

from dataclasses import dataclass

from winnow.core.errors import BudgetError
from winnow.store.keys import Component


@dataclass(frozen=True, kw_only=True)
class Fraction(Component):
    """Keep the fraction r of the training set, 0 < r <= 1. Raises BudgetError otherwise."""

    r: float

    def __post_init__(self) -> None:
        if not 0 < self.r <= 1:
            raise BudgetError(f"compression.r={self.r} must be in (0, 1]: it is the fraction of the data that is kept.")

    def fraction(self, n: int) -> float:
        """r for a training set of n."""
        return self.r


@dataclass(frozen=True, kw_only=True)
class Count(Component):
    """Keep `count` training examples. Raises BudgetError for a count under one, or over n."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BudgetError(f"compression.count={self.count} must be at least 1 example.")

    def fraction(self, n: int) -> float:
        """The r that keeps `count` of n."""
        if self.count > n:
            raise BudgetError(f"compression.count={self.count} is more than the {n} training examples there are.")
        return self.count / n
