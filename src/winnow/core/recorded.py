"""What trainings leave for metrics: trajectories of an ensemble, models of random parts, features of held-out folds."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import Bools, Ints, frozen, vector
from winnow.core.errors import ShapeError


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """What one training run saw of each example in each epoch, before the update: arrays [T, n].

    An ensemble of K runs stacks them to [K, T, n]. All are of the augmented training minibatch.

    p_true: softmax probability of the true class. margin: true logit minus the largest other logit.
    probability_margin: the same of probabilities. el2n: ‖p − y‖₂. loss: cross-entropy in nats, unsmoothed.
    correct: 1 or 0 by the argmax, int8; −1 where the example was not presented (floats are NaN there).
    change_kl: KL(p_t ‖ p_t−1) to the example's previous presentation, nats. change_abs: Σ_c |p_t log(p_t/p_t−1)|.
    Both are 0 at an example's first presentation.

    Raises ShapeError unless all have the same shape, [T, n] or [K, T, n].
    """

    p_true: NDArray[np.float32]
    margin: NDArray[np.float32]
    probability_margin: NDArray[np.float32]
    el2n: NDArray[np.float32]
    loss: NDArray[np.float32]
    correct: NDArray[np.int8]
    change_kl: NDArray[np.float32]
    change_abs: NDArray[np.float32]

    def __post_init__(self) -> None:
        for field in fields(self):
            array = np.asarray(getattr(self, field.name))
            if array.ndim not in (2, 3) or array.shape != np.shape(self.p_true):
                raise ShapeError(
                    f"trajectory.{field.name} must be [T, n] or [K, T, n] like p_true {list(np.shape(self.p_true))}; "
                    f"got {list(array.shape)}."
                )
            object.__setattr__(self, field.name, frozen(array))

    @property
    def epochs(self) -> int:
        return self.p_true.shape[-2]

    @classmethod
    def stack(cls, runs: "list[Trajectory]") -> "Trajectory":
        """K runs of [T, n] as one ensemble [K, T, n]."""
        return cls(**{f.name: np.stack([getattr(run, f.name) for run in runs]) for f in fields(cls)})


@dataclass(frozen=True, kw_only=True, eq=False)
class SubsetRuns:
    """What K models, each trained on a random part of the training set, got right after training: bool arrays.

    membership: [K, n], whether the example was in the model's part. correct: [K, n], of the training set, evaluation
    mode, no augmentation. test_correct: [K, J], of the test set.

    Raises ShapeError where the shapes do not agree.
    """

    membership: Bools
    correct: Bools
    test_correct: Bools

    def __post_init__(self) -> None:
        for field in fields(self):
            array = np.asarray(getattr(self, field.name), dtype=bool)
            agrees = array.ndim == 2 and len(array) == len(self.membership)
            if not agrees or (field.name == "correct" and array.shape != np.shape(self.membership)):
                raise ShapeError(f"subset_runs.{field.name} must be one row a model; got shape {list(array.shape)}.")
            object.__setattr__(self, field.name, frozen(array))


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldFeatures:
    """Features of K models, each trained on all examples but one fold.

    fold: [n] in [0, K), which model did not see the example. features: for each model its penultimate features [n, d]
    of all examples, as Evidence.features; memory maps.

    Raises ShapeError where the shapes do not agree or a fold is empty.
    """

    fold: Ints
    features: tuple[NDArray[np.float32], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fold", vector(self.fold, np.int64, "fold_features.fold"))
        if set(self.fold.tolist()) != set(range(len(self.features))):
            raise ShapeError(f"fold_features.fold must name each of {len(self.features)} models, and no other.")
        for array in self.features:
            if array.ndim != 2 or len(array) != self.fold.size:
                raise ShapeError(f"fold_features must be [{self.fold.size}, d]; got shape {list(array.shape)}.")
