"""What every selector is: scores, labels, a fraction and a seed in; a subset out."""

from abc import ABC
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.core.errors import BudgetError, MismatchError, MissingEvidenceError, OptionError
from winnow.core.rounding import round_half_up
from winnow.core.seeds import derive
from winnow.core.types import Evidence, Floats, Ints, Scores, Subset
from winnow.selectors.budget import kept_count, largest_remainder, least_counts
from winnow.selectors.keys import Keys
from winnow.selectors.pool import Pool, label_vector
from winnow.selectors.rule import Rule
from winnow.selectors.strata import by_class


@dataclass(frozen=True, kw_only=True)
class Selector(Rule, ABC):
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

    drop_suspect: the fraction of the examples, the most likely mislabelled, that is removed before anything else, since
    wrong labels live at the hardest end; n and n_c above then count the rest. suspect_by: "score" takes the highest
    scores; "aum" the smallest margins of the probes' training (Pleiss et al. 2020, 2001.10528), whatever the scores.

    A subclass is one file, and one yaml of the same name in conf/selector, which the contract tests find. Most give
    `_pick` alone: the examples that the rule chooses by itself. `calibrated` takes any of them for its signal.
    """

    def check(self, labels: ArrayLike, *, r: float, alpha: float) -> None:
        """Raise every error that can be told before there are scores, so that no probe is trained in vain.

        Raises OptionError for alpha outside [0, 1]; BudgetError for r outside (0, 1], for a budget under one example,
        and where the floors of balance, or the weights, ask for more examples than are kept; ShapeError for labels
        that are not [n].
        """
        self._check_trusted(label_vector(labels), r=r, alpha=alpha)

    def _check_trusted(self, labels: NDArray[Any], *, r: float, alpha: float) -> None:
        """`check` of the labels; those that drop_suspect leaves are only known once there are scores."""
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

        The weights have mean one (those of importance in expectation). is_signal is True where an example was kept
        because of its score.

        Raises what `check` raises, and: MissingEvidenceError where scores are read and None; ShapeError where they are
        not finite numbers [n]; MismatchError where there are not as many as labels; BudgetError where, with balance a
        fraction, the budgets that follow from the scores leave a class nothing to weight.
        """
        labels = label_vector(labels)
        n = labels.size
        self.check(labels, r=r, alpha=alpha)
        pool = Pool(
            values=self._score_vector(scores, n),
            labels=labels,
            ties=self._keys(seed, "ties", n=n),
            explore=self._keys(seed, "explore", n=n),
            seed=seed,
            evidence=evidence,
        )
        trusted = np.arange(n)
        if self.drop_suspect:
            suspect = pool.hardest(
                trusted, round_half_up(self.drop_suspect * n), pool.suspicion(trusted, self.suspect_by)
            )
            trusted = np.delete(trusted, suspect)
            if not trusted.size:
                raise BudgetError(f"drop_suspect={self.drop_suspect:g} of n={n} examples leaves none; lower it.")
            self._check_trusted(labels[trusted], r=r, alpha=alpha)

        strata = [trusted] if self.balance is None else by_class(trusted, labels)
        sizes = np.array([members.size for members in strata])
        total = trusted.size
        del trusted  # here and below: of 10⁸ examples it is a gigabyte that is no longer needed
        m = kept_count(total, r)
        if self.balance is None or self.balance == "exact":
            budgets = largest_remainder(r * sizes, m, sizes)
        else:
            budgets = self._floored_budgets(strata, sizes, pool, r=r, m=m, alpha=alpha)
            # Fresh draws: those above chose the budgets, and an example that they raised its class's budget with
            # would be kept more often than its classmates, which would bias the exact weights.
            fresh = self._keys(seed, "explore", "balanced", n=n)
            pool = replace(pool, explore=fresh, seed=derive(seed, "balanced"))
        signals = self._signal_counts(sizes, budgets, alpha)
        w_signal, w_explored = self._weights(sizes, budgets, signals)

        weights, kept, is_signal = np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        for c, members in enumerate(strata):
            signal, explored = self._choose(members, int(budgets[c]), int(signals[c]), pool)
            weights[signal] = self._signal_weights(members, signal, w_signal[c], m / total, pool)
            weights[explored] = w_explored[c]
            kept[signal] = kept[explored] = is_signal[signal] = True
        del strata, members, signal, explored, pool
        return Subset(np.flatnonzero(kept), weights[kept], is_signal[kept], n)

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        """The `count` of the members, [count] indices in any order, that the rule chooses by itself.

        0 < count < members.size: a rule is not asked where all are kept. members are sorted.
        """
        return pool.hardest(members, count)

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

    def _signal_weights(self, members: Ints, signal: Ints, weight: float, r: float, pool: Pool) -> Floats:
        """Weights of the signal examples of a stratum: all `weight`, unless a rule gives each its own. r: m/n."""
        return np.full(signal.size, weight)

    def _choose(self, members: Ints, budget: int, count: int, pool: Pool) -> tuple[Ints, Ints]:
        """The indices of a stratum's signal and explored examples; members are the stratum's indices."""
        if count == members.size:
            return members, members[:0]
        signal = self._pick(members, count, pool) if count else members[:0]
        draws = budget - count
        if not draws:
            return signal, members[:0]
        rest = np.delete(members, np.searchsorted(members, signal)) if count else members
        return signal, pool.explore.smallest(rest, draws)

    def _keys(self, seed: int, *names: str, n: int) -> Keys:
        return Keys(seed=seed, names=names, n=n, held=self.balance is not None)

    def _floors(self, sizes: Ints, r: float) -> Ints:
        assert isinstance(self.balance, int | float)
        return least_counts(sizes, self.balance * r)

    def _floored_budgets(self, strata: list[Ints], sizes: Ints, pool: Pool, *, r: float, m: int, alpha: float) -> Ints:
        """Class budgets [C] for balance a fraction: those of the unbalanced rule, raised to the floors."""
        everyone = np.sort(np.concatenate(strata))
        signals = self._signal_counts(np.array([everyone.size]), np.array([m]), alpha)
        kept = np.zeros(pool.values.size, dtype=bool)
        for part in self._choose(everyone, m, int(signals[0]), pool):
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
        if not isinstance(scores, Scores):
            scores = Scores(np.asarray(scores, dtype=np.float64), metric="given", dataset="given")
        values = scores.values
        if values.size != n:
            raise MismatchError(
                f"{values.size} scores do not belong to {n} labels; score the data set that the subset is taken from."
            )
        return values
