"""D2 pruning: difficulty and diversity balanced by message passing on a graph of near neighbours."""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Floats, Ints
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool
from winnow.selectors.strata import check_cut, equal_shares, equal_width, without_hardest
from winnow.store.keys import LATER

BLOCK = 100_000
"""Edges whose lengths are computed at once: 200 MB of differences at 512 dimensions."""

LEAST_SCORE = 1e-7
"""What the authors' code lets a neighbour of score 0 count."""


@dataclass(frozen=True, kw_only=True)
class D2(Selector):
    """Keeps the examples that are hard, among hard neighbours, and not near to one that is kept already.

    Maharana et al. 2024 (2310.07931). The graph joins each example to its k nearest by Euclidean distance d in the
    embedding; it is undirected, so that an example that many are near to has more than k neighbours N(i).
      forward:  u_i = x_i + Σ_{j∈N(i)} exp(−gamma_f d_ij²) x_j,     x the scores, less the lowest where that is negative
      reverse:  keep the i with the largest u_i, then u_j ← u_j − exp(−gamma_r d_ij²) max(u_i, 0) for j in N(i); repeat.
    The lower gamma_r, the more a kept example takes from its neighbours. k = 5 is the authors' for CIFAR-10.

    variant: "gaussian" is the above. distance: "relative" divides d² by its mean over the edges, so that gamma means
    the same in every embedding, which is ours; "raw" takes the embedding's own units, as the paper, where exp(−d²) of
    many dimensions is often 0 and the rule the threshold rule. The name in rules says which: d2[relative], d2[raw].
    Deviations: x is shifted only where a metric has negative scores (aum), because u adds scores up and needs a zero
    below which none lies; higher stays harder. A negative u_i takes nothing: it would raise its neighbours.

    variant="official", d2[official], is the sampler of the authors' code (graph mode sum, sampling weighted): the
    distance itself and not its square, in the embedding's own units, and no gamma_f:
      forward:  u_i = x_i + Σ_{j∈N(i)} exp(−d_ij) max(x_j, 1e-7)
      reverse:  keep the largest, then u_j ← u_j − exp(−gamma_r d_ij) u_i, also where u_i is negative.
    Where the examples to choose from are no more than k it draws at random, as they do.

    What surrounds the sampler in their runs are options here. beta drops the ⌊beta n + ½⌋ hardest first, by cut_by as
    in `ccs` (theirs: aum_probability). strata cuts the range of the other scores into so many parts of equal width,
    each with an equal share of the budget and a graph of its own (their stratified mode: 25; 1 is none).
    balance="exact" gives classes budgets and graphs of their own. Their command for CIFAR-10 at r = 0.1 is k=5,
    gamma_r=0.1, beta=0.4, cut_by=aum_probability, balance=exact, with forgetting[zero]. They cut over all classes,
    which here is done in each, and where the score is aum theirs is the margin unturned, so that easy is important;
    here hard is.

    100,000 × 512 embeddings, r = 0.1, k = 10, one thread: 97 s of processor time, a peak of 1.1 GB. Neighbours are
    searched for exactly, so that time grows as n².

    Raises OptionError for k below 1, a negative gamma, an unknown distance, variant or cut_by, beta outside [0, 1),
    less than one stratum, or gamma_f or distance given with variant=official; MissingEvidenceError without embeddings.
    """

    _in_title: ClassVar[frozenset[str]] = frozenset({"variant", "distance", "cut_by"})

    variant: str = field(default="gaussian", metadata=LATER)
    k: int = 5
    gamma_f: float = 1.0
    gamma_r: float = 1.0
    distance: str = "relative"
    beta: float = field(default=0.0, metadata=LATER)
    cut_by: str = field(default="score", metadata=LATER)
    strata: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.variant", self.variant, ("gaussian", "official"))
        check_choice("selector.distance", self.distance, ("relative", "raw"))
        check_cut(self.beta, self.cut_by, self.strata)
        if self.variant == "official" and (self.gamma_f != 1 or self.distance != "relative"):
            raise OptionError(
                "selector.gamma_f and selector.distance belong to variant=gaussian; official has neither."
            )
        if self.k < 1:
            raise OptionError(f"selector.k={self.k} joins no neighbours; choose k of 1 or more.")
        for name, gamma in (("gamma_f", self.gamma_f), ("gamma_r", self.gamma_r)):
            if not gamma >= 0:
                raise OptionError(f"selector.{name}={gamma} would let far neighbours count more; choose 0 or more.")

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset({"embeddings", "trajectories"} if self.beta and self.cut_by != "score" else {"embeddings"})

    @property
    def _title(self) -> str:
        cut = f",cut by {self.cut_by}" if self.beta else ""
        return f"{self.name}[{self.distance if self.variant == 'gaussian' else self.variant}{cut}]"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        trusted = without_hardest(members, count, pool, beta=self.beta, cut_by=self.cut_by)
        strata = equal_width(trusted, pool.values[trusted], self.strata)
        shares = equal_shares(np.array([stratum.size for stratum in strata]), count)
        return np.concatenate([self._of(stratum, share, pool) for stratum, share in zip(strata, shares, strict=True)])

    def _of(self, stratum: Ints, count: int, pool: Pool) -> Ints:
        """`count` of the examples that share a graph."""
        if count in (0, stratum.size):
            return stratum[:count]
        order = pool.shuffled(stratum)
        official = self.variant == "official"
        if official and order.size <= self.k:
            return order[:count]
        u, messages = self.importance(pool.values[order], pool.embeddings(order))
        return order[_sample(u, messages, count, rises=official)]

    def importance(self, scores: Floats, embeddings: NDArray[np.float32]) -> tuple[Floats, csr_array]:
        """u [n] before any is kept, and what of u_i a kept i takes from its neighbours, sparse [n, n]."""
        graph = neighbour_graph(embeddings, self.k)
        x = scores - min(0.0, scores.min())
        if self.variant == "official":
            graph.data = np.sqrt(graph.data)
            u = x + _messages(graph, 1.0) @ np.maximum(x, LEAST_SCORE)
        else:
            if self.distance == "relative":
                graph.data /= graph.data.mean() or 1.0
            u = x + _messages(graph, self.gamma_f) @ x
        return u, _messages(graph, self.gamma_r)


def neighbour_graph(embeddings: NDArray[np.float32], k: int) -> csr_array:
    """Squared lengths d_ij² of the undirected k-nearest-neighbour graph, sparse and symmetric [n, n].

    embeddings [n, d], n ≥ 2. An edge of length 0, between equal examples, is stored as well. Which of equally near ones
    are neighbours depends on the order of the rows, and so on the seed.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    import faiss  # not where a selection is only described, or there already

    points = (embeddings - embeddings.mean(axis=0)).astype(np.float32)  # faiss expands d², which loses digits
    # One more than k, because each finds itself; where more than k are equal to it, it may not, and the last one goes.
    found = faiss.knn(points, points, k + 1)[1]
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True
    ends = found[~itself].reshape(n, k)
    starts = np.repeat(np.arange(n), k)
    edges = np.unique(np.minimum(starts, ends.ravel()) * n + np.maximum(starts, ends.ravel()))
    low, high = edges // n, edges % n
    squared = np.empty(edges.size)
    for first in range(0, edges.size, BLOCK):
        part = slice(first, first + BLOCK)
        difference = points[low[part]] - points[high[part]]
        squared[part] = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    return csr_array((np.concatenate([squared, squared]), (rows, columns)), shape=(n, n))


def _messages(graph: csr_array, gamma: float) -> csr_array:
    return csr_array((np.exp(-gamma * graph.data), graph.indices, graph.indptr), shape=graph.shape)


def _sample(u: Floats, messages: csr_array, count: int, *, rises: bool) -> Ints:
    """[count] positions in the order in which they are kept; of equals, the first.

    rises: whether a negative u that is kept raises its neighbours.
    """
    u, waiting = u.copy(), np.ones(u.size, dtype=bool)
    # An entry that is out of date because u fell is too high: it is looked at when it comes to the top. Where u rises,
    # it gets a new entry.
    heap = list(zip((-u).tolist(), range(u.size), strict=True))
    heapify(heap)
    kept: list[int] = []
    while len(kept) < count:
        key, i = heap[0]
        if not waiting[i]:
            heappop(heap)
            continue
        if -key != u[i]:
            heapreplace(heap, (-u[i], i))
            continue
        heappop(heap)
        kept.append(i)
        waiting[i] = False
        if u[i] > 0 or rises:
            part = slice(messages.indptr[i], messages.indptr[i + 1])
            neighbours = messages.indices[part]
            u[neighbours] -= messages.data[part] * u[i]
            if u[i] < 0:
                for j in neighbours[waiting[neighbours]]:
                    heappush(heap, (-u[j], int(j)))
    return np.array(kept, dtype=np.int64)
