"""Herding: keep examples whose mean embedding follows that of all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import check_choice
from winnow.core.types import Ints
from winnow.selectors.embedding_selector import EmbeddingSelector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Herding(EmbeddingSelector):
    """Keeps, one after another, the example that brings the mean of the kept ones closest to the mean μ of all.

    With w_t = (t + 1) μ − Σ of the t embeddings kept so far, the next one, each at most once, is
      variant="mean":    argmin ‖x − w_t‖², so that ‖μ − mean of the t + 1 kept‖ is the smallest possible in this step
                         (Rebuffi et al. 2017, 1611.07725, eq. 4).
      variant="welling": argmax ⟨x, w_t⟩ (Welling 2009, eq. 7 and 8, who may take an example more than once). The same
                         where all embeddings are equally long.
    normalise: scale the embeddings to length one first, as Rebuffi et al. do.
    Rebuffi et al. herd within each class: balance="exact". DeepCore's code takes the argmax of ‖x − w_t‖, which keeps
    the examples that lie farthest out; that is not herding, and not offered.

    One product of the n x d embeddings with a vector a step. alpha is ignored: everything follows the rule, and no
    score is read. Raises OptionError for an unknown variant.
    """

    variant: str = "mean"
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.variant", self.variant, ("mean", "welling"))

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        shuffled = pool.shuffled(members)
        points = pool.embeddings(shuffled)
        if self.normalise:
            lengths = np.linalg.norm(points, axis=1, keepdims=True)
            points /= np.where(lengths > 0, lengths, 1)
        return shuffled[herd(points, count, penalty=0.5 if self.variant == "mean" else 0.0)]


def herd(points: NDArray[np.float32], count: int, *, penalty: float) -> Ints:
    """[count] positions in points [k, d], each the argmax of ⟨x, w_t⟩ − penalty · ‖x‖² of those not taken yet."""
    taken = -penalty * np.einsum("ij,ij->i", points, points)
    mean = points.mean(axis=0, dtype=np.float64)
    target = mean.copy()
    chosen = np.empty(count, dtype=np.int64)
    for t in range(count):
        # The target is kept in float64, so that errors do not add up over the steps; the product needs float32 only.
        chosen[t] = best = int((points @ target.astype(np.float32) + taken).argmax())
        taken[best] = -np.inf
        target += mean - points[best]
    return chosen
