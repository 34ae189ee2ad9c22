"""How scores relate to each other, to the label, to label noise and to the probes: arrays in, numbers out.

Only the order of scores chooses examples, so everything here reads their ranks, ties at their mean rank.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, rankdata

from winnow.core.rounding import round_half_up
from winnow.core.types import Bools, Floats, Ints


def spearman(scores: Floats) -> Floats:
    """[M, M]: Spearman's rank correlation of M scores [M, n]; NaN where one is constant."""
    ranks = rankdata(scores, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(ranks).sum(axis=1))
    length[length == 0] = np.nan
    return ranks @ ranks.T / np.outer(length, length)


def kendall(scores: Floats) -> Floats:
    """[M, M]: Kendall's tau-b of M scores [M, n], (concordant − discordant pairs) / √(pairs not tied in a · in b).

    n log n for each pair (Knight 1966, by scipy); NaN where a score is constant.
    """
    found = np.full((len(scores), len(scores)), np.nan)
    for i, first in enumerate(scores):
        for j, second in enumerate(scores[: i + 1]):
            found[i, j] = found[j, i] = kendalltau(first, second, variant="b").statistic
    return found


def hardest_overlap(scores: Floats, share: float = 0.1) -> Floats:
    """[M, M]: of the hardest `share` by one of M scores [M, n], the fraction that is also in the hardest by another.

    Ties at the edge are broken at random and apart for each score, and this is the expectation. So the diagonal is
    below 1 where ties leave the choice to chance; scores in random order have `share`.
    """
    m = max(round_half_up(share * scores.shape[1]), 1)
    kept = np.stack([_inclusion(values, m) for values in scores])
    return kept @ kept.T / m


def _inclusion(values: Floats, m: int) -> Floats:
    """[n]: the probability of each example to be among the m highest, ties broken at random."""
    edge = np.partition(values, -m)[-m]
    above, at = values > edge, values == edge
    return above + at * (m - above.sum()) / at.sum()


def tied_pairs(values: Floats) -> float:
    """The share of the n(n − 1)/2 pairs of examples whose scores [n] are equal."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (values.size * (values.size - 1)))


def class_share(values: Floats, labels: Ints) -> float:
    """η² of the ranks of scores [n]: the share of their variance that lies between the classes, in [0, 1].

    About (C − 1)/(n − 1) where scores do not depend on the class; NaN where they are constant.
    """
    ranks = rankdata(values)
    total = np.square(ranks - ranks.mean()).sum()
    counts = np.bincount(labels)
    means = np.bincount(labels, weights=ranks) / np.maximum(counts, 1)
    return float((counts * np.square(means - ranks.mean())).sum() / total) if total else np.nan


def flip_auc(values: Floats, flipped: Bools) -> float:
    """The probability that an example with a wrong label scores higher than one with a right label, ties counting half.

    NaN where all labels, or none, are wrong.
    """
    from sklearn.metrics import roc_auc_score  # here: importing it takes a second of every process

    return float(roc_auc_score(flipped, values)) if 0 < flipped.sum() < flipped.size else np.nan


def mean_correlation(groups: Floats) -> float:
    """The mean Spearman correlation over the pairs of G scores [G, n]; NaN where one is constant."""
    return float(spearman(groups)[np.triu_indices(len(groups), 1)].mean())


def spearman_brown(correlation: float, times: ArrayLike) -> Any:
    """The correlation to expect between means of `times` as many probes: t ρ / (1 + (t − 1) ρ) (Spearman, Brown 1910).

    For the correlation of means of independent probes; for ranks it is an approximation. NaN where it is not positive:
    then the probes share nothing.
    """
    if not correlation > 0:
        return np.full(np.shape(times), np.nan)[()]
    t = np.asarray(times, dtype=np.float64)
    return t * correlation / (1 + (t - 1) * correlation)


def probes_for(correlation: float, probes: int, target: float = 0.95) -> float:
    """How many probes give `target`, by Spearman and Brown, where `probes` give `correlation`; NaN where none would."""
    if not correlation > 0:
        return np.nan
    return max(probes * target * (1 - correlation) / ((1 - target) * correlation), 1.0)
