"""How well a subset teaches a classifier on fixed features: a last layer fitted anew, tried on held-out examples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from winnow.core.errors import ShapeError
from winnow.core.types import Floats, Ints

FLOOR = 1e-3
"""Probability that is shared by all classes, so that a class that was not kept costs a finite loss."""


class HeldOut(NamedTuple):
    """Of each held-out example: wrong, 1 or 0, and loss, the cross-entropy in nats, both [v] float64."""

    wrong: Floats
    loss: Floats


def errors_held_out(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    kept: Ints,
    weights: ArrayLike,
    tried: Ints,
    strength: float = 1.0,
) -> HeldOut:
    """Fit weighted multinomial logistic regression on the kept examples' features and try it on others.

    features [n, d] of one probe, which may be a memory map; labels [n] in [0, C), C the number of classes that occur.
    kept [m] and weights [m] of the fit; tried [v]: the held-out examples. Features are standardised by the kept ones.
    The fit minimises Σ w_i ℓ_i + ‖W‖² / (2 strength), as scikit-learn does by default for strength = 1.

    The probabilities are mixed with FLOOR of the uniform distribution. Where one class alone is kept, it is always
    predicted.

    Raises ShapeError where an example is both kept and tried, or the arrays do not fit each other.
    """
    hidden, truth, weight = np.asarray(features), np.asarray(labels), np.asarray(weights, dtype=np.float64)
    if hidden.ndim != 2 or truth.shape != hidden.shape[:1] or weight.shape != kept.shape:
        raise ShapeError(
            f"give features [n, d], labels [n], and a weight for each kept example; got {list(hidden.shape)}, "
            f"{list(truth.shape)}, {list(weight.shape)} for {kept.size} kept."
        )
    if np.intersect1d(kept, tried).size:
        raise ShapeError("an example that the fit saw cannot be held out; take it from the kept ones.")
    classes = np.unique(truth)
    known = np.unique(truth[kept])
    p = np.zeros((tried.size, classes.size))
    columns = np.searchsorted(classes, known)
    if known.size == 1:
        p[:, columns] = 1
    elif known.size:
        from sklearn.linear_model import LogisticRegression  # here: importing it takes a second of every process
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-3))
        model.fit(hidden[kept], truth[kept], logisticregression__sample_weight=weight)
        p[:, columns] = model.predict_proba(hidden[tried])
    right = np.searchsorted(classes, truth[tried])
    p = (1 - FLOOR) * p + FLOOR / classes.size
    return HeldOut(wrong=(p.argmax(axis=1) != right).astype(np.float64), loss=-np.log(p[np.arange(tried.size), right]))
