"""Coverage-centric coreset selection: the hardest dropped, the rest covered evenly over the range of scores."""

from dataclasses import dataclass, field

import numpy as np

from winnow.core.errors import check_choice
from winnow.core.types import Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool
from winnow.selectors.strata import check_cut, equal_shares, equal_width, without_hardest
from winnow.store.keys import named_in_key

BETAS: dict[str, dict[float, float]] = {
    "cifar10": {0.1: 0.3, 0.2: 0.1, 0.3: 0.1, 0.5: 0.0, 0.7: 0.0},
    "cifar100": {0.1: 0.5, 0.2: 0.4, 0.3: 0.2, 0.5: 0.2, 0.7: 0.1},
    "imagenet": {0.1: 0.3, 0.2: 0.2},
}
"""The authors' beta by the fraction kept, r, found by a grid in steps of 0.1. ImageNet: what their commands give."""


@dataclass(frozen=True, kw_only=True)
class CCS(Selector):
    """Drops the ⌊beta n + ½⌋ hardest examples, cuts the range of the other scores into strata of equal width, shares
    the budget m equally among the strata, and draws uniformly without replacement within each; every weight is one.

    Zheng et al. 2023 (2210.15809, algorithm 1). The strata are served by rising size, each the smaller of its size and
    ⌊left / strata to come⌋, an equal share of what is left, so that what a small one cannot use goes to larger ones;
    of equal sizes the easier comes first. Empty strata get nothing. A stratum holds its lower edge, the last one both.

    beta: the fraction dropped. The paper tunes it by r: nothing where most is kept, more as r falls. A name instead of
    a number takes the beta that they tuned for that data set: "cifar10", "cifar100" or "imagenet" (BETAS); between two
    published r it is on the line through both, beyond them that of the nearest, though nobody tuned it there. In a
    class, or as the signal of `calibrated`, r is the share that the rule keeps there. Where m leaves fewer than that to
    drop, n − m are dropped, so that the budget is always kept; at r = 1 nothing is. With balance, beta and the strata
    are those of each class.
    cut_by: what is hardest: "score", the highest scores; "aum", the smallest margins of logits in the probes' training,
    as the paper cuts under every metric; "aum_probability", of probabilities, as its code. strata: how many; 50 is the
    paper's. alpha is ignored.

    The default, a fixed beta by score, is not the paper's rule, which the name in rules says: ccs[score]. The paper's
    is ccs[aum], cut_by=aum with beta=cifar10. Deviation: the authors' code ends the last stratum at 1.0001 times the
    highest score, so that an example near an edge can lie in the stratum below.

    Raises OptionError for beta outside [0, 1) or an unknown name, fewer than one stratum, or an unknown cut_by.
    """

    beta: float | str = 0.1
    cut_by: str = field(default="score", metadata=named_in_key("beta_by"))
    strata: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.beta, str):
            check_choice("selector.beta", self.beta, tuple(BETAS))
        check_cut(self._beta_at(1), self.cut_by, self.strata)

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset(() if self.cut_by == "score" else {"trajectories"})

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        beta = self.beta if isinstance(self.beta, str) else format(self.beta, "g")
        strata = "" if self.strata == 50 else f" strata={self.strata}"
        return f"{metric_name} ccs[{self.cut_by}] {beta}{strata}"

    def _beta_at(self, r: float) -> float:
        if not isinstance(self.beta, str):
            return self.beta
        published = BETAS[self.beta]
        return float(np.interp(r, sorted(published), [published[known] for known in sorted(published)]))

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        beta = self._beta_at(count / members.size)
        trusted = without_hardest(members, count, pool, beta=beta, cut_by=self.cut_by)
        strata = equal_width(trusted, pool.scores(trusted), self.strata)
        draws = pool.stream(self.name, members)
        shares = equal_shares(np.array([stratum.size for stratum in strata]), count)
        return np.concatenate(
            [
                draws.choice(stratum, share, replace=False, shuffle=False)
                for stratum, share in zip(strata, shares, strict=True)
            ]
        )
