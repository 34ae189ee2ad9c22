"""What every pruning metric is: evidence in, one score per example out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from winnow.core.types import Evidence, Floats, Ints, Scores
from winnow.store.keys import Component

ROWS_IN_BLOCK = 65_536


@dataclass(frozen=True, kw_only=True)
class Metric(Component, ABC):
    """A pruning metric. It reads evidence and nothing else: no training, no files. Higher = harder, always.

    A subclass is one file, and one yaml of the same name in conf/metric, which the contract tests find. It gives
    `needs`, `name` and `_values`, and `epochs` where it reads chosen evaluation epochs.
    `stochastic` is True where the scores are random by design, not a function of what the probes saw;
    `hard_means_undecided` where what is always wrong is not hard; `free_of_order` is False where a seeded draw by index
    enters.
    """

    stochastic: ClassVar[bool] = False
    hard_means_undecided: ClassVar[bool] = False
    free_of_order: ClassVar[bool] = True

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Names of the Evidence fields that it reads, besides the labels: "trajectories", "logits"."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in rules and figures; options that change the ranking, and are not at their default, in brackets."""

    def _named(self, stem: str) -> str:
        """`stem`, and in brackets the options that are not at their default."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        texts = [value if isinstance(value, str) else f"{name}={value}" for name, value in changed.items()]
        return f"{stem}[{','.join(texts)}]" if texts else stem

    @property
    def epochs(self) -> frozenset[int]:
        """The evaluation epochs that it reads: the one that its option `epoch` names, if it has one and it is set."""
        epoch: int | None = getattr(self, "epoch", None)
        return frozenset() if epoch is None else frozenset({epoch})

    @property
    def pass_options(self) -> Mapping[str, Mapping[str, Any]]:
        """Options of the passes behind the fields that it reads, by field: part of the key of what a pass leaves."""
        return {}

    @property
    def averages_members(self) -> bool:
        """Whether a score is the mean of what each probe alone would give, so that their spread is its error."""
        return False

    @property
    def reads_test_set(self) -> bool:
        """True where the test labels enter: such scores are to look at, and no subset may be chosen by them."""
        return False

    @property
    def reads_file(self) -> tuple[str, str] | None:
        """The path, and the column in it, of scores that it reads as evidence.given; None where it computes its own."""
        return None

    @property
    def reads_folder(self) -> str | None:
        """The path of a folder of images whose gradients it reads as evidence.target_gradients; None without such."""
        return None

    @property
    def least_epochs(self) -> int:
        """The shortest probe training, in epochs, whose trajectories it can read."""
        return 1

    @property
    def reads_changes(self) -> bool:
        """Whether it reads the changes of the softmax in trajectories, which probes can do without recording."""
        return False

    @abstractmethod
    def _values(self, evidence: Evidence) -> Floats:
        """Scores [n] float64, in the order of the evidence."""

    def _standard_error(self, evidence: Evidence) -> Floats | None:
        """[n]: the standard error of each score over the models behind it; None where there is none."""
        members = evidence.members
        if not self.averages_members or members < 2:
            return None
        each = np.stack([self._values(evidence.member(k)) for k in range(members)])
        return each.std(axis=0, ddof=1) / np.sqrt(members)

    def __call__(self, evidence: Evidence) -> Scores:
        """Scores [n] float64 of the evidence's data set.

        Raises MissingEvidenceError where a field or epoch that it reads was not recorded, and ShapeError where a
        score is not finite.
        """
        error = self._standard_error(evidence)
        return Scores(self._values(evidence), metric=self.name, dataset=evidence.dataset, standard_error=error)


def mean_over_members(logits: NDArray[np.float32], labels: Ints, of_member: Callable[[Floats, Ints], Floats]) -> Floats:
    """[n]: the mean over K of `of_member(logits [b, C] in float64, labels [b]) -> [b]`.

    Works by blocks of rows, because the float64 copy of one member's logits on ImageNet is 10 GB.
    """
    members, n, _ = logits.shape
    total = np.zeros(n)
    for member in logits:
        for start in range(0, n, ROWS_IN_BLOCK):
            rows = slice(start, start + ROWS_IN_BLOCK)
            total[rows] += of_member(member[rows].astype(np.float64), labels[rows])
    return total / members


def over_mean_prediction(logits: NDArray[np.float32], of_block: Callable[[Floats], Floats]) -> Floats:
    """[n]: `of_block(p̄ [b, C]) -> [b]` of the mean softmax over K members, by blocks of rows, in float64."""
    values = np.empty(logits.shape[1])
    for start in range(0, values.size, ROWS_IN_BLOCK):
        rows = slice(start, start + ROWS_IN_BLOCK)
        values[rows] = of_block(softmax(logits[:, rows].astype(np.float64), axis=2).mean(axis=0))
    return values


def jackknife(logits: NDArray[np.float32], of_ensemble: Callable[[Floats], Floats]) -> Floats | None:
    """[n]: the jackknife standard error over the K members of `of_ensemble(p [K, b, C]) -> [b]`; None where K < 2.

    √((K − 1)/K Σ_k (θ_−k − mean)²), θ_−k without member k (Efron & Stein 1981). For smooth functions of the mean only:
    of counts and maxima it is wrong however large K is. p: softmax in float64.
    """
    members, n, _ = logits.shape
    if members < 2:
        return None
    error = np.empty(n)
    for start in range(0, n, ROWS_IN_BLOCK // members):
        rows = slice(start, start + ROWS_IN_BLOCK // members)
        p = softmax(logits[:, rows].astype(np.float64), axis=2)
        without = np.stack([of_ensemble(np.delete(p, k, axis=0)) for k in range(members)])
        error[rows] = without.std(axis=0) * np.sqrt(members - 1)
    return error


def last_layer_blocks(evidence: Evidence, member: int) -> Iterator[tuple[slice, Floats, Floats]]:
    """(rows, p − y [b, C], [h, 1] [b, d + 1]) by blocks, float64: the factors of a probe's last-layer gradients.

    The gradient of the example's cross-entropy in the weights and bias of the last layer is their outer product.
    Raises MissingEvidenceError without logits or features.
    """
    logits, features = evidence.logits_at(None)[member], evidence.required_features()[member]
    for start in range(0, evidence.n, ROWS_IN_BLOCK):
        rows = slice(start, start + ROWS_IN_BLOCK)
        error = softmax(logits[rows].astype(np.float64), axis=1)
        error[np.arange(len(error)), evidence.labels[rows]] -= 1
        hidden = features[rows].astype(np.float64)
        yield rows, error, np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
