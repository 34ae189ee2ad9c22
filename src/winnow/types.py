"""What passes between the stages. Every type is frozen and validated once, when it is made."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.errors import MissingEvidenceError, ShapeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, so that a shared array cannot be changed behind its owner's back."""
    view = array.view()
    view.flags.writeable = False
    return view


def _vector(values: ArrayLike, dtype: type, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{what} must be one number per example, shape [n]; got shape {list(array.shape)}.")
    if dtype is np.int64 and not np.issubdtype(array.dtype, np.integer):
        raise ShapeError(f"{what} must be integers; got {array.dtype}.")
    return _frozen(array.astype(dtype, copy=False))


@dataclass(frozen=True, eq=False)
class Scores:
    """One difficulty score for each training example of a data set; higher = harder, in every metric.

    values: [n] float64, finite, in the order of the canonical training set.
    metric: name of the metric that gave them; dataset: fingerprint of the data set they belong to.
    standard_error: [n] of each score, over the models that it was estimated from; None where there is none.

    Raises ShapeError when values are not a vector of finite numbers.
    """

    values: Floats
    _: KW_ONLY
    metric: str
    dataset: str
    standard_error: Floats | None = None

    def __post_init__(self) -> None:
        values = _vector(self.values, np.float64, "scores")
        if values.size == 0:
            raise ShapeError("scores are empty; give one score for each training example.")
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ShapeError(
                f"{bad.size} of {values.size} scores are not finite (first at index {bad[0]}: {values[bad[0]]}); "
                "a score must be a number for every example."
            )
        object.__setattr__(self, "values", values)
        if self.standard_error is not None:
            error = _vector(self.standard_error, np.float64, "standard errors")
            if error.size != values.size or not np.all(np.isfinite(error)) or np.any(error < 0):
                raise ShapeError(f"standard errors must be {values.size} finite numbers that are not negative.")
            object.__setattr__(self, "standard_error", error)

    @property
    def n(self) -> int:
        return self.values.size

    @property
    def content_hash(self) -> str:
        """Names the values, whatever metric gave them."""
        return hashlib.sha256(self.values.astype("<f8").tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Subset:
    """The kept examples of a training set of n, with the weight of each in the training loss.

    indices: [m] int64, sorted, unique, in [0, n). weights: [m] float64, positive, finite, mean one
    (for Horvitz-Thompson weights in expectation only, which is why the mean is not enforced here).
    is_signal: [m] bool, True where the example was kept because of its score, False where it was drawn at random.

    Raises ShapeError when any of this does not hold.
    """

    indices: Ints
    weights: Floats
    is_signal: Bools
    n: int

    def __post_init__(self) -> None:
        indices = _vector(self.indices, np.int64, "subset indices")
        weights = _vector(self.weights, np.float64, "subset weights")
        is_signal = _vector(self.is_signal, np.bool_, "is_signal")
        if not indices.size == weights.size == is_signal.size:
            raise ShapeError(
                f"indices, weights and is_signal must have one entry per kept example; "
                f"got {indices.size}, {weights.size} and {is_signal.size}."
            )
        if indices.size == 0:
            raise ShapeError("a subset must keep at least one example.")
        if indices[0] < 0 or indices[-1] >= self.n or np.any(np.diff(indices) <= 0):
            raise ShapeError(f"subset indices must be sorted, unique and in [0, {self.n}).")
        if not (np.all(np.isfinite(weights)) and np.all(weights > 0)):
            raise ShapeError("subset weights must be positive and finite; drop an example instead of weighting it 0.")
        for name, array in (("indices", indices), ("weights", weights), ("is_signal", is_signal)):
            object.__setattr__(self, name, array)

    @classmethod
    def full(cls, n: int) -> "Subset":
        """All n examples, each with weight one."""
        return cls(np.arange(n), np.ones(n), np.zeros(n, dtype=bool), n)

    @property
    def m(self) -> int:
        return self.indices.size

    @property
    def effective_sample_size(self) -> float:
        """(Σw)² / Σw² (Kish): the number of equally weighted examples with the same variance."""
        return float(self.weights.sum() ** 2 / np.square(self.weights).sum())

    @property
    def content_hash(self) -> str:
        """Names what training sees: indices and weights. Rules that keep the same examples alike share it."""
        digest = hashlib.sha256(self.indices.astype("<i8").tobytes())
        digest.update(self.weights.astype("<f8").tobytes())
        return digest.hexdigest()[:16]


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
            object.__setattr__(self, field.name, _frozen(array))

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
            object.__setattr__(self, field.name, _frozen(array))


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
    last evaluated epoch. subset_runs: models trained on random parts of the data.
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
    subset_runs: SubsetRuns | None = None
    source: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _vector(self.labels, np.int64, "labels"))
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

    @property
    def n(self) -> int:
        return self.labels.size

    @property
    def members(self) -> int:
        """K, the number of probes behind trajectories, logits, features and gradients; 0 without any of them."""
        if self.trajectories is not None:
            return len(self.trajectories.p_true)
        for ensemble in (
            self.features,
            self.input_gradient_norms,
            self.boundary_distances,
            self.projected_gradients,
        ):
            if ensemble is not None:
                return len(ensemble)
        by_epoch = self.logits or self.gradient_norms or {}
        return len(next(iter(by_epoch.values()))) if by_epoch else 0

    def of_member(self, k: int) -> "Evidence":
        """The evidence of the k-th probe alone, as views: what an ensemble of one would have given."""
        one, trajectories = slice(k, k + 1), self.trajectories
        if trajectories is not None:
            trajectories = Trajectory(**{f.name: getattr(trajectories, f.name)[one] for f in fields(Trajectory)})
        return replace(
            self,
            trajectories=trajectories,
            logits=self.logits and {epoch: array[one] for epoch, array in self.logits.items()},
            features=self.features and self.features[one],
            gradient_norms=self.gradient_norms and {epoch: array[one] for epoch, array in self.gradient_norms.items()},
            input_gradient_norms=None if self.input_gradient_norms is None else self.input_gradient_norms[one],
            boundary_distances=None if self.boundary_distances is None else self.boundary_distances[one],
            projected_gradients=self.projected_gradients and self.projected_gradients[one],
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


@dataclass(frozen=True, kw_only=True)
class Row:
    """The result of one cell: flat scalars, one line of a grid.

    rule: short name of what was done. r, n, n_kept: fraction asked for, training-set size, examples kept.
    alpha: fraction of the kept budget that follows the scores (0 for random, 1 for threshold).
    steps, examples_seen: optimiser steps and training presentations of this model. probe_examples: presentations
    and evaluations that the scores cost (0 where no score was read). test_error: of the last step, in [0, 1].
    test_loss: nats. seconds: wall-clock of this model's training. key: of the cell. git: commit of the code.
    family, width, depth: what models that differ in width or depth alone have in common, and the two (None where the
    architecture has no such option). multiply_adds: of one forward pass of one example; probe_multiply_adds: those of
    the probe's model, None where no score was read. All five are None in a row of a version that did not record them.
    """

    rule: str
    dataset: str
    model: str
    recipe: str
    metric: str | None
    selector: str
    protocol: str | None
    alpha: float
    r: float
    n: int
    n_kept: int
    probe_seed: int | None
    selection_seed: int
    train_seed: int
    steps: int
    examples_seen: int
    probe_examples: int
    n_test: int
    test_error: float
    test_loss: float
    effective_sample_size: float
    seconds: float
    device: str
    key: str
    git: str | None
    family: str | None = None
    width: int | None = None
    depth: int | None = None
    multiply_adds: int | None = None
    probe_multiply_adds: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.test_error <= 1:
            raise ShapeError(f"row.test_error={self.test_error} must be a fraction in [0, 1].")
        if not math.isfinite(self.test_loss):
            raise ShapeError(f"row.test_loss={self.test_loss} must be finite; a training that diverged has no row.")
        if not 0 < self.n_kept <= self.n:
            raise ShapeError(f"row.n_kept={self.n_kept} must lie in 1..{self.n} (row.n).")
