"""Greedy k-center: cover the embeddings with balls of the smallest radius."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.core.types import Ints
from winnow.selectors.embedding_selector import EmbeddingSelector
from winnow.selectors.pool import Pool

_BLOCK = 512  # of points whose distances are brought up to date together


@dataclass(frozen=True, kw_only=True)
class KCenter(EmbeddingSelector):
    """Keeps, one after another, the example that lies farthest from all kept ones. No score is read.

    Sener & Savarese 2018 (1708.00489), algorithm 1, with Euclidean distances of the embeddings; the first example is
    drawn by seed (theirs: what is labelled already). The largest distance of an example to the nearest kept one is at
    most twice the smallest possible (Gonzalez 1985). Their mixed-integer refinement of it is not here. One draw over
    all classes, as in the paper; balance="exact" covers each class by itself.

    Exact up to the rounding of float32 distances. No n x n matrix is made, and most of the n · m distances are never
    computed: see `farthest_first`. alpha is ignored: everything follows the rule.
    """

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        shuffled = pool.shuffled(members)
        return shuffled[farthest_first(pool.embeddings(shuffled), count)]


def farthest_first(points: NDArray[np.float32], count: int) -> Ints:
    """[count] positions in points [k, d]: the first, and then always the point farthest from all chosen so far.

    The distance to the nearest chosen point only falls as more are chosen, so an old one is an upper bound, and only
    points whose bound is the largest need theirs brought up to date: lazily, by blocks, one matrix product each.
    """
    points = points - points.mean(axis=0)  # shorter vectors: ‖x‖² + ‖c‖² − 2 x·c cancels less
    squares = np.einsum("ij,ij->i", points, points)
    bounds = np.full(len(points), np.inf, dtype=np.float32)
    known = np.zeros(len(points), dtype=np.int64)  # how many of the chosen the bound takes into account
    chosen = np.empty(count, dtype=np.int64)
    centres = np.empty((count, points.shape[1]), dtype=np.float32)
    size = min(_BLOCK, len(points))
    for t in range(count):
        while known[top := int(bounds.argmax())] < t:
            block = np.union1d(np.argpartition(bounds, -size)[-size:], top)  # ties could have left the top out
            # As stale as the top or up to half as much: a point that lags far behind does not make others wait for it.
            lag = t - known[block]
            block = block[(lag <= t - known[top]) & (2 * lag >= t - known[top])]
            missed = slice(known[block].min(), t)
            nearest = (squares[chosen[missed]] - 2 * (points[block] @ centres[missed].T)).min(axis=1)
            bounds[block] = np.minimum(bounds[block], squares[block] + nearest)
            known[block] = t
        chosen[t], centres[t], bounds[top] = top, points[top], -np.inf
    return chosen
