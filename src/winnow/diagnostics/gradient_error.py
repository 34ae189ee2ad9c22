"""How far the mean gradient of a subset may be from that of all the data: squared bias and variance, in closed form."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from winnow.core.errors import ShapeError
from winnow.core.types import Floats, Ints
from winnow.diagnostics.contributions import gradient_factors

BLOCK = 4096
"""Examples whose factors are in memory at once."""


class GradientError(NamedTuple):
    """Error of A subsets as estimates of the full mean gradient: bias2 and variance, [A], float64."""

    bias2: Floats
    variance: Floats


def gradient_error(
    logits: ArrayLike,
    labels: ArrayLike,
    features: ArrayLike,
    *,
    signals: Sequence[Ints],
    shares: ArrayLike,
    kept: int,
    among: Ints | None = None,
) -> GradientError:
    """The expected squared error of the weighted mean gradient of calibrated subsets, split into bias² and variance.

    A subset keeps all of a signal set S, s = |S|, and e = kept − s drawn uniformly without replacement from the rest R
    of the n examples. With a the share of S in the total weight (exact s/n; approximate s/kept)
      bias² = (a − s/n)² ‖ḡ_S − ḡ_R‖²,      variance = (1 − a)² (1 − e/(n − s)) V_R / e,
    V_R the total variance of the per-example gradients in R (divisor n − s − 1): stratified sampling with a certainty
    stratum (Cochran 1977, chapter 5). Class strata are ignored: the rest is taken as one stratum, which overstates the
    variance of a rule that draws within classes.

    Gradients are those of the cross-entropy by the last layer's weights and bias, g_i = (p_i − y_i) ⊗ [h_i, 1], and are
    never formed: one [C, d + 1] matrix of the signal's sum is moved from set to set by what enters and what leaves, so
    that nested sets cost one pass over the largest.

    logits [n_all, C], labels [n_all], features [n_all, d] of one probe; they may be memory maps. signals: A arrays of
    indices; shares: a of each, [A]. among: the n examples that the subset is drawn from; None: all.

    Raises ShapeError where the arrays do not fit each other or are not finite.
    """
    share = np.asarray(shares, dtype=np.float64)
    if share.shape != (len(signals),):
        raise ShapeError(f"give one share of the weight for each of the {len(signals)} signal sets; got {share.shape}.")
    parts = np.asarray(logits), np.asarray(labels), np.asarray(features)
    everyone = np.arange(len(parts[1])) if among is None else np.asarray(among)
    n = everyone.size
    total, total_norm2 = _sums(parts, everyone)
    running, running_norm2 = np.zeros_like(total), 0.0
    held: Ints = np.array([], dtype=np.int64)
    is_held = np.zeros(len(parts[1]), dtype=bool)
    gap2, spread = np.zeros(share.size), np.zeros(share.size)
    sizes: Ints = np.array([signal.size for signal in signals])
    for j, signal in enumerate(signals):
        enters = signal[~is_held[signal]]
        is_held[held] = False
        is_held[signal] = True
        leaves = held[~is_held[held]]
        for change, sign in ((enters, 1), (leaves, -1)):
            moved, moved_norm2 = _sums(parts, change)
            running += sign * moved
            running_norm2 += sign * moved_norm2
        held, s = signal, int(sizes[j])
        rest = total - running
        if 0 < s < n:
            gap2[j] = np.square(running / s - rest / (n - s)).sum()
        if n - s > 1:
            inside = total_norm2 - running_norm2 - np.square(rest).sum() / (n - s)
            spread[j] = max(inside, 0.0) / (n - s - 1)  # below zero by rounding only
    explored, others = kept - sizes, n - sizes
    drawn = np.where(explored > 0, (1 - explored / np.maximum(others, 1)) / np.maximum(explored, 1), 0.0)
    return GradientError(bias2=(share - sizes / n) ** 2 * gap2, variance=(1 - share) ** 2 * drawn * spread)


def _sums(parts: tuple[np.ndarray, np.ndarray, np.ndarray], indices: Ints) -> tuple[Floats, float]:
    """Σ g_i, [C, d + 1], and Σ ‖g_i‖² over these examples, in float64."""
    logits, labels, features = parts
    total, norm2 = np.zeros((logits.shape[1], features.shape[1] + 1)), 0.0
    for start in range(0, indices.size, BLOCK):
        block = indices[start : start + BLOCK]
        errors, inputs = gradient_factors(logits[block], labels[block], features[block])
        total += errors.T @ inputs
        norm2 += float(np.square(errors).sum(axis=1) @ np.square(inputs).sum(axis=1))
    return total, norm2
