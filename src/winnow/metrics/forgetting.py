"""Forgetting: how often training unlearned an example."""

from dataclasses import dataclass

import numpy as np

from winnow.errors import check_choice
from winnow.metrics.base import Metric
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class Forgetting(Metric):
    """Forgetting events: how often an example went from correct to wrong between successive presentations.

    Toneva et al. 2019 (1812.05159), section 3. Counted in the augmented training minibatches, before
    the update; mean over K runs (the authors sum over runs, which ranks alike). Reads `correct` [K, T, n].

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

    Raises OptionError for an unknown never_learned; MissingEvidenceError without trajectories.
    """

    never_learned: str = "max"

    def __post_init__(self) -> None:
        check_choice("metric.never_learned", self.never_learned, ("max", "inf", "zero"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return "forgetting" if self.never_learned == "max" else f"forgetting[{self.never_learned}]"

    @property
    def averages_members(self) -> bool:
        return self.never_learned != "inf"

    def _values(self, evidence: Evidence) -> Floats:
        correct = evidence.ensemble().correct
        members, presentations, n = correct.shape
        count_of_never = {"max": presentations, "inf": members * presentations, "zero": 0}[self.never_learned]
        total = np.zeros(n)
        for run in correct:
            events = (run[:-1] > run[1:]).sum(axis=0)
            total += np.where(run.any(axis=0), events, count_of_never)
        return total / members
