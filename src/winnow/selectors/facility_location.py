"""Facility location: every example has a kept one that resembles it."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from winnow.core.errors import OptionError
from winnow.core.types import Ints
from winnow.selectors.embedding_selector import EmbeddingSelector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(EmbeddingSelector):
    """Adds, one after another, the example that raises F_k(S) = Σ_i max_{j in S, j in N_k(i)} s_ij the most.

    s_ij = max(0, cosine of x_i − x̄ and x_j − x̄), x̄ the mean embedding of those there are to choose from; s_ii = 1.
    N_k(i) are the k = neighbours examples most similar to i, i among them, found exactly; outside, similarity counts
    as zero, so that the graph has n · k entries, never n · n. A maximum over nobody is zero.

    What is left out is bounded: with s_i(k) the similarity to the k-th neighbour,
        F_k(S) ≤ F(S) ≤ F_k(S) + Σ s_i(k) over the examples i that have no neighbour in S,
    F without the restriction. Greedy reaches at least (1 − 1/e) of the largest F_k (Nemhauser, Wolsey & Fisher 1978),
    evaluated lazily (Minoux 1978), which picks the same. With neighbours ≥ n it is greedy on F itself.

    Mirzasoleiman et al. 2020 (1906.01827) and DeepCore's code maximise F of gradients, within each class
    (balance="exact"), over the dense matrix. alpha is ignored: everything follows the rule, and no score is read.

    Raises OptionError for neighbours under 1.
    """

    neighbours: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise OptionError(f"selector.neighbours={self.neighbours} must be at least 1, the example itself.")

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        shuffled = pool.shuffled(members)
        return shuffled[lazy_greedy(similarities(pool.embeddings(shuffled), self.neighbours), count)]


def similarities(points: NDArray[np.float32], neighbours: int) -> csc_array:
    """[k, k], sparse: row i holds the similarities of point i to its nearest neighbours, itself first."""
    points = np.ascontiguousarray(points - points.mean(axis=0))
    import faiss  # not where a selection is only described, or there already

    faiss.normalize_L2(points)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    near, ids = index.search(points, min(neighbours, len(points)))
    own = np.arange(len(points))
    # Among more twins than neighbours a point need not find itself; it then takes the place of the last.
    place = np.where((ids == own[:, None]).any(axis=1), (ids == own[:, None]).argmax(axis=1), ids.shape[1] - 1)
    near[own, place], ids[own, place] = 1, own
    starts = np.arange(len(points) + 1) * ids.shape[1]
    return csr_array((np.clip(near, 0, 1).ravel(), ids.ravel(), starts), shape=(len(points),) * 2).tocsc()


def lazy_greedy(similarity: csc_array, count: int) -> Ints:
    """[count] columns, each of the largest gain in Σ_i max_j s_ij over the chosen j; of equal ones the first.

    A gain only falls as more are chosen, so the best of the old gains that stays best when computed anew is the best.
    """
    cover = np.zeros(similarity.shape[0])

    def covered_by(j: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        column = slice(similarity.indptr[j], similarity.indptr[j + 1])
        return similarity.indices[column], similarity.data[column]

    def priced(j: int) -> tuple[float, int]:
        rows, values = covered_by(j)
        return -float(np.maximum(values - cover[rows], 0).sum()), j

    heap = [priced(j) for j in range(similarity.shape[1])]
    heapq.heapify(heap)
    chosen = np.empty(count, dtype=np.int64)
    for t in range(count):
        while (now := priced(heap[0][1])) > min(heap[1:3], default=now):
            heapq.heapreplace(heap, now)
        heapq.heappop(heap)
        chosen[t] = now[1]
        rows, values = covered_by(now[1])
        cover[rows] = np.maximum(cover[rows], values)
    return chosen
