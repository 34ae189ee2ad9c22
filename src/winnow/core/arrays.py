"""Names of array types, and the checks that every type makes of its arrays."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.core.errors import ShapeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Images(Protocol):
    """Images [n, H, W, C] uint8 that can be indexed: an array, or a stream that decodes what it is indexed for."""

    @property
    def ndim(self) -> int: ...

    @property
    def shape(self) -> tuple[Any, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, so that a shared array cannot be changed behind its owner's back."""
    view = array.view()
    view.flags.writeable = False
    return view


def blocks(n: int, most: int) -> Iterator[slice]:
    """[0, n) in as few parts as hold at most `most` each (at least three), of sizes that differ by at most one.

    So none holds a single one of several: numpy sums a column by itself in another order than beside others.
    """
    count = -(-n // max(most, 3))
    for part in range(count):
        yield slice(n * part // count, n * (part + 1) // count)


def vector(values: ArrayLike, dtype: type, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{what} must be one number per example, shape [n]; got shape {list(array.shape)}.")
    if dtype is np.int64 and not np.issubdtype(array.dtype, np.integer):
        raise ShapeError(f"{what} must be integers; got {array.dtype}.")
    return frozen(array.astype(dtype, copy=False))
