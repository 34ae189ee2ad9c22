"""What every source of embeddings is: a data set in, one vector an example out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.base import ImageDataset
from winnow.store.artifacts import ArtifactStore, Stage
from winnow.store.keys import Component
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec


@dataclass(frozen=True, kw_only=True)
class Embedding(Component, ABC):
    """Where the embeddings [n, d] come from that metrics and selectors measure distances in.

    A subclass is one file, and one yaml of the same name in conf/embedding. from_members: whether they come from the
    probe ensemble; only then are its members trained for their sake.
    """

    from_members: ClassVar[bool] = False

    @abstractmethod
    def check(self, dataset: ImageDataset) -> None:
        """Raise every error that can be told before anything is computed."""

    @abstractmethod
    def keys(self, dataset: ImageDataset) -> list[str]:
        """What names the embeddings in the keys of scores and subsets, beside the members' keys. Checks first."""

    def artifact(self, dataset: ImageDataset) -> tuple[Stage, str] | None:
        """The artifact that `embed` leaves the embeddings in; None where it leaves none of its own."""
        return None

    @abstractmethod
    def cost(self, n: int) -> int:
        """Examples processed for n embeddings, beside those that the members' trainings and passes count."""

    @abstractmethod
    def multiply_adds(self, dataset: ImageDataset) -> int:
        """Of one of the examples that `cost` counts (see ModelSpec.multiply_adds)."""

    @abstractmethod
    def embed(
        self,
        dataset: ImageDataset,
        *,
        of_probe: Callable[[], NDArray[np.float32]],
        store: ArtifactStore,
        trainer: TrainerSpec,
        logger: LoggerSpec,
    ) -> NDArray[np.float32]:
        """The embeddings [n, d], a memory map. of_probe: gives the penultimate features of the first member."""
