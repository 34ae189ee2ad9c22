"""Embeddings from the probe ensemble itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.base import ImageDataset
from winnow.probes.embeddings.base import Embedding


@dataclass(frozen=True, kw_only=True)
class ProbeFeatures(Embedding):
    """Penultimate features of the first member after the last evaluated epoch, evaluation mode, no augmentation.

    They know the labels that the probe was trained on.
    """

    from_members: ClassVar[bool] = True

    def check(self, dataset: ImageDataset) -> None:
        """Nothing: the probe checks its epochs itself."""

    def keys(self, dataset: ImageDataset) -> list[str]:
        return []

    def cost(self, n: int) -> int:
        return 0

    def multiply_adds(self, dataset: ImageDataset) -> int:
        return 0

    def embed(
        self, dataset: ImageDataset, *, of_probe: Callable[[], NDArray[np.float32]], **_: Any
    ) -> NDArray[np.float32]:
        return of_probe()
