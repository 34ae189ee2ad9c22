"""Which recorders there are: callbacks that leave something of a training behind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winnow.core.types import Ints
from winnow.store.keys import Component
from winnow.training.recipe import Recipe

if TYPE_CHECKING:
    from winnow.training.callbacks.recorder import Recorder  # itself where a training begins: Lightning takes seconds


@dataclass(frozen=True, kw_only=True)
class RecorderSpec(Component, ABC):
    """Which recorder; one yaml in conf/callbacks. It is part of the trained model's key."""

    @abstractmethod
    def build(self, indices: Ints, n_classes: int) -> "Recorder":
        """A fresh recorder for a training on these examples, canonical indices [m]."""

    def check(self, recipe: Recipe) -> None:
        """Raise OptionError where a training by this recipe cannot be recorded."""

    def held_bytes(self, m: int, n_classes: int) -> int:
        """What the recorder of m examples holds on the device of the training, where that grows with m."""
        return 0
