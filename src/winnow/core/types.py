"""What passes between the stages. Every type is frozen and validated once, when it is made."""

import hashlib
import math
from dataclasses import KW_ONLY, dataclass

import numpy as np

from winnow.core.arrays import Bools, Floats, Ints, vector
from winnow.core.errors import ShapeError
from winnow.core.evidence import Evidence, FoldFeatures, SubsetRuns, Trajectory

__all__ = ["Bools", "Evidence", "Floats", "FoldFeatures", "Ints", "Row", "Scores", "Subset", "SubsetRuns", "Trajectory"]


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
        values = vector(self.values, np.float64, "scores")
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
            error = vector(self.standard_error, np.float64, "standard errors")
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
        indices = vector(self.indices, np.int64, "subset indices")
        weights = vector(self.weights, np.float64, "subset weights")
        is_signal = vector(self.is_signal, np.bool_, "is_signal")
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
    the probe's model, None where no score was read. precision: of this model's training, "float32" or "bfloat16".
    worst_class_error: the largest test error of a class that has test images. test_views: of each test image, whose
    logits were averaged. These eight are None in a row of a version that did not record them.
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
    precision: str | None = None
    worst_class_error: float | None = None
    test_views: int | None = None

    def __post_init__(self) -> None:
        for name in ("test_error", "worst_class_error"):
            error = getattr(self, name)
            if error is not None and not 0 <= error <= 1:
                raise ShapeError(f"row.{name}={error} must be a fraction in [0, 1].")
        if not math.isfinite(self.test_loss):
            raise ShapeError(f"row.test_loss={self.test_loss} must be finite; a training that diverged has no row.")
        if not 0 < self.n_kept <= self.n:
            raise ShapeError(f"row.n_kept={self.n_kept} must lie in 1..{self.n} (row.n).")
