"""Forgetting: how often training unlearned an example."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from winnow.core.errors import check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric
from winnow.metrics.windows import check_first, check_recorded
from winnow.store.keys import LATER


@dataclass(frozen=True, kw_only=True)
class Forgetting(Metric):
    """Forgetting events: how often an example went from correct to wrong between successive presentations.

    Toneva et al. 2019 (1812.05159), section 3. Counted in the augmented training minibatches, before
    the update; mean over K runs (the authors sum over runs, which ranks alike). Reads `correct` [K, T, n], T the
    first_epochs, or all that were recorded where that is None.

    An example that no presentation of a run found correct has zero events and is not easy; never_learned says what it
    counts in that run. T is the number of presentations, above the at most T/2 events of a learned example.
      "max": T, as the authors' sorting code (npresentations for each run in which it was not learned).
      "inf": ranks an example that was never learned in any one run above all that were learned in every run, as the
             infinite count in the code of Paul et al. (data_diet) does to a mean over runs. Scores are finite, so such
             a run counts K·T instead; examples that data_diet would tie at infinity are then ordered by their number
             of such runs and after that by their events. With one run it equals "max"; over K runs "max" averages,
             so that one unlucky run weighs no more than its share.
      "zero": 0, as in the code of DeepCore, CCS and DUAL: ranks the examples that cannot be learned with the easiest.

    Most scores are tied at small integers, so the selector's tie-break matters.

    Raises OptionError for an unknown never_learned or first_epochs under 1; MissingEvidenceError without trajectories,
    or where fewer epochs were recorded than are read.
    """

    never_learned: str = "max"
    first_epochs: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_first(self.first_epochs)
        check_choice("metric.never_learned", self.never_learned, ("max", "inf", "zero"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return self._named("forgetting")

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or 1

    @property
    def averages_members(self) -> bool:
        return self.never_learned != "inf"

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.required_trajectories()
        check_recorded(self.name, trajectories.epochs, 1, self.first_epochs)
        members, presentations = len(trajectories.runs), self.first_epochs or trajectories.epochs
        count_of_never = {"max": presentations, "inf": members * presentations, "zero": 0}[self.never_learned]
        total = np.zeros(evidence.n)
        for run in trajectories.runs:
            correct = run.correct[:presentations]
            events = np.zeros(evidence.n, dtype=np.int64)
            for before, after in pairwise(correct):
                events += before > after
            total += np.where(correct.any(axis=0), events, count_of_never)
        return total / members
