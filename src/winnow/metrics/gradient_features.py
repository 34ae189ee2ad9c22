"""What trak and less share: projected gradients by blocks, and the target set that influence is on."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logsumexp

from winnow.core.errors import OptionError
from winnow.core.rounding import round_half_up
from winnow.core.seeds import stream
from winnow.core.types import Bools, Evidence, Floats
from winnow.metrics.base import Metric

ROWS = 8_192


@dataclass(frozen=True, kw_only=True)
class GradientFeatures(Metric):
    """A metric of projected gradients φ [n, projection] and of a target set: examples of the training set.

    projection: numbers an example, a square (4 bytes each and probe; 1,024 are 205 MB for 50,000 examples).
    indices: the targets, by canonical index; None draws `fraction` of the training set at random, by `seed`, which
    also seeds the projection. The test set is never a target. No example is its own target. The probes have been
    trained on the targets like on all other examples.

    Raises OptionError for a projection that is not a square, a fraction outside (0, 1], or indices that are not at
    least two different ones of the training set.
    """

    version: ClassVar[int] = 2  # of the pass too: in-place activations are seen through

    projection: int = 1024
    fraction: float = 0.1
    indices: tuple[int, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.projection < 1 or math.isqrt(self.projection) ** 2 != self.projection:
            raise OptionError(f"metric.projection={self.projection} must be a square, such as 256, 1024 or 4096.")
        if not 0 < self.fraction <= 1:
            raise OptionError(f"metric.fraction={self.fraction} must be in (0, 1]: the share that is the target set.")
        if self.indices is not None:
            object.__setattr__(self, "indices", tuple(sorted({int(index) for index in self.indices})))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"projected_gradients", "logits"})

    @property
    def pass_options(self) -> Mapping[str, Mapping[str, Any]]:
        return {"projected_gradients": {"size": self.projection, "seed": self.seed}}

    def _named(self, stem: str) -> str:
        """As of every metric; a list of targets is named by its hash."""
        if self.indices is None:
            return super()._named(stem)
        digest = hashlib.sha256(repr(self.indices).encode()).hexdigest()[:6]
        return f"{stem}[{len(self.indices)} targets {digest}]"

    def _targets(self, n: int) -> Bools:
        """[n]: which examples are targets."""
        is_target = np.zeros(n, dtype=bool)
        if self.indices is None:
            chosen = stream(self.seed, "targets").permutation(n)[: max(2, round_half_up(self.fraction * n))]
        else:
            chosen = np.array(self.indices, dtype=np.int64)
            if chosen.size < 2 or chosen[0] < 0 or chosen[-1] >= n:
                raise OptionError(f"metric.indices must name two or more of the training examples 0..{n - 1}.")
        is_target[chosen] = True
        return is_target


def blocks(evidence: Evidence, member: int) -> Iterator[tuple[slice, Floats]]:
    """(rows, φ [b, P] float64) of a probe."""
    projected = evidence.required_projected_gradients()[member]
    for start in range(0, evidence.n, ROWS):
        rows = slice(start, start + ROWS)
        yield rows, projected[rows].astype(np.float64)


def one_minus_p(evidence: Evidence, member: int) -> Floats:
    """1 − p [n], p the probability that a probe gives the true class; exact where p is close to 1."""
    logits, values = evidence.logits_at(None)[member], np.empty(evidence.n)
    for start in range(0, evidence.n, ROWS):
        rows = slice(start, start + ROWS)
        others, labels = logits[rows].astype(np.float64), evidence.labels[rows, None]
        mine = np.take_along_axis(others, labels, axis=1)[:, 0]
        np.put_along_axis(others, labels, -np.inf, axis=1)
        values[rows] = expit(logsumexp(others, axis=1) - mine)
    return values
