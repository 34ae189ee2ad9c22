"""What trainings leave for metrics: trajectories of an ensemble, models of random parts, features of held-out folds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import Bools, Ints, frozen, vector
from winnow.core.errors import MissingEvidenceError, ShapeError

CHANGES = ("change_kl", "change_abs")  # of a Trajectory, which may be without them


def _none() -> None:
    """The default of a field; a plain one would be found in the class where `stack` left the field to __getattr__."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """What one training run saw of each example in each epoch, before the update: arrays [T, n].

    An ensemble of K runs has them as [K, T, n]. All are of the augmented training minibatch. `runs` gives each run
    alone, whose arrays may be memory maps; what `stack` made of them puts a field together in memory when it is first
    read, so that what nobody reads takes none.

    p_true: softmax probability of the true class. margin: true logit minus the largest other logit.
    probability_margin: the same of probabilities. el2n: ‖p − y‖₂. loss: cross-entropy in nats, unsmoothed.
    correct: 1 or 0 by the argmax, int8; −1 where the example was not presented (floats are NaN there).
    change_kl: KL(p_t ‖ p_t−1) to the example's previous presentation, nats. change_abs: Σ_c |p_t log(p_t/p_t−1)|.
    Both are 0 at an example's first presentation, and None where they were not recorded (probe.changes=false).

    Raises ShapeError unless all have the same shape, [T, n] or [K, T, n].
    """

    p_true: NDArray[np.float32]
    margin: NDArray[np.float32]
    probability_margin: NDArray[np.float32]
    el2n: NDArray[np.float32]
    loss: NDArray[np.float32]
    correct: NDArray[np.int8]
    change_kl: NDArray[np.float32] | None = field(default_factory=_none)
    change_abs: NDArray[np.float32] | None = field(default_factory=_none)

    def __post_init__(self) -> None:
        for name, array in self.arrays().items():
            array = np.asarray(array)
            if array.ndim not in (2, 3) or array.shape != np.shape(self.p_true):
                raise ShapeError(
                    f"trajectory.{name} must be [T, n] or [K, T, n] like p_true {list(np.shape(self.p_true))}; "
                    f"got {list(array.shape)}."
                )
            object.__setattr__(self, name, frozen(array))

    if not TYPE_CHECKING:  # to a type checker every field is simply there

        def __getattr__(self, name: str) -> NDArray[Any] | None:
            """A field of an ensemble that `stack` made, at its first reading: [K, T, n]."""
            if self._stacked is None or name not in self.__dataclass_fields__:
                raise AttributeError(f"{type(self).__name__} has no {name}")
            arrays = [getattr(run, name) for run in self._stacked]
            if any(array is None for array in arrays):
                return None
            stacked = frozen(np.stack(arrays) if len(arrays) > 1 else arrays[0][None])
            self.__dict__[name] = stacked
            return stacked

    @property
    def _stacked(self) -> "tuple[Trajectory, ...] | None":
        """The runs that `stack` was given; None where the fields were."""
        return self.__dict__.get("_runs")

    @property
    def runs(self) -> "tuple[Trajectory, ...]":
        """Each run of the ensemble alone, [T, n]; of one run, itself."""
        if self._stacked is not None:
            return self._stacked
        if self.p_true.ndim == 2:
            return (self,)
        arrays = self.arrays()
        return tuple(Trajectory(**{name: array[k] for name, array in arrays.items()}) for k in range(len(self.p_true)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields that were recorded, by name."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: array for name, array in named.items() if array is not None}

    def required_change(self, name: str) -> NDArray[np.float32]:
        """change_kl or change_abs. Raises MissingEvidenceError where changes were not recorded."""
        array: NDArray[np.float32] | None = getattr(self, name)
        if array is None:
            raise MissingEvidenceError(f"{name} was not recorded with these trajectories; set probe.changes=true.")
        return array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of every field: [T, n] or [K, T, n]."""
        return self.p_true.shape if self._stacked is None else (len(self._stacked), *self._stacked[0].shape)

    @property
    def epochs(self) -> int:
        return self.shape[-2]

    @classmethod
    def stack(cls, runs: "Sequence[Trajectory]") -> "Trajectory":
        """K runs of [T, n] as one ensemble [K, T, n]. Raises ShapeError where they are not of one shape."""
        shapes = {run.shape for run in runs}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ShapeError(f"runs of an ensemble must all be [T, n], alike; got {sorted(map(list, shapes))}.")
        ensemble = cls.__new__(cls)
        ensemble.__dict__["_runs"] = tuple(runs)
        return ensemble


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
        for each in fields(self):
            array = np.asarray(getattr(self, each.name), dtype=bool)
            agrees = array.ndim == 2 and len(array) == len(self.membership)
            if not agrees or (each.name == "correct" and array.shape != np.shape(self.membership)):
                raise ShapeError(f"subset_runs.{each.name} must be one row a model; got shape {list(array.shape)}.")
            object.__setattr__(self, each.name, frozen(array))


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
