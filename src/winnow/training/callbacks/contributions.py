"""Which contributions to a held-out loss are recorded; contribution_recorder.py does it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from winnow.core.errors import OptionError
from winnow.core.seeds import stream
from winnow.core.types import Ints
from winnow.training.callbacks.base import RecorderSpec

if TYPE_CHECKING:
    from winnow.training.callbacks.contribution_recorder import ContributionRecorder


@dataclass(frozen=True, kw_only=True)
class Contributions(RecorderSpec):
    """Record the contribution of every kept example to a target loss (winnow.diagnostics.contributions).

    every: record after each `every`-th epoch, and after the last. target: size of the target set, which is drawn
    by `seed` from the training examples that are not kept, or from all where all are kept; never from the test set.
    It holds fewer where fewer were dropped. What a rule drops is no sample of the data (of the hardest it drops the
    easy), so compare trainings on pruned data with this in mind; only random pruning leaves an unbiased target.
    freeloader: see diagnostics.contributions.summarise.

    It costs a pass over the kept examples and the target set, in evaluation mode without augmentation, at each
    recording; they are not counted as examples seen in training.

    Raises OptionError for every or target below 1, or a negative freeloader.
    """

    every: int = 1
    target: int = 1000
    freeloader: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or self.target < 1:
            raise OptionError(
                f"every={self.every} and target={self.target} of callbacks=contributions must be at least 1."
            )
        if self.freeloader < 0:
            raise OptionError(f"freeloader={self.freeloader} of callbacks=contributions must be at least 0.")

    def build(self, indices: Ints, n_classes: int) -> "ContributionRecorder":
        from winnow.training.callbacks.contribution_recorder import ContributionRecorder

        return ContributionRecorder(self, indices)

    def target_indices(self, kept: Ints, n: int) -> Ints:
        """The target set: sorted canonical indices, drawn uniformly from the dropped, or from all n where none is."""
        dropped = np.setdiff1d(np.arange(n), kept)
        pool = dropped if dropped.size else np.arange(n)
        size = min(self.target, pool.size)
        return np.sort(stream(self.seed, "contribution target").choice(pool, size=size, replace=False))
