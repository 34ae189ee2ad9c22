"""Embeddings of the user's own, from a .npy file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import OptionError, ShapeError
from winnow.datasets.base import ImageDataset
from winnow.probes.embeddings.base import Embedding
from winnow.store.foreign import foreign_array, foreign_digest
from winnow.store.keys import NOT_IN_KEY, make_key

ROWS_IN_BLOCK = 16_384


@dataclass(frozen=True, kw_only=True)
class Npy(Embedding):
    """A float32 array [n, d] in a file that numpy.save wrote; row i is the embedding of example i.

    The rows are in the canonical order of the training set, the `index` of every table that Winnow leaves. The file is
    read as a memory map where it lies, so that it may be larger than memory, and named in keys by its content: it may
    be moved. It is read once for that, and once for numbers that are not finite.

    Raises OptionError where it cannot be read, and ShapeError where it does not hold n finite float32 vectors.
    """

    path: str = field(metadata=NOT_IN_KEY)

    def check(self, dataset: ImageDataset) -> None:
        array = self._array()
        if array.ndim != 2 or len(array) != dataset.n:
            limited = (
                "; of a data set with dataset.limit it holds the rows that source_index of the scores' table names"
                if dataset.source_index is not None
                else ""
            )
            raise ShapeError(
                f"{self.path} must hold one vector for each of the {dataset.n} training examples of {dataset.name}, "
                f"[{dataset.n}, d]{limited}; it is {list(array.shape)}."
            )
        if array.dtype != np.float32:
            raise ShapeError(f"{self.path} holds {array.dtype}; save it with array.astype(numpy.float32).")

    def keys(self, dataset: ImageDataset) -> list[str]:
        self.check(dataset)
        return [make_key(f"{dataset.slug}-npy", {"embedding": self, "content": foreign_digest(self._path)})]

    def cost(self, n: int) -> int:
        return 0

    def multiply_adds(self, dataset: ImageDataset) -> int:
        return 0

    def embed(self, dataset: ImageDataset, **_: Any) -> NDArray[np.float32]:
        self.check(dataset)
        array = self._array()
        for start in range(0, len(array), ROWS_IN_BLOCK):
            bad = np.flatnonzero(~np.isfinite(array[start : start + ROWS_IN_BLOCK]).all(axis=1))
            if bad.size:
                raise ShapeError(f"{self.path}: row {start + bad[0]} is not finite; every example needs a vector.")
        return array

    @property
    def _path(self) -> Path:
        return Path(self.path).expanduser()

    def _array(self) -> NDArray[np.float32]:
        try:
            return foreign_array(self._path)
        except (OSError, ValueError) as error:
            raise OptionError(
                f"embedding.path={self.path} cannot be read as an array of numbers ({type(error).__name__}); give a "
                "file that numpy.save wrote."
            ) from error
