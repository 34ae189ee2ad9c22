"""Threshold pruning: keep one end of the scores."""

from dataclasses import dataclass

from winnow.core.errors import check_choice
from winnow.core.types import Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Threshold(Selector):
    """Keeps the m = ⌊r n + ½⌋ hardest examples, or the m easiest, each with weight one.

    Paul et al. 2021 (2107.07075) keep the hardest; Sorscher et al. 2022 (2206.14486) show that with little data the
    easiest do better. The kept distribution is a restriction of the full one: its distance from it does not
    vanish with n (Ayed & Hayou 2023, 2302.06960).

    keep: "hardest" (highest scores) or "easiest". alpha is ignored: everything follows the scores.

    Raises OptionError for an unknown keep.
    """

    keep: str = "hardest"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.keep", self.keep, ("hardest", "easiest"))

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        return f"{metric_name} {self.keep}"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        values = pool.scores(members)
        return pool.hardest(members, count, values if self.keep == "hardest" else -values)
