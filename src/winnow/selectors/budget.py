"""Whole numbers of examples: how many are kept, and how they are shared among strata."""

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import BudgetError
from winnow.core.rounding import TOLERANCE, round_half_up
from winnow.core.types import Ints


def kept_count(n: int, r: float) -> int:
    """m = ⌊r n + ½⌋, the number of examples kept of n.

    Raises BudgetError when r is outside (0, 1], or so small that no example is kept.
    """
    if not 0 < r <= 1:
        raise BudgetError(f"r={r} is not a fraction of the {n} examples to keep; choose r in (0, 1].")
    m = round_half_up(r * n)
    if m < 1:
        raise BudgetError(f"r={r} of n={n} examples keeps none; raise r to {0.5 / max(n, 1):.3g} or more.")
    return m


def least_counts(sizes: Ints, fraction: float) -> Ints:
    """⌈fraction · n_c⌉ for each stratum of size n_c, [C]."""
    return np.array([ceil(fraction * size - TOLERANCE) for size in sizes], dtype=np.int64)


def largest_remainder(shares: NDArray[np.floating[Any]], total: int, caps: Ints) -> Ints:
    """Whole budgets [C] near the real shares [C] that sum to total, none above its cap [C].

    Each gets the whole part of its share; the rest goes out one at a time, by largest remainder, ties to the first.
    Where caps leave more to give than there are strata, it goes round again. The shares sum to the total, up to its
    rounding, and the caps to at least the total.
    """
    budgets = np.minimum(np.floor(shares + TOLERANCE).astype(np.int64), caps)
    assert budgets.sum() <= total <= caps.sum(), (budgets.sum(), total, caps.sum())
    while (rest := total - int(budgets.sum())) > 0:
        # The remainders are rounded, so that equal ones stay tied whatever the last bit of the product was.
        by_remainder = np.argsort(-np.round(shares - budgets, 9), kind="stable")
        with_room = by_remainder[budgets[by_remainder] < caps[by_remainder]]
        budgets[with_room[:rest]] += 1
    return budgets
