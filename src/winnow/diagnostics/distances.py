"""How far a reweighted part of a sample lies from the whole: distances between two distributions over the same points.

A distribution over n points is a vector of masses that sum to one. All that is read of two of them is their difference,
δ [n], which sums to zero; two samples that share no point are pooled into one. B differences [B, n] are measured in one
pass, because the passes over pairs and orders of points are what costs.
"""

import numpy as np
from numpy.typing import NDArray

from winnow.core.types import Bools, Floats, Ints

BLOCK = 512  # of rows and columns of distances: one megabyte, which a core's cache holds
Points = NDArray[np.float32] | Floats


def energy_distance(points: Points, differences: Floats) -> Floats:
    """√(2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖) = √(−Σ_ij δ_i δ_j ‖x_i − x_j‖) of each difference, [B].

    Székely & Rizzo 2013 (10.1016/j.jspi.2013.03.018); in one dimension the number of scipy.stats.energy_distance. The
    sum is over all n² pairs, exactly, not over a sample of them: δ of a random part of the points is small, and an
    estimate from sampled pairs would have more noise than signal. Blocks of BLOCK x BLOCK distances are formed and
    forgotten, each pair once: n² (d + B) floating-point operations, memory for n (d + B) numbers.

    points [n, d]: computed in their precision and summed over blocks in float64; centre them, since distances come from
    inner products. differences [B, n].
    """
    n = len(points)
    scale = np.abs(differences).max(initial=0.0) or 1.0  # masses of 1/n waste the range of float32
    masses = (differences / scale).astype(points.dtype)
    squares = np.einsum("nd,nd->n", points, points)
    ones = np.ones_like(squares)
    left, right = np.column_stack([-2 * points, squares, ones]), np.column_stack([points, ones, squares])
    total = np.zeros(len(differences))
    for first in range(0, n, BLOCK):
        rows = slice(first, first + BLOCK)
        for second in range(first, n, BLOCK):
            columns = slice(second, second + BLOCK)
            between = left[rows] @ right[columns].T  # ‖x‖² + ‖y‖² − 2 ⟨x, y⟩
            np.sqrt(np.maximum(between, 0, out=between), out=between)
            if first == second:
                np.fill_diagonal(between, 0)
            once = np.sum((masses[:, rows] @ between) * masses[:, columns], axis=1, dtype=np.float64)
            total += once if first == second else 2 * once
    return scale * np.sqrt(np.maximum(-total, 0))


def sliced_wasserstein(points: Points, differences: Floats, directions: Points) -> Floats:
    """The 1-Wasserstein distance of the projections onto each direction, averaged over the directions; [B].

    ∫|F − G|, where F − G, the difference of the two distribution functions, is the running sum of δ in the order of the
    projected points: exact for weights, and in one dimension the number of scipy.stats.wasserstein_distance. Bonneel et
    al. 2015 (10.1007/s10851-014-0506-3). points [n, d], differences [B, n], directions [L, d] of length one.
    """
    total = np.zeros(len(differences))
    for direction in directions:
        projected = (points @ direction).astype(np.float64)
        order = np.argsort(projected)
        gap = np.diff(projected[order])
        for i, difference in enumerate(differences):  # one at a time stays in the cache
            running = np.cumsum(difference[order[:-1]])
            total[i] += np.abs(running, out=running) @ gap
    return total / len(directions)


def total_variation(labels: Ints, differences: Floats) -> Floats:
    """½ Σ_c |p_c − q_c| of the shares of the classes, [B]; in [0, 1]. labels [n] from 0; differences [B, n]."""
    shares = np.stack([np.bincount(labels, weights=difference) for difference in differences])
    return 0.5 * np.abs(shares).sum(axis=1)


def coverage(points: Points, kept: Bools, share: float = 0.95) -> float:
    """The radius around the kept points within which that share of the dropped ones lies; 0 where none is dropped.

    The quantile over dropped points of the Euclidean distance to the nearest kept one (exact search). points [n, d];
    kept [n].
    """
    if np.all(kept):
        return 0.0
    import faiss  # here: importing it takes long, and most processes do without

    near, far = np.ascontiguousarray(points[kept], np.float32), np.ascontiguousarray(points[~kept], np.float32)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(near)
    nearest = index.search(far, 1)[1][:, 0]
    # faiss expands ‖x − y‖², which loses the digits of short distances.
    return float(np.quantile(np.linalg.norm(points[~kept] - points[kept][nearest], axis=1), share))
