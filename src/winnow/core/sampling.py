"""Drawing a fixed number of examples with unequal probabilities, each met exactly."""

import numpy as np

from winnow.core.arrays import Floats, Ints, blocks

TOGETHER = 2**20
"""Examples that are laid end to end at a time."""


def capped(sizes: Floats, count: int) -> Floats:
    """min(1, κ sizes), [k], with κ such that they sum to count <= k. sizes: [k], positive."""
    if count == sizes.size:
        return np.ones(count)
    scale = count / sizes.sum()
    if scale * sizes.max() >= 1:
        scale = _capped_scale(sizes, count)
    probability = scale * sizes
    return np.minimum(probability, 1.0, out=probability)


def _capped_scale(sizes: Floats, count: int) -> float:
    """κ where some are certain: the a largest, a the first for which the next one stays below 1.

    Capping one at a time from the largest ends at the same a.
    """
    rising = np.sort(sizes)
    largest = rising[: -count - 2 : -1].copy()
    rest = np.cumsum(rising, out=rising)[: -count - 2 : -1]  # rest[a]: the sum of all but the a largest
    for some in blocks(count + 1, TOGETHER):
        stays = (count - np.arange(some.start, some.stop)) * largest[some] < rest[some]
        if stays.any():
            break
    certain = some.start + int(np.argmax(stays))
    return float((count - certain) / rest[certain])


def systematic(probability: Floats, count: int, draws: np.random.Generator) -> Ints:
    """Positions [count], rising: each i with probability [k] π_i, which sum to count.

    The draw is systematic, in random order (Madow 1949): the π_i are laid end to end, and i is drawn where a whole
    number plus one uniform offset falls on it.
    """
    while True:
        order = np.flatnonzero(probability < 1)
        draws.shuffle(order)
        offset = draws.random()
        kept = probability == 1
        end, marks = 0.0, 0.0
        for some in blocks(order.size, TOGETHER):
            ends = probability[order[some]]
            ends[0] += end  # so that the sum goes on as if it were one
            np.cumsum(ends, out=ends)
            passed = np.floor(ends + offset)
            kept[order[some]] = np.diff(passed, prepend=marks) > 0
            end, marks = ends[-1], passed[-1]
        positions = np.flatnonzero(kept)
        # Rounding of the sum loses a mark once in millions of draws; then it is drawn again.
        if positions.size == count:
            return positions
