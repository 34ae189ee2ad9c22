"""What a rule chooses from, and the orders that every rule shares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.core.arrays import blocks
from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.core.seeds import stream
from winnow.core.types import Evidence, Floats, Ints, Trajectory
from winnow.selectors.keys import Keys

NUMBERS_IN_BLOCK = 8 * 2**20  # 32 MB in float32


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """What a rule chooses from: arrays [n] over the whole training set, of which a rule reads its stratum's members.

    values: scores, zeros where the selector reads none. labels: classes. ties, explore: seeded keys that order equal
    examples and the random part. seed: of `stream`, for a rule that draws by itself. evidence: the fields that it
    `needs`. Members are the sorted indices of a stratum; at 10⁸ of them an array of numbers is 0.8 GB, so that what
    chooses among all holds few at a time.
    """

    values: Floats
    labels: NDArray[Any]
    ties: Keys
    explore: Keys
    seed: int
    evidence: Evidence | None

    def hardest(self, members: Ints, count: int, difficulty: Floats | None = None) -> Ints:
        """The `count` members of greatest difficulty [k] (their scores, if not given), sorted; ties by seed."""
        difficulty = self.scores(members) if difficulty is None else difficulty
        if count == 0:
            return members[:0]
        edge = np.partition(difficulty, members.size - count)[members.size - count]
        kept = difficulty > edge
        tied = np.flatnonzero(difficulty == edge)
        room = count - int(np.count_nonzero(kept))
        if room < tied.size:
            kept[np.searchsorted(members, self.ties.smallest(members[tied], room))] = True
        else:
            kept[tied] = True
        return members[kept]

    def scores(self, members: Ints) -> Floats:
        """[k]: the scores of the members, where these are all without a copy, which cannot be written to."""
        return self.values if members.size == self.values.size else self.values[members]

    def shuffled(self, members: Ints) -> Ints:
        """The members in seeded order, so that a greedy rule that takes the first of equals takes any of them."""
        return members[np.argsort(self.ties[members])]

    def stream(self, rule: str, members: Ints) -> np.random.Generator:
        """A rule's own generator for one stratum, independent of the keys and of every other rule and stratum."""
        return stream(self.seed, rule, int(members[0]))

    def positive_scores(self, members: Ints) -> Floats:
        """[k] ≥ 0, for rules that draw in proportion to the score: scores as they are where none is negative, and else
        their distance from the smallest, since a score such as aum has no zero of its own."""
        values = self.scores(members)
        return values - min(float(values.min()), 0.0)

    def embeddings(self, members: Ints) -> NDArray[np.float32]:
        """[k, d]: the embeddings of the members. Raises MissingEvidenceError where there are none."""
        if self.evidence is None:
            raise MissingEvidenceError("this selector reads embeddings; give it evidence with embeddings [n, d].")
        return self.evidence.required_embeddings()[members]

    def mean_p_true(self, members: Ints, first_epochs: int | None = None) -> Floats:
        """[k]: true-class probability, mean over probes and the first epochs (None: all).

        Raises MissingEvidenceError where it, or so many epochs of it, were not recorded.
        """
        trajectories = self._trajectories()
        if (first_epochs or 0) > trajectories.epochs:
            raise MissingEvidenceError(
                f"selector.first_epochs={first_epochs}, but {trajectories.epochs} epochs were recorded; lower it, or "
                "train the probes for longer (probe.epochs)."
            )
        return _mean_of([run.p_true[:first_epochs] for run in trajectories.runs], members)

    def suspicion(self, members: Ints, by: str) -> Floats:
        """[k], higher = more likely mislabelled: the scores, or minus the area under the margin of training, of logits
        (aum) or of probabilities (aum_probability), mean over probes and epochs."""
        if by == "score":
            return self.scores(members)
        runs = self._trajectories().runs
        return -_mean_of([run.margin if by == "aum" else run.probability_margin for run in runs], members)

    def _trajectories(self) -> Trajectory:
        if self.evidence is None:
            raise MissingEvidenceError("this selector reads trajectories; give it the evidence of a probe ensemble.")
        return self.evidence.required_trajectories()


def _mean_of(runs: list[NDArray[np.float32]], members: Ints) -> Floats:
    """[k]: the mean over K runs [T, n] and their epochs of each member, in float64, by blocks of members."""
    epochs = len(runs[0])
    means = np.empty(members.size)
    for some in blocks(members.size, NUMBERS_IN_BLOCK // (len(runs) * epochs)):
        values = np.empty((some.stop - some.start, len(runs), epochs), dtype=runs[0].dtype)
        for k, run in enumerate(runs):
            values[:, k] = run[:, members[some]].T
        means[some] = values.mean(axis=(1, 2), dtype=np.float64)
    return means


def label_vector(labels: ArrayLike) -> NDArray[Any]:
    """The labels [n]. Raises ShapeError for another shape."""
    vector = np.asarray(labels)
    if vector.ndim != 1:
        raise ShapeError(f"labels must be one class per example, shape [n]; got shape {list(vector.shape)}.")
    return vector
