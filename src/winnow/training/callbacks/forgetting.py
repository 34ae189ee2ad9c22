"""Whether trajectories, and the forgetting events in them, are recorded; trajectory_recorder.py does it."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from winnow.core.errors import OptionError
from winnow.core.types import Ints, Trajectory
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.recipe import Recipe

if TYPE_CHECKING:
    from winnow.training.callbacks.trajectory_recorder import TrajectoryRecorder

FIELDS = tuple(field.name for field in fields(Trajectory))


@dataclass(frozen=True, kw_only=True)
class Forgetting(RecorderSpec):
    """Record the trajectory of every kept example, and log the histogram of forgetting events after each epoch."""

    def build(self, indices: Ints, n_classes: int) -> "TrajectoryRecorder":
        from winnow.training.callbacks.trajectory_recorder import TrajectoryRecorder

        return TrajectoryRecorder(indices, n_classes)

    def check(self, recipe: Recipe) -> None:
        if recipe.batches == "constant":
            raise OptionError(
                "callbacks=forgetting records every kept example once in each epoch, which batches from one stream do "
                "not show it; set recipe.batches=equal, or leave the callback out. (Probes always deal equal batches.)"
            )

    def held_bytes(self, m: int, n_classes: int) -> int:
        floats = n_classes + len(FIELDS) - 1  # the softmax, and a row of every field but correct
        return m * (4 * floats + 8 + 8 + 3)  # indices, events; seen, and correct now and before
