"""Beta sampling (DUAL): by score, and by a Beta law of the confidence that moves to the easy as less is kept."""

from dataclasses import dataclass, field

import numpy as np

from winnow.core.errors import OptionError
from winnow.core.types import Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool
from winnow.store.keys import LATER

SUM = 16.0  # a + b
MOST = 15.0  # b where the hardest are hopeless and nearly all is kept
HARDEST = 10  # examples whose mean confidence μ is
RESOLUTION = 2.0**-24  # of float32 probabilities near one; keeps log p and log(1 − p) finite


@dataclass(frozen=True, kw_only=True)
class Beta(Selector):
    """Draws m examples without replacement with probability ∝ BetaPDF(p; a, b) · score, p the example's mean p_true
    over probes and epochs, the first_epochs of them (None: all recorded); every weight is one.

    DUAL, Cho et al. 2025 (2502.06905): b = 15 (1 − μ)(1 − π^c), a = 16 − b, with π = 1 − m/n the fraction pruned and μ
    the mean p of the 10 highest-scoring. Little pruned: the law stands over the p of the hardest; much pruned: b falls,
    and it moves to the easy. Their score is dual, of the first 30 epochs; any other that is higher for harder takes its
    place. With first_epochs=30 a long run of the probes gives what their stopped one would.

    c: how late the law moves; 4 is theirs for CIFAR-100, and more classes of harder data take more.

    It is as if drawn one by one, each in proportion to the weight of those left; done by the m largest of log weight +
    Gumbel noise (the keys of Efraimidis & Spirakis 2006 in logarithms), which does not underflow. With balance, m, n,
    μ and the draw are those of each class. As the signal of `calibrated`, m is the number of signal examples. alpha is
    ignored.

    Deviations: where scores are negative (aum), their distance from the smallest stands for them
    (Pool.positive_scores); p is kept 2⁻²⁴ away from 0 and 1, where the density is 0 or infinite; an example of score 0
    is kept only after all others, where the paper's draw would fail.

    Raises OptionError for c that is not positive or first_epochs under 1; MissingEvidenceError where fewer epochs were
    recorded.
    """

    c: float = 4.0
    first_epochs: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_epochs is not None and self.first_epochs < 1:
            raise OptionError(
                f"selector.first_epochs={self.first_epochs} must be at least 1, or null for all recorded."
            )
        if not self.c > 0:
            raise OptionError(f"selector.c={self.c} must be positive.")

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or 1

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        first = "" if self.first_epochs is None else f" first_epochs={self.first_epochs}"
        return f"{metric_name} beta {self.c:g}{first}"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        hardest = pool.hardest(members, min(HARDEST, members.size))
        pruned = 1 - count / members.size
        b = MOST * (1 - float(pool.mean_p_true(hardest, self.first_epochs).mean())) * (1 - pruned**self.c)
        p = np.clip(pool.mean_p_true(members, self.first_epochs), RESOLUTION, 1 - RESOLUTION)
        score = np.maximum(pool.positive_scores(members), np.finfo(float).tiny)
        # The density without its constant, which no draw depends on and which is infinite at b = 0.
        weight = (SUM - b - 1) * np.log(p) + (b - 1) * np.log1p(-p) + np.log(score)
        keys = weight + pool.stream(self.name, members).gumbel(size=members.size)
        return members[np.argpartition(keys, -count)[-count:]]
