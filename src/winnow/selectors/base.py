"""What every selector is: scores, labels, a fraction and a seed in; a subset out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.errors import BudgetError, MismatchError, MissingEvidenceError, OptionError, ShapeError
from winnow.keys import Component
from winnow.rounding import round_half_up
from winnow.seeds import stream
from winnow.selectors.budget import kept_count, largest_remainder, least_counts
from winnow.types import Evidence, Floats, Ints, Scores, Subset


@dataclass(frozen=True, kw_only=True)
class Selector(Component, ABC):
    """A rule that keeps m = ⌊r n + ½⌋ of n examples: ⌊alpha_eff m + ½⌋ by score (signal), the others at random.

    balance says how classes share the budget. With balance the rule works within each class, and the signal count is
    shared by largest remainder of alpha_eff · m_c.
      None:    they do not; one stratum of all examples.
      "exact": m_c by largest remainder of r n_c.
      f, a fraction in (0, 1]: no class keeps fewer than ⌈f r n_c⌉ (Sorscher et al. 2022, 2206.14486, f = 0.5 on
               ImageNet). Each class keeps as many as the same rule would keep of it without balance; a class below
               its floor is raised to it, at the cost of the classes above theirs, in proportion to their excess.

    Equal scores are ordered at random by seed, never by index: forgetting scores are mostly ties, and the order of
    the index is the order of the labels in image folders. The random part keeps the examples with the smallest of n
    seeded keys, so that without balance, for one seed, a smaller r keeps a part of what a larger r keeps, and
    every selector with nothing to choose by score keeps what random keeps.

    A subclass is one file, and one yaml of the same name in conf/selector, which the contract tests find.
    reads_scores is False where `scores` may be None; `needs` names the Evidence fields that it reads.
    """

    reads_scores: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset()

    balance: float | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.balance, int | float) and not isinstance(self.balance, bool) and 0 < self.balance <= 1:
            return
        if self.balance is not None and self.balance != "exact":
            raise OptionError(
                f"selector.balance={self.balance} is not known; choose null, exact or a fraction in (0, 1]."
            )

    @abstractmethod
    def effective_alpha(self, alpha: float) -> float:
        """The fraction of the kept budget that this selector keeps by score when it is asked for alpha."""

    @property
    def protocol(self) -> str | None:
        """How kept examples are weighted, where there is a choice."""
        return None

    @abstractmethod
    def _rule(self, metric_name: str | None, alpha: float) -> str:
        """The rule's name without balance."""

    def rule(self, metric_name: str | None, alpha: float) -> str:
        """The short name of what is done, for figures and grids, such as "el2n exact 0.5 balance=exact"."""
        name = self._rule(metric_name, alpha)
        if self.balance is None:
            return name
        return f"{name} balance={self.balance if isinstance(self.balance, str) else format(self.balance, 'g')}"

    def check(self, labels: ArrayLike, *, r: float, alpha: float) -> None:
        """Raise every error that can be told before there are scores, so that no probe is trained in vain.

        Raises OptionError for alpha outside [0, 1]; BudgetError for r outside (0, 1], for a budget under one example,
        and where the floors of balance, or the weights, ask for more examples than are kept; ShapeError for labels
        that are not [n].
        """
        labels = _label_vector(labels)
        if not 0 <= alpha <= 1:
            raise OptionError(f"alpha={alpha} is not a fraction of the kept budget; choose alpha in [0, 1].")
        m = kept_count(labels.size, r)
        self._signal_counts(np.array([labels.size]), np.array([m]), alpha)
        if self.balance is None:
            return
        sizes = np.unique(labels, return_counts=True)[1]
        if self.balance == "exact":
            self._signal_counts(sizes, largest_remainder(r * sizes, m, sizes), alpha)
        elif (least := int(self._floors(sizes, r).sum())) > m:
            raise BudgetError(
                f"balance={self.balance:g} keeps at least {least} examples of {sizes.size} classes, but r={r:g} keeps "
                f"{m}; raise r, lower balance, or choose balance=exact."
            )

    def select(
        self,
        scores: Scores | ArrayLike | None,
        labels: ArrayLike,
        *,
        r: float,
        alpha: float = 0.0,
        seed: int,
        evidence: Evidence | None = None,
    ) -> Subset:
        """The kept examples of n. scores: [n], higher = harder (not read where reads_scores is False); labels: [n].

        The weights have mean one. is_signal is True where an example was kept because of its score.

        Raises what `check` raises, and: MissingEvidenceError where scores are read and None; ShapeError where they are
        not finite numbers [n]; MismatchError where there are not as many as labels; BudgetError where, with balance a
        fraction, the budgets that follow from the scores leave a class nothing to weight.
        """
        labels = _label_vector(labels)
        n = labels.size
        self.check(labels, r=r, alpha=alpha)
        values = self._score_vector(scores, n)
        ties = stream(seed, "ties").random(n)
        explore = stream(seed, "explore").random(n)

        strata = [np.arange(n)] if self.balance is None else _classes(labels)
        sizes = np.array([members.size for members in strata])
        m = kept_count(n, r)
        if self.balance is None or self.balance == "exact":
            budgets = largest_remainder(r * sizes, m, sizes)
        else:
            budgets = self._floored_budgets(strata, sizes, values, ties, explore, r=r, m=m, alpha=alpha)
            # Fresh keys: those above chose the budgets, and an example that they raised its class's budget with
            # would be kept more often than its classmates, which would bias the exact weights.
            explore = stream(seed, "explore", "balanced").random(n)
        signals = self._signal_counts(sizes, budgets, alpha)
        w_signal, w_explored = self._weights(sizes, budgets, signals)

        indices, weights, is_signal = [], [], []
        for c, members in enumerate(strata):
            signal, explored = self._choose(members, int(budgets[c]), int(signals[c]), values, ties, explore)
            indices += [signal, explored]
            weights += [np.full(signal.size, w_signal[c]), np.full(explored.size, w_explored[c])]
            is_signal += [np.ones(signal.size, dtype=bool), np.zeros(explored.size, dtype=bool)]
        kept = np.concatenate(indices)
        order = np.argsort(kept)
        return Subset(kept[order], np.concatenate(weights)[order], np.concatenate(is_signal)[order], n)

    def _difficulty(self, values: Floats) -> Floats:
        """What signal examples are highest in."""
        return values

    def _signal_caps(self, sizes: Ints, budgets: Ints) -> Ints:
        """The most examples of each stratum, [C], that may be kept by score; BudgetError where nothing may be."""
        return budgets

    def _weights(self, sizes: Ints, budgets: Ints, signals: Ints) -> tuple[Floats, Floats]:
        """Weights of signal and explored examples in each stratum, [C] and [C]; mean one over all kept."""
        return np.ones(sizes.size), np.ones(sizes.size)

    def _signal_counts(self, sizes: Ints, budgets: Ints, alpha: float) -> Ints:
        """How many of each stratum's budget are kept by score, [C]."""
        share = self.effective_alpha(alpha)
        total = round_half_up(share * int(budgets.sum()))
        caps = self._signal_caps(sizes, budgets)
        if total > caps.sum():
            raise BudgetError(
                f"alpha={alpha:g} keeps {total} of {budgets.sum()} examples by score, but the weights need at least "
                f"{(budgets - caps).sum()} kept at random, to stand for those dropped; lower alpha, or choose "
                "protocol=approximate, which does not reweight."
            )
        return largest_remainder(share * budgets, total, caps)

    def _choose(
        self, members: Ints, budget: int, signal: int, values: Floats, ties: Floats, explore: Floats
    ) -> tuple[Ints, Ints]:
        """The indices of a stratum's signal and explored examples; members are the stratum's indices.

        values, ties, explore: [n], scores and the seeded keys that order equal scores and the random part.
        """
        rest = members
        if signal:
            hardest_first = members[np.lexsort((ties[members], -self._difficulty(values[members])))]
            members, rest = hardest_first[:signal], hardest_first[signal:]
        draws = budget - signal
        explored = rest[np.argpartition(explore[rest], draws - 1)[:draws]] if draws else rest[:0]
        return members[:signal], explored

    def _floors(self, sizes: Ints, r: float) -> Ints:
        assert isinstance(self.balance, int | float)
        return least_counts(sizes, self.balance * r)

    def _floored_budgets(
        self,
        strata: list[Ints],
        sizes: Ints,
        values: Floats,
        ties: Floats,
        explore: Floats,
        *,
        r: float,
        m: int,
        alpha: float,
    ) -> Ints:
        """Class budgets [C] for balance a fraction: those of the unbalanced rule, raised to the floors."""
        n = values.size
        signals = self._signal_counts(np.array([n]), np.array([m]), alpha)
        kept = np.zeros(n, dtype=bool)
        for part in self._choose(np.arange(n), m, int(signals[0]), values, ties, explore):
            kept[part] = True
        floors = self._floors(sizes, r)
        raised = np.maximum([kept[members].sum() for members in strata], floors)
        spare = raised - floors
        taken = int(raised.sum()) - m
        if not taken:
            return raised
        return raised - largest_remainder(spare * (taken / spare.sum()), taken, spare)

    def _score_vector(self, scores: Scores | ArrayLike | None, n: int) -> Floats:
        if not self.reads_scores:
            return np.zeros(n)
        if scores is None:
            raise MissingEvidenceError(f"{type(self).__name__} selects by score; give it the scores of a metric.")
        values = scores.values if isinstance(scores, Scores) else _validated(scores)
        if values.size != n:
            raise MismatchError(
                f"{values.size} scores do not belong to {n} labels; score the data set that the subset is taken from."
            )
        return values


def _validated(scores: ArrayLike) -> Floats:
    return Scores(np.asarray(scores, dtype=np.float64), metric="given", dataset="given").values


def _label_vector(labels: ArrayLike) -> NDArray[Any]:
    vector = np.asarray(labels)
    if vector.ndim != 1:
        raise ShapeError(f"labels must be one class per example, shape [n]; got shape {list(vector.shape)}.")
    return vector


def _classes(labels: NDArray[Any]) -> list[Ints]:
    """The indices of each class, classes in the order of np.unique."""
    counts = np.unique(labels, return_counts=True)[1]
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
