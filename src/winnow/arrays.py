"""Names of array types, and the checks that every type makes of its arrays."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.errors import ShapeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, so that a shared array cannot be changed behind its owner's back."""
    view = array.view()
    view.flags.writeable = False
    return view


def vector(values: ArrayLike, dtype: type, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{what} must be one number per example, shape [n]; got shape {list(array.shape)}.")
    if dtype is np.int64 and not np.issubdtype(array.dtype, np.integer):
        raise ShapeError(f"{what} must be integers; got {array.dtype}.")
    return frozen(array.astype(dtype, copy=False))
