"""Random pruning, the baseline of every figure."""

from dataclasses import dataclass

from winnow.core.types import Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Random(Selector):
    """Keeps m = ⌊r n + ½⌋ examples uniformly at random without replacement, each with weight one. Scores are not read.

    alpha is ignored: nothing follows the scores. With balance the draw is uniform within each class.
    """

    @property
    def _rule_reads_scores(self) -> bool:
        return False

    def effective_alpha(self, alpha: float) -> float:
        return 0.0

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        return pool.shuffled(members)[:count]
