"""The points that a law is fitted to: one for each distinct size, with its mean error and its weight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from winnow.core.errors import FitError
from winnow.core.types import Floats


@dataclass(frozen=True, eq=False)
class Points:
    """Mean error at each of N distinct sizes.

    n: [N] examples, rising. error: [N] mean over seeds, positive. weights: [N] of the squared residuals of log error,
    with geometric mean one, so that the weighted sum of squares is that of the normal likelihood up to a constant.
    seeds: for each size the errors it was averaged from, zeros left as they are.
    """

    n: Floats
    error: Floats
    weights: Floats
    seeds: tuple[Floats, ...]
    n_test: int | None


def collect_points(n: ArrayLike, error: ArrayLike, n_test: int | None, spread: ArrayLike | None) -> Points:
    """Points from flat lists in which a size comes once for each seed.

    Errors of a size are averaged before the logarithm is taken: at a few errors in n_test, the logarithm of a single
    seed is skewed by an amount that grows as the error falls, and would bend the curve. A point weighs
    (error / spread of the mean)², or its number of seeds where no spread is given.

    Raises FitError on lengths that differ, n that is not positive and finite, errors that are negative or not finite,
    zero errors without n_test, and spreads that are not positive.
    """
    n, error = np.asarray(n, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if n.ndim != 1 or n.shape != error.shape:
        raise FitError(
            f"n and error must be lists of the same length; got shapes {list(n.shape)}, {list(error.shape)}."
        )
    if not np.all(np.isfinite(n) & (n > 0)):
        raise FitError("every size n must be a positive number; leave out the points where it is not.")
    if not np.all(np.isfinite(error) & (error >= 0)):
        raise FitError("every error must be finite and not negative; leave out the runs that diverged.")
    sizes, place, count = np.unique(n, return_inverse=True, return_counts=True)
    mean = positive(np.bincount(place, error, minlength=sizes.size) / count, n_test)
    if spread is None:
        weights = count.astype(np.float64)
    else:
        spread = np.asarray(spread, dtype=np.float64)
        if spread.shape != error.shape or not np.all(np.isfinite(spread) & (spread > 0)):
            raise FitError("spread must be one positive number for each error; leave it out to weigh all seeds alike.")
        weights = (mean * count) ** 2 / np.bincount(place, spread**2, minlength=sizes.size)
    if sizes.size:
        weights = weights / np.exp(np.log(weights).mean())
    return Points(sizes, mean, weights, tuple(error[place == i] for i in range(sizes.size)), n_test)


def positive(error: Floats, n_test: int | None) -> Floats:
    """Errors with zeros as half an error, (0 + ½)/(n_test + 1), which has a logarithm.

    Raises FitError where there is a zero and n_test is None.
    """
    if n_test is None and np.any(error == 0):
        raise FitError(
            "an error of zero has no logarithm; give n_test, so that it counts as half an error in n_test + 1."
        )
    return np.where(error == 0, 0.5 / (n_test + 1), error) if n_test is not None else error
