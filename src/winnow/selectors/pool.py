"""What a rule chooses from, and the orders that every rule shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.errors import MissingEvidenceError
from winnow.types import Evidence, Floats, Ints, Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """What a rule chooses from: arrays [n] over the whole training set, of which a rule reads its stratum's members.

    values: scores, zeros where the selector reads none. ties, explore: seeded keys that order equal examples and the
    random part. seed: for a rule that draws by itself (winnow.seeds.stream). evidence: the fields that it `needs`.
    """

    values: Floats
    ties: Floats
    explore: Floats
    seed: int
    evidence: Evidence | None

    def hardest_first(self, members: Ints, difficulty: Floats | None = None) -> Ints:
        """The members, [k], by falling difficulty [k] (their scores, if not given); equal ones in seeded order."""
        difficulty = self.values[members] if difficulty is None else difficulty
        return members[np.lexsort((self.ties[members], -difficulty))]

    def shuffled(self, members: Ints) -> Ints:
        """The members in seeded order, so that a greedy rule that takes the first of equals takes any of them."""
        return members[np.argsort(self.ties[members])]

    def embeddings(self, members: Ints) -> NDArray[np.float32]:
        """[k, d]: the embeddings of the members. Raises MissingEvidenceError where there are none."""
        if self.evidence is None:
            raise MissingEvidenceError("this selector reads embeddings; give it evidence with embeddings [n, d].")
        return self.evidence.embedded()[members]

    def mean_p_true(self, members: Ints) -> Floats:
        """[k]: true-class probability, mean over probes and epochs. MissingEvidenceError where it was not recorded."""
        return self._trajectories().p_true[..., members].mean(axis=(0, 1), dtype=np.float64)

    def suspicion(self, by: str) -> Floats:
        """[n], higher = more likely mislabelled: the scores, or the area under the margin (aum)."""
        if by == "score":
            return self.values
        return -self._trajectories().margin.mean(axis=(0, 1), dtype=np.float64)

    def _trajectories(self) -> Trajectory:
        if self.evidence is None:
            raise MissingEvidenceError("this selector reads trajectories; give it the evidence of a probe ensemble.")
        return self.evidence.ensemble()
