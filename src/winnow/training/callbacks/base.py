"""What a callback is that leaves something of a training behind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback

from winnow.core.types import Ints
from winnow.store.artifacts import Draft
from winnow.store.keys import Component
from winnow.training.recipe import Recipe


class Recorder(Callback, ABC):
    """Watches one training, and saves what it saw with the trained model."""

    @abstractmethod
    def save(self, draft: Draft) -> None:
        """Add what was seen to the artifact of the model."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for a checkpoint: tensors, numbers and text, in lists and dictionaries."""

    @abstractmethod
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""


@dataclass(frozen=True, kw_only=True)
class RecorderSpec(Component, ABC):
    """Which recorder; one yaml in conf/callbacks. It is part of the trained model's key."""

    @abstractmethod
    def build(self, indices: Ints, n_classes: int) -> Recorder:
        """A fresh recorder for a training on these examples, canonical indices [m]."""

    def check(self, recipe: Recipe) -> None:
        """Raise OptionError where a training by this recipe cannot be recorded."""

    def held_bytes(self, m: int, n_classes: int) -> int:
        """What the recorder of m examples holds on the device of the training, where that grows with m."""
        return 0
