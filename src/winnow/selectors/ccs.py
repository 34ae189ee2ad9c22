"""Coverage-centric coreset selection: the hardest dropped, the rest covered evenly over the range of scores."""

from dataclasses import dataclass

import numpy as np

from winnow.errors import OptionError, check_choice
from winnow.rounding import round_half_up
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool
from winnow.types import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class CCS(Selector):
    """Drops the ⌊beta n + ½⌋ hardest examples, cuts the range of the other scores into strata of equal width, shares
    the budget m equally among the strata, and draws uniformly without replacement within each; every weight is one.

    Zheng et al. 2023 (2210.15809, algorithm 1). The strata are served by rising size, each the smaller of its size and
    ⌊left / strata to come⌋, an equal share of what is left, so that what a small one cannot use goes to larger ones;
    of equal sizes the easier comes first. Empty strata get nothing. A stratum holds its lower edge, the last one both.

    beta: the fraction dropped. The paper tunes it by r: nothing where most is kept, more as r falls. Where m leaves
    fewer than that to drop, n − m are dropped, so that the budget is always kept; at r = 1 nothing is. With balance,
    beta and the strata are those of each class. beta_by: "score" drops the highest scores; "aum" the smallest margins
    of the probes' training, as the paper does under every metric. strata: how many; the paper's 50. alpha is ignored.

    Raises OptionError for beta outside [0, 1), fewer than one stratum, or an unknown beta_by.
    """

    beta: float = 0.1
    beta_by: str = "score"
    strata: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.beta_by", self.beta_by, ("score", "aum"))
        if not 0 <= self.beta < 1:
            raise OptionError(f"selector.beta={self.beta} must be the fraction of the hardest to drop, in [0, 1).")
        if self.strata < 1:
            raise OptionError(f"selector.strata={self.strata} must be at least 1.")

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset({"trajectories"} if self.beta_by == "aum" else ())

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        by = "" if self.beta_by == "score" else f" by {self.beta_by}"
        strata = "" if self.strata == 50 else f" strata={self.strata}"
        return f"{metric_name} ccs {self.beta:g}{by}{strata}"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        left = members.size - min(round_half_up(self.beta * members.size), members.size - count)
        trusted = pool.hardest(members, left, -pool.suspicion(members, self.beta_by))
        strata = _equal_width(trusted, pool.values[trusted], self.strata)
        draws = pool.stream(self.name, members)
        sizes = np.array([stratum.size for stratum in strata])
        return np.concatenate(
            [
                draws.choice(stratum, share, replace=False, shuffle=False)
                for stratum, share in zip(strata, _shares(sizes, count), strict=True)
            ]
        )


def _equal_width(members: Ints, values: Floats, strata: int) -> list[Ints]:
    """The members in `strata` groups, by rising value; the groups cut the range of the values [k] evenly."""
    width = (values.max() - values.min()) / strata or 1.0  # all alike: all in the first
    group = np.minimum((values - values.min()) / width, strata - 1).astype(np.min_scalar_type(strata))
    ends = np.cumsum(np.bincount(group, minlength=strata))
    return np.split(members[np.argsort(group, kind="stable")], ends[:-1])


def _shares(sizes: Ints, count: int) -> Ints:
    """Budgets [C] of strata of these sizes that sum to count <= Σ sizes: equal, as far as the small ones reach."""
    shares = np.zeros_like(sizes)
    for served, stratum in enumerate(np.argsort(sizes, kind="stable")):
        shares[stratum] = min(sizes[stratum], count // (sizes.size - served))
        count -= int(shares[stratum])
    return shares
