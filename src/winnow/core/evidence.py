"""What metrics and selectors may read: recorded trajectories, passes over the data, models of random parts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import Floats, Ints, vector
from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.core.recorded import FoldFeatures, SubsetRuns, Trajectory

T = TypeVar("T")

_BY_MEMBER = ("features", "input_gradient_norms", "boundary_distances", "projected_gradients", "target_gradients")
_BY_EPOCH = ("logits", "gradient_norms")


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
            shape = self.trajectories.shape
            if len(shape) != 3 or shape[-1] != self.n:
                raise ShapeError(f"evidence.trajectories must be [K, T, {self.n}]; got {list(shape)}.")
            if any(run.correct.min(initial=0) < 0 for run in self.trajectories.runs):
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
            return len(self.trajectories.runs)
        ensembles = [getattr(self, name) for name in _BY_MEMBER]
        ensembles += [next(iter((getattr(self, name) or {}).values()), None) for name in _BY_EPOCH]
        ensembles += [self.subset_runs.membership] if self.subset_runs else []
        return next((len(ensemble) for ensemble in ensembles if ensemble is not None), 0)

    def member(self, k: int) -> "Evidence":
        """The evidence of the k-th probe alone, as views: what an ensemble of one would have given."""
        return self.some_members(slice(k, k + 1))

    def some_members(self, chosen: slice) -> "Evidence":
        """The evidence of some of the probes, as views: what an ensemble of those alone would have given.

        embeddings, which are those of one probe, stay as they are.
        """
        trajectories, runs = self.trajectories, self.subset_runs
        present = {name: getattr(self, name) for name in _BY_MEMBER if getattr(self, name) is not None}
        parts: dict[str, Any] = {name: arrays[chosen] for name, arrays in present.items()}
        for name in _BY_EPOCH:
            parts[name] = {epoch: array[chosen] for epoch, array in (getattr(self, name) or {}).items()} or None
        if trajectories is not None:
            trajectories = Trajectory.stack(trajectories.runs[chosen])
        if runs is not None:
            runs = SubsetRuns(**{f.name: getattr(runs, f.name)[chosen] for f in fields(SubsetRuns)})
        return replace(self, trajectories=trajectories, subset_runs=runs, **parts)

    def required_trajectories(self) -> Trajectory:
        return _required(self.trajectories, "trajectories")

    def required_subset_runs(self) -> SubsetRuns:
        return _required(self.subset_runs, "subset_runs")

    def required_embeddings(self) -> NDArray[np.float32]:
        return _required(self.embeddings, "embeddings")

    def required_features(self) -> tuple[NDArray[np.float32], ...]:
        return _required(self.features, "features")

    def required_projected_gradients(self) -> tuple[NDArray[np.float32], ...]:
        return _required(self.projected_gradients, "projected_gradients")

    def required_target_gradients(self) -> tuple[NDArray[np.float32], ...]:
        return _required(self.target_gradients, "target_gradients")

    def gradient_norms_at(self, epoch: int | None) -> NDArray[np.float32]:
        """Gradient norms [K, n] after `epoch` epochs; None means the last there is. MissingEvidenceError without."""
        return _at(self.gradient_norms, epoch, "gradient_norms")

    def logits_at(self, epoch: int | None) -> NDArray[np.float32]:
        """Logits [K, n, C] after `epoch` epochs; None means the last evaluated epoch. MissingEvidenceError without."""
        return _at(self.logits, epoch, "logits")


def _required(value: T | None, name: str) -> T:
    """The value of a field, or MissingEvidenceError."""
    if value is None:
        raise MissingEvidenceError(f"this reads {name}, which this evidence does not have.")
    return value


def _at(by_epoch: Mapping[int, NDArray[np.float32]] | None, epoch: int | None, name: str) -> NDArray[np.float32]:
    """What was evaluated after `epoch` epochs, None: the last; else MissingEvidenceError, naming those there are."""
    if not by_epoch:
        raise MissingEvidenceError(f"this reads {name}; set probe.evaluate_at to the epochs to evaluate.")
    if epoch is None:
        epoch = max(by_epoch)
    if epoch not in by_epoch:
        recorded = ", ".join(map(str, sorted(by_epoch)))
        raise MissingEvidenceError(
            f"the probes were not evaluated after epoch {epoch}; evaluated epochs: {recorded}. "
            f"Choose one of them or add {epoch} to probe.evaluate_at."
        )
    return by_epoch[epoch]
