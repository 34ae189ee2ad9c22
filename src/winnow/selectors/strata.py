"""Strata: the classes; or the range of the scores, its hardest end cut off, in parts of equal width."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import blocks
from winnow.core.errors import OptionError, check_choice
from winnow.core.rounding import round_half_up
from winnow.core.types import Floats, Ints
from winnow.selectors.pool import Pool

TOGETHER = 2**20
"""Members that are put into strata at a time."""


def by_class(members: Ints, labels: NDArray[Any]) -> list[Ints]:
    """The members of each class, classes in the order of np.unique. labels: [n], of all."""
    own = labels[members]
    counts = np.unique(own, return_counts=True)[1]
    return np.split(members[np.argsort(own, kind="stable")], np.cumsum(counts)[:-1])


def check_cut(beta: float, cut_by: str, strata: int) -> None:
    """Raise OptionError for a fraction outside [0, 1), an unknown cut_by, or fewer than one stratum."""
    check_choice("selector.cut_by", cut_by, ("score", "aum", "aum_probability"))
    if not 0 <= beta < 1:
        raise OptionError(f"selector.beta={beta} must be the fraction of the hardest to drop, in [0, 1).")
    if strata < 1:
        raise OptionError(f"selector.strata={strata} must be at least 1.")


def without_hardest(members: Ints, count: int, pool: Pool, *, beta: float, cut_by: str) -> Ints:
    """The members but for the ⌊beta k + ½⌋ of their k that are hardest by `cut_by`; always `count` or more."""
    dropped = min(round_half_up(beta * members.size), members.size - count)
    return pool.hardest(members, members.size - dropped, -pool.suspicion(members, cut_by)) if dropped else members


def equal_width(members: Ints, values: Floats, strata: int) -> list[Ints]:
    """The members in `strata` groups, by rising value; the groups cut the range of the values [k] evenly."""
    low = values.min()
    width = (values.max() - low) / strata or 1.0  # all alike: all in the first
    group = np.empty(values.size, dtype=np.min_scalar_type(strata))
    for some in blocks(values.size, TOGETHER):
        group[some] = np.minimum((values[some] - low) / width, strata - 1)
    del values  # often this was the last one who held them, and of many members memory is short
    ends = np.cumsum(np.bincount(group, minlength=strata))
    grouped, free = np.empty_like(members), np.concatenate([[0], ends[:-1]])
    for some in blocks(members.size, TOGETHER):  # a counting sort: each part goes on where the last one ended
        order = np.argsort(group[some], kind="stable")
        counts = np.bincount(group[some], minlength=strata)
        behind = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
        grouped[np.repeat(free, counts) + behind] = members[some][order]
        free += counts
    return np.split(grouped, ends[:-1])


def equal_shares(sizes: Ints, count: int) -> Ints:
    """Budgets [C] of strata of these sizes that sum to count <= Σ sizes: equal, as far as the small ones reach."""
    shares = np.zeros_like(sizes)
    for served, stratum in enumerate(np.argsort(sizes, kind="stable")):
        shares[stratum] = min(sizes[stratum], count // (sizes.size - served))
        count -= int(shares[stratum])
    return shares
