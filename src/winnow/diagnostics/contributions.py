"""What each training example contributes to a target loss, from gradients of the last layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from winnow.core.errors import OptionError, ShapeError
from winnow.core.types import Floats, Ints

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def gradient_sum(logits: ArrayLike, labels: ArrayLike, features: ArrayLike) -> Floats:
    """Σ_j (p_j − y_j) ⊗ [h_j, 1], the summed gradient of the cross-entropy by the last layer's weights and bias.

    logits [J, C], labels [J] in [0, C), features [J, d]: a target set, or a block of it; p is the softmax, y one-hot.
    Gives [C, d + 1] in float64, the bias last. Divided by the size of the target set it is G, the mean gradient.

    Raises ShapeError where the arrays do not fit each other or are not finite.
    """
    errors, inputs = gradient_factors(logits, labels, features)
    return errors.T @ inputs


def contributions(logits: ArrayLike, labels: ArrayLike, features: ArrayLike, target: Floats) -> Floats:
    """⟨G, g_i⟩ = (p_i − y_i)ᵀ G [h_i, 1] of each example, [n], float64.

    g_i = (p_i − y_i) ⊗ [h_i, 1] is the example's gradient by the last layer, so a small gradient step on it alone
    lowers the target loss by the step's size times this, as far as the last layer goes. Positive: it helps the target;
    about zero: it has nothing to add; negative: it harms. Gu et al. 2024 (2402.17759), section 3, with two
    departures: only the last layer's gradient is taken, and an example counts per unit of weight, whatever its weight
    in training.

    logits [n, C], labels [n], features [n, d]: training examples, or a block of them; target [C, d + 1]: G. The g_i are
    never formed: the cost is n C (d + 1) products and memory for n (C + d) numbers.

    Raises ShapeError where the arrays do not fit each other or are not finite.
    """
    errors, inputs = gradient_factors(logits, labels, features)
    if target.shape != (errors.shape[1], inputs.shape[1]):
        raise ShapeError(
            f"the target gradient must be [C, d + 1] = {[errors.shape[1], inputs.shape[1]]}, from the same model "
            f"as the examples; got {list(target.shape)}."
        )
    return np.einsum("ic,ic->i", errors, inputs @ target.T)


@dataclass(frozen=True, kw_only=True, eq=False)
class ContributionSummary:
    """Contributions of the same m examples in E epochs, each field [E] but quantiles [E, len(levels)].

    mean and std (divisor m). quantiles at `levels`. freeloaders: share with |c| at most the threshold times the epoch's
    mean |c|. harmful: share with c < 0, however small; an example just below zero is in both shares.
    """

    mean: Floats
    std: Floats
    quantiles: Floats
    levels: tuple[float, ...]
    freeloaders: Floats
    harmful: Floats


def summarise(
    values: ArrayLike, *, freeloader: float = 0.01, levels: tuple[float, ...] = QUANTILES
) -> ContributionSummary:
    """The summary of contributions [E, m] by epoch.

    freeloader: threshold, relative to the mean absolute contribution of the epoch, because gradients shrink as the
    model learns.

    Raises OptionError for a negative threshold; ShapeError unless values are finite [E, m] with m > 0.
    """
    if freeloader < 0:
        raise OptionError(f"freeloader={freeloader} must be at least 0, a share of the mean absolute contribution.")
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0 or not np.all(np.isfinite(array)):
        raise ShapeError(f"contributions must be finite numbers [epochs, examples]; got shape {list(array.shape)}.")
    size = np.abs(array)
    return ContributionSummary(
        mean=array.mean(axis=1),
        std=array.std(axis=1),
        quantiles=np.quantile(array, levels, axis=1).T,
        levels=tuple(levels),
        freeloaders=(size <= freeloader * size.mean(axis=1, keepdims=True)).mean(axis=1),
        harmful=(array < 0).mean(axis=1),
    )


def gradient_factors(logits: ArrayLike, labels: ArrayLike, features: ArrayLike) -> tuple[Floats, Floats]:
    """The two factors of g_i = (p_i − y_i) ⊗ [h_i, 1]: p − y [n, C] and [h, 1] [n, d + 1], in float64.

    Raises ShapeError where the arrays do not fit each other or are not finite.
    """
    outputs, hidden = np.asarray(logits, dtype=np.float64), np.asarray(features, dtype=np.float64)
    truth: Ints = np.asarray(labels)
    if outputs.ndim != 2 or hidden.ndim != 2 or not len(outputs) == len(hidden) == truth.size or truth.ndim != 1:
        raise ShapeError(
            "give logits [n, C], labels [n] and features [n, d] of the same n examples; got "
            f"{list(outputs.shape)}, {list(truth.shape)} and {list(hidden.shape)}."
        )
    if truth.size and (truth.min() < 0 or truth.max() >= outputs.shape[1]):
        raise ShapeError(f"labels must be classes in [0, {outputs.shape[1]}), one column of the logits each.")
    if not (np.all(np.isfinite(outputs)) and np.all(np.isfinite(hidden))):
        raise ShapeError("logits or features are not finite: the model diverged; lower recipe.lr.")
    errors = softmax(outputs, axis=1)
    errors[np.arange(truth.size), truth] -= 1
    return errors, np.hstack([hidden, np.ones((len(hidden), 1))])
