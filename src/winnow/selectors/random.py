"""Random pruning, the baseline of every figure."""

from dataclasses import dataclass
from typing import ClassVar

from winnow.selectors.base import Selector


@dataclass(frozen=True, kw_only=True)
class Random(Selector):
    """Keeps m = ⌊r n + ½⌋ examples uniformly at random without replacement, each with weight one. Scores are not read.

    alpha is ignored: nothing follows the scores. With balance the draw is uniform within each class.
    """

    reads_scores: ClassVar[bool] = False

    def effective_alpha(self, alpha: float) -> float:
        return 0.0

    def _rule(self, metric_name: str | None, alpha: float) -> str:
        return "random"
