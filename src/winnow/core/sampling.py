"""Drawing a fixed number of examples with unequal probabilities, each met exactly."""

import numpy as np

from winnow.core.arrays import Floats, Ints


def capped(sizes: Floats, count: int) -> Floats:
    """min(1, κ sizes), [k], with κ such that they sum to count <= k. sizes: [k], positive."""
    if count == sizes.size:
        return np.ones(count)
    scale = count / sizes.sum()
    if scale * sizes.max() >= 1:
        # The a largest are certain; a is the first for which the next one stays below 1. Capping one at a time from
        # the largest ends at the same a.
        rising = np.sort(sizes)
        largest, rest = rising[::-1], np.cumsum(rising)[::-1]  # rest[a]: the sum of all but the a largest
        certain = np.argmax((count - np.arange(count + 1)) * largest[: count + 1] < rest[: count + 1])
        scale = (count - certain) / rest[certain]
    return np.minimum(scale * sizes, 1.0)


def systematic(probability: Floats, count: int, draws: np.random.Generator) -> Ints:
    """Positions [count], rising: each i with probability [k] π_i, which sum to count.

    The draw is systematic, in random order (Madow 1949): the π_i are laid end to end, and i is drawn where a whole
    number plus one uniform offset falls on it.
    """
    others = np.flatnonzero(probability < 1)
    while True:
        order = draws.permutation(others)
        passed = np.floor(np.cumsum(probability[order]) + draws.random())
        kept = probability == 1
        kept[order] = np.diff(passed, prepend=0.0) > 0
        positions = np.flatnonzero(kept)
        # Rounding of the sum loses a mark once in millions of draws; then it is drawn again.
        if positions.size == count:
            return positions
