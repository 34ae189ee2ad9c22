"""Whether trajectories, and the forgetting events in them, are recorded; trajectory_recorder.py does it."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from winnow.core.errors import OptionError
from winnow.core.recorded import CHANGES
from winnow.core.types import Ints, Trajectory
from winnow.store.keys import LATER
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.recipe import Recipe

if TYPE_CHECKING:
    from winnow.training.callbacks.trajectory_recorder import TrajectoryRecorder

FIELDS = tuple(each.name for each in fields(Trajectory))


def recorded(*, changes: bool) -> tuple[str, ...]:
    """The fields of a Trajectory that are recorded, with the changes of the softmax or without."""
    return FIELDS if changes else tuple(name for name in FIELDS if name not in CHANGES)


@dataclass(frozen=True, kw_only=True)
class Forgetting(RecorderSpec):
    """Record the trajectory of every kept example, and log the histogram of forgetting events after each epoch.

    changes: whether the trajectory holds the changes of the softmax from one presentation to the next, for which the
    softmax of all examples is kept on the device (4 m C bytes).
    """

    changes: bool = field(default=True, metadata=LATER)

    def build(self, indices: Ints, n_classes: int) -> "TrajectoryRecorder":
        from winnow.training.callbacks.trajectory_recorder import TrajectoryRecorder

        return TrajectoryRecorder(indices, n_classes, changes=self.changes)

    def check(self, recipe: Recipe) -> None:
        if recipe.batches == "constant":
            raise OptionError(
                "callbacks=forgetting records every kept example once in each epoch, which batches from one stream do "
                "not show it; set recipe.batches=equal, or leave the callback out. (Probes always deal equal batches.)"
            )

    def held_bytes(self, m: int, n_classes: int) -> int:
        softmax = n_classes if self.changes else 0
        floats = softmax + len(recorded(changes=self.changes)) - 1  # a row of every field but correct
        return m * (4 * floats + 8 + 8 + 3)  # indices, events; seen, and correct now and before
