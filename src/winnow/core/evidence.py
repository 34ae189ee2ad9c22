"""What metrics and selectors may read: recorded trajectories, passes over the data, models of random parts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import Bools, Floats, Ints, frozen, vector
from winnow.core.errors import MissingEvidenceError, ShapeError


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What metrics and selectors may read. A field is None where nobody asked for it.

    dataset: fingerprint. labels: [n] int64. trajectories: of the probe ensemble, arrays [K, T, n], complete
    (every example presented in every epoch). logits: epoch -> [K, n, C], evaluation mode, no augmentation;
    epoch t means after t epochs of training, 0 is initialisation. features: for each of the K probes its penultimate
    features [n, d] after the last evaluated epoch, evaluation mode, no augmentation; memory maps, never stacked, as
    ImageNet's are 10 GB a probe. embeddings: [n, d], the one space in which selectors measure distances.
    gradient_norms: epoch -> [K, n], ‖∇_θ ℓ‖₂ over all parameters, evaluation mode. input_gradient_norms: [K, n],
    ‖∂ℓ/∂x‖₂ after the last evaluated epoch. boundary_distances: [K, n], from the normalised image to the probe's
    decision boundary, infinite where none was found. projected_gradients: for each of the K probes [n, P], the random
    projection of ∇_θ log(p / (1 − p)), p the true class's probability, over all parameters; memory maps. Both after the
    last evaluated epoch. target_gradients: for each of the K probes [t, P], by the same projection ∇_θ ℓ of t target
    images outside the data set. subset_runs: models trained on random parts of the data. fold_features: features of
    models that have each not seen a fold. given: [n] scores of others, read from a file, as they stand there.
    source: keys of the artifacts it was gathered from.

    Raises ShapeError where an array does not cover the n examples.
    """

    dataset: str
    labels: Ints
    trajectories: Trajectory | None = None
    logits: Mapping[int, NDArray[np.float32]] | None = None
    features: tuple[NDArray[np.float32], ...] | None = None
    embeddings: NDArray[np.float32] | None = None
    gradient_norms: Mapping[int, NDArray[np.float32]] | None = None
    input_gradient_norms: NDArray[np.float32] | None = None
    boundary_distances: NDArray[np.float32] | None = None
    projected_gradients: tuple[NDArray[np.float32], ...] | None = None
    target_gradients: tuple[NDArray[np.float32], ...] | None = None
    subset_runs: SubsetRuns | None = None
    fold_features: FoldFeatures | None = None
    given: Floats | None = None
    source: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", vector(self.labels, np.int64, "labels"))
        if self.trajectories is not None:
            shape = self.trajectories.p_true.shape
            if len(shape) != 3 or shape[-1] != self.n:
                raise ShapeError(f"evidence.trajectories must be [K, T, {self.n}]; got {list(shape)}.")
            if np.any(self.trajectories.correct < 0):
                raise ShapeError("evidence.trajectories has examples that were not presented in every epoch.")
        for epoch, logits in (self.logits or {}).items():
            if logits.ndim != 3 or logits.shape[1] != self.n or not np.all(np.isfinite(logits)):
                raise ShapeError(
                    f"evidence.logits[{epoch}] must be finite [K, {self.n}, C]; got shape {list(logits.shape)}. "
                    "Where logits are not finite, the probe diverged: lower recipe.lr."
                )
        if self.given is not None and (len(self.given) != self.n or not np.all(np.isfinite(self.given))):
            raise ShapeError(f"evidence.given must be {self.n} finite numbers, one for each example.")
        norms = dict.fromkeys(["input_gradient_norms"], self.input_gradient_norms) | {
            f"gradient_norms[{epoch}]": array for epoch, array in (self.gradient_norms or {}).items()
        }
        for name, array in norms.items():
            if array is not None and (array.ndim != 2 or array.shape[1] != self.n or not np.all(np.isfinite(array))):
                raise ShapeError(f"evidence.{name} must be finite [K, {self.n}]; got shape {list(array.shape)}.")
        distances = self.boundary_distances
        if distances is not None and (distances.ndim != 2 or distances.shape[1] != self.n or np.isnan(distances).any()):
            raise ShapeError(f"evidence.boundary_distances must be numbers [K, {self.n}]; got {list(distances.shape)}.")
        for name in ("features", "embeddings", "projected_gradients"):
            given = getattr(self, name)
            for array in (given,) if isinstance(given, np.ndarray) else given or ():
                if array.ndim != 2 or array.shape[0] != self.n:
                    raise ShapeError(f"evidence.{name} must be [{self.n}, d]; got shape {list(array.shape)}.")
        for array in self.target_gradients or ():
            if array.ndim != 2 or len(array) == 0:
                raise ShapeError(f"evidence.target_gradients must be [t, P], t > 0; got shape {list(array.shape)}.")

    @property
    def n(self) -> int:
        return self.labels.size

    @property
    def members(self) -> int:
        """K, the number of models behind trajectories, logits, features, gradients or subset_runs; 0 without these."""
        if self.trajectories is not None:
            return len(self.trajectories.p_true)
        for ensemble in (
            self.features,
            self.input_gradient_norms,
            self.boundary_distances,
            self.projected_gradients,
            self.target_gradients,
        ):
            if ensemble is not None:
                return len(ensemble)
        by_epoch = self.logits or self.gradient_norms or {}
        if by_epoch:
            return len(next(iter(by_epoch.values())))
        return 0 if self.subset_runs is None else len(self.subset_runs.membership)

    def of_member(self, k: int) -> "Evidence":
        """The evidence of the k-th probe alone, as views: what an ensemble of one would have given."""
        return self.of_members(slice(k, k + 1))

    def of_members(self, chosen: slice) -> "Evidence":
        """The evidence of some of the probes, as views: what an ensemble of those alone would have given.

        embeddings, which are those of one probe, stay as they are.
        """
        trajectories, runs = self.trajectories, self.subset_runs
        if trajectories is not None:
            trajectories = Trajectory(**{f.name: getattr(trajectories, f.name)[chosen] for f in fields(Trajectory)})
        if runs is not None:
            runs = SubsetRuns(**{f.name: getattr(runs, f.name)[chosen] for f in fields(SubsetRuns)})
        norms = self.gradient_norms
        return replace(
            self,
            trajectories=trajectories,
            logits=self.logits and {epoch: array[chosen] for epoch, array in self.logits.items()},
            features=self.features and self.features[chosen],
            gradient_norms=norms and {epoch: array[chosen] for epoch, array in norms.items()},
            input_gradient_norms=None if self.input_gradient_norms is None else self.input_gradient_norms[chosen],
            boundary_distances=None if self.boundary_distances is None else self.boundary_distances[chosen],
            projected_gradients=self.projected_gradients and self.projected_gradients[chosen],
            target_gradients=self.target_gradients and self.target_gradients[chosen],
            subset_runs=runs,
        )

    def ensemble(self) -> Trajectory:
        """The trajectories, or MissingEvidenceError."""
        if self.trajectories is None:
            raise MissingEvidenceError("this metric reads trajectories, which this evidence does not have.")
        return self.trajectories

    def parts(self) -> SubsetRuns:
        """The models trained on random parts, or MissingEvidenceError."""
        if self.subset_runs is None:
            raise MissingEvidenceError("this reads subset_runs, which this evidence does not have.")
        return self.subset_runs

    def gradient_norms_at(self, epoch: int | None) -> NDArray[np.float32]:
        """Gradient norms [K, n] after `epoch` epochs; None means the last there is. MissingEvidenceError without."""
        there = self.gradient_norms or {}
        if not there or (epoch is not None and epoch not in there):
            raise MissingEvidenceError(f"this reads gradient_norms after epoch {epoch or 'the last'}; there are none.")
        return there[max(there) if epoch is None else epoch]

    def embedded(self) -> NDArray[np.float32]:
        """The embeddings [n, d], or MissingEvidenceError."""
        if self.embeddings is None:
            raise MissingEvidenceError("this reads embeddings [n, d], which this evidence does not have.")
        return self.embeddings

    def penultimate(self) -> tuple[NDArray[np.float32], ...]:
        """The features of the K probes, or MissingEvidenceError."""
        if self.features is None:
            raise MissingEvidenceError("this reads the probes' features, which this evidence does not have.")
        return self.features

    def projected(self) -> tuple[NDArray[np.float32], ...]:
        """The projected gradients of the K probes, or MissingEvidenceError."""
        if self.projected_gradients is None:
            raise MissingEvidenceError("this reads projected_gradients, which this evidence does not have.")
        return self.projected_gradients

    def toward(self) -> tuple[NDArray[np.float32], ...]:
        """The projected loss gradients of the targets, of the K probes, or MissingEvidenceError."""
        if self.target_gradients is None:
            raise MissingEvidenceError("this reads target_gradients, which this evidence does not have.")
        return self.target_gradients

    def logits_at(self, epoch: int | None) -> NDArray[np.float32]:
        """Logits [K, n, C] after `epoch` epochs; None means the last evaluated epoch.

        Raises MissingEvidenceError, naming the epochs there are, when that epoch was not evaluated.
        """
        if not self.logits:
            raise MissingEvidenceError("this metric reads logits; set probe.evaluate_at to the epochs to evaluate.")
        if epoch is None:
            epoch = max(self.logits)
        if epoch not in self.logits:
            recorded = ", ".join(map(str, sorted(self.logits)))
            raise MissingEvidenceError(
                f"the probes were not evaluated after epoch {epoch}; evaluated epochs: {recorded}. "
                f"Choose one of them or add {epoch} to probe.evaluate_at."
            )
        return self.logits[epoch]
