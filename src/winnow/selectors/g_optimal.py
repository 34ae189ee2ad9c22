"""G-optimal design: keep the examples that leave a linear model the least unsure where it is the most unsure."""

from dataclasses import dataclass

from winnow.core.errors import OptionError
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints
from winnow.selectors.design import Posterior, add_greedily, largest_variance
from winnow.selectors.embedding_selector import EmbeddingSelector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class GOptimal(EmbeddingSelector):
    """Adds, m times, the example i that minimises max over targets x* of x*ᵀ(Σ⁻¹ + x_i x_iᵀ)⁻¹x*.

    GO of Mukherjee et al. 2024 (2404.08846). Σ is the posterior covariance of a linear model on the embeddings x with
    unit noise and prior covariance I/ridge, given the examples added so far; it does not depend on their labels.
    Reads no scores: what is kept spans the embedding, its outliers first. Where several targets are the most unsure
    and no example tells of all of them, all candidates are equal, and the order is that of the seed.

    ridge: of the prior, where the root mean square length of the members' embeddings is 1. targets: how many targets,
    drawn from the members by seed; None: all of them (the paper's are its test queries, which no selector may see).
    epsilon: None looks at every candidate at every step; a number in (0, 1) at ⌈(k/m) ln(1/epsilon)⌉ of k, drawn
    anew at each step by seed ("stochastic greedy", Mirzasoleiman et al. 2015, 1409.7938, whose guarantee is for
    submodular gains, which this criterion's are not).

    100,000 × 512 embeddings, all of them targets, one thread, seconds of processor time: 16 s for 100 steps (r = 0.001;
    every step costs the same), and with epsilon = 0.1 36 s for 1,000 (r = 0.01); both at a peak of 0.84 GB.

    Raises OptionError for a ridge that is not positive, targets below 1 or epsilon outside (0, 1); MissingEvidenceError
    without embeddings.
    """

    ridge: float = 1.0
    targets: int | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ridge > 0:
            raise OptionError(f"selector.ridge={self.ridge} gives the prior no width; choose a positive number.")
        if self.targets is not None and self.targets < 1:
            raise OptionError(f"selector.targets={self.targets} leaves nothing to predict; choose 1 or more, or null.")
        if self.epsilon is not None and not 0 < self.epsilon < 1:
            raise OptionError(f"selector.epsilon={self.epsilon} is outside its range; choose it in (0, 1), or null.")

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        order = pool.shuffled(members)
        rng = stream(pool.seed, "selector", "candidates")
        posterior = self._posterior(order, pool)
        return order[add_greedily(posterior, count, largest_variance, epsilon=self.epsilon, rng=rng)]

    def _posterior(self, order: Ints, pool: Pool, curvature: Floats | None = None) -> Posterior:
        """Of the members in seeded order, so that the first of them are targets drawn at random."""
        targets = order.size if self.targets is None else min(self.targets, order.size)
        tracked = order.size if self.epsilon is None else targets
        embeddings = pool.embeddings(order)
        return Posterior(embeddings, ridge=self.ridge, targets=targets, tracked=tracked, curvature=curvature)
