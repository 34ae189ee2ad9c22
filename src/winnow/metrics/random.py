"""Random scores, the baseline."""

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.seeds import stream
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric


@dataclass(frozen=True, kw_only=True)
class Random(Metric):
    """Seeded uniform scores in [0, 1), [n]: the baseline that every metric is compared with. Reads no evidence.

    Their order is by index, not by content: the same data set in another order gets other scores.

    seed: of the scores; a selector's own seed is separate.
    """

    stochastic: ClassVar[bool] = True

    seed: int = 0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def name(self) -> str:
        return "random"

    def _values(self, evidence: Evidence) -> Floats:
        return stream(self.seed, "random metric").random(evidence.n)
