"""Window pruning: the hardest, but for the very hardest."""

from dataclasses import dataclass

from winnow.core.errors import OptionError
from winnow.core.rounding import round_half_up
from winnow.core.types import Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Window(Selector):
    """Skips the ⌊skip n + ½⌋ hardest examples and keeps the m hardest of the rest, each with weight one.

    Paul et al. 2021 (2107.07075, section 4) slide such a window over the scores: with noisy labels the best one lies
    below the very hardest. Where m of n leaves fewer than that to skip, n − m are skipped, so that the budget is always
    kept; skip = 0 is threshold, skip near 1 keeps the easiest. The window does not move with the budget, which is
    what tells it from drop_suspect: there the fraction is removed before r is taken of the rest.

    skip: fraction in [0, 1). alpha is ignored: everything follows the scores. Raises OptionError for skip outside it.
    """

    skip: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.skip < 1:
            raise OptionError(f"selector.skip={self.skip} must be the fraction of the hardest to skip, in [0, 1).")

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        return f"{metric_name} window {self.skip:g}"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        skipped = min(round_half_up(self.skip * members.size), members.size - count)
        window = pool.hardest(members, skipped + count)
        return pool.hardest(window, count, -pool.values[window])
