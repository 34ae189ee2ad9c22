"""D2 pruning: difficulty and diversity balanced by message passing on a graph of near neighbours."""

from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from winnow.errors import OptionError, check_choice
from winnow.selectors.base import Selector
from winnow.selectors.pool import Pool
from winnow.types import Floats, Ints

BLOCK = 100_000
"""Edges whose lengths are computed at once: 200 MB of differences at 512 dimensions."""


@dataclass(frozen=True, kw_only=True)
class D2(Selector):
    """Keeps the examples that are hard, among hard neighbours, and not near to one that is kept already.

    Maharana et al. 2024 (2310.07931). The graph joins each example to its k nearest by Euclidean distance d in the
    embedding; it is undirected, so that an example that many are near to has more than k neighbours N(i).
      forward:  u_i = x_i + Σ_{j∈N(i)} exp(−gamma_f d_ij²) x_j,     x the scores, less the lowest where that is negative
      reverse:  keep the i with the largest u_i, then u_j ← u_j − exp(−gamma_r d_ij²) max(u_i, 0) for j in N(i); repeat.
    The lower gamma_r, the more a kept example takes from its neighbours. k = 5 is the authors' for CIFAR-10.

    distance: "relative" divides d² by its mean over the edges, so that gamma means the same in every embedding;
    "raw" takes the embedding's own units, where exp(−d²) of many dimensions is often 0 and the rule the threshold rule.

    Deviations: x is shifted only where a metric has negative scores (aum), because u adds scores up and needs a zero
    below which none lies; higher stays harder. A negative u_i takes nothing: it would raise its neighbours. The
    authors' code has exp(−d) and exp(−gamma_r d), no gamma_f, and a directed graph where distances are precomputed.

    100,000 × 512 embeddings, r = 0.1, k = 10, one thread: 97 s of processor time, a peak of 1.1 GB. Neighbours are
    searched for exactly, so that time grows as n².

    Raises OptionError for k below 1, a negative gamma or an unknown distance; MissingEvidenceError without embeddings.
    """

    k: int = 5
    gamma_f: float = 1.0
    gamma_r: float = 1.0
    distance: str = "relative"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.distance", self.distance, ("relative", "raw"))
        if self.k < 1:
            raise OptionError(f"selector.k={self.k} joins no neighbours; choose k of 1 or more.")
        for name, gamma in (("gamma_f", self.gamma_f), ("gamma_r", self.gamma_r)):
            if not gamma >= 0:
                raise OptionError(f"selector.{name}={gamma} would let far neighbours count more; choose 0 or more.")

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset({"embeddings"})

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        order = pool.shuffled(members)
        graph = neighbour_graph(pool.embeddings(order), self.k)
        if self.distance == "relative":
            graph.data /= graph.data.mean() or 1.0
        x = pool.values[order] - min(0.0, pool.values[order].min())
        u = x + _messages(graph, self.gamma_f) @ x
        return order[_sample(u, _messages(graph, self.gamma_r), count)]


def neighbour_graph(embeddings: NDArray[np.float32], k: int) -> csr_array:
    """Squared lengths d_ij² of the undirected k-nearest-neighbour graph, sparse and symmetric [n, n].

    embeddings [n, d], n ≥ 2. An edge of length 0, between equal examples, is stored as well. Which of equally near ones
    are neighbours depends on the order of the rows, and so on the seed.
    """
    n = len(embeddings)
    k = min(k, n - 1)
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


def _sample(u: Floats, messages: csr_array, count: int) -> Ints:
    """[count] positions in the order in which they are kept; of equals, the first."""
    u = u.copy()
    # Nothing ever rises, so an entry that is out of date is only too high: it is looked at when it comes to the top.
    heap = list(zip((-u).tolist(), range(u.size), strict=True))
    heapify(heap)
    kept: list[int] = []
    while len(kept) < count:
        key, i = heap[0]
        if -key != u[i]:
            heapreplace(heap, (-u[i], i))
            continue
        heappop(heap)
        kept.append(i)
        if u[i] > 0:
            part = slice(messages.indptr[i], messages.indptr[i + 1])
            u[messages.indices[part]] -= messages.data[part] * u[i]
    return np.array(kept, dtype=np.int64)
