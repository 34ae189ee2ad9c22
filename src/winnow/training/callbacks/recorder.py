"""What a callback is that leaves something of a training behind."""

from abc import ABC, abstractmethod
from typing import Any

from pytorch_lightning import Callback

from winnow.store.artifacts import Draft


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
