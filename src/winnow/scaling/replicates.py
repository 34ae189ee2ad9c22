"""The structure of chance in a grid: what a mean over runs is worth when runs share their probes or their seeds.

Everything random about a run is its probe ensemble (probe_seed) and its pair of selection and training seeds. The test
error of ensemble p with seeds s is read as mean + P_p + S_s + e_ps, with variances that are not known. Rows of one
ensemble are no more independent of each other than rows of the same seeds, so that P ensembles with S seeds each are
never P·S draws. A rule that reads no probes has the pair of seeds as its only cause.
"""

from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtri, stdtr, stdtrit

from winnow.core.types import Floats, Ints

PAIR = ["selection_seed", "train_seed"]
SEEDS = ["probe_seed", *PAIR]
ONE_ENSEMBLE = "one probe ensemble"
MEND = "draw new probes with each replicate, as seed=0,1,2 does"
_ROUNDING = 1e-12


class Estimate(NamedTuple):
    """A mean with its standard error and the degrees of freedom of its t-interval, both NaN where chance is not known.

    seeds: runs that were averaged. clusters: probe ensembles, of a rule that reads none the pairs of seeds.
    one_ensemble: whether probes were read and all runs share theirs, so that nothing says what others would give.
    """

    mean: float
    se: float
    df: float
    seeds: int
    clusters: int
    one_ensemble: bool

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Ends of the t-interval; NaN where chance is not known, or where nothing varied."""
        low, high = t_ends(self.mean, self.se, self.df, level)
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Of the two-sided t-test of a mean of zero."""
        return float(2 * stdtr(self.df, -abs(self.mean) / self.se)) if self.se > 0 else np.nan


def t_ends(mean: ArrayLike, se: ArrayLike, df: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Low and high of the t-intervals, arrays of one shape; NaN where se is not positive."""
    mean, se, df = (np.asarray(each, dtype=np.float64) for each in (mean, se, df))
    reach = np.where(se > 0, stdtrit(df, (1 + level) / 2) * se, np.nan)
    return mean - reach, mean + reach


class _Forms(NamedTuple):
    """What `Design.spread` needs of a design, without the data. F quadratic forms, as many components of variance.

    forms: [F, N, N]; the last is of what is left beside the others. components: [F, F] from forms to components.
    unbiased, one_way: [F] from forms to the variance of the mean, by all of them and by each alone. levels: [F] less
    one. weighted: [F] one_way, few levels counting more. trace, products: [F], [F, F] of the form that degrees of
    freedom are counted for, with the components.
    """

    forms: Floats
    components: Floats
    unbiased: Floats
    one_way: Floats
    levels: Floats
    weighted: Floats
    trace: Floats
    products: Floats


class Design:
    """Which of N runs share their ensemble and which their seeds, and the mean and standard error that follow.

    ensembles, seeds: [N] codes 0, 1, ...; no two runs share both. reads: whether the rule reads probes, else ensembles
    are all zero.

    The mean is that of the means of the clusters. Where no two clusters share seeds its variance is that of their means
    over their number, with clusters − 1 degrees of freedom. Else the variance, linear in those of ensembles, seeds and
    the rest, is found by the method of moments from three quadratic forms: the spread of the ensembles' means, that of
    the seeds' means, and what is left beside both; in a balanced crossed design (MSP + MSS − MSE) / PS. It is never
    taken below what either spread says alone. Degrees of freedom are Satterthwaite's, at the variances found, for the
    mean of two forms: the one above, and the sum of both spreads, where that of few levels counts more, by L / χ²(0.05;
    L) of its L = levels − 1; with two levels it is mostly too small, and would pass for one that does not matter. As
    variances that are found from so little make them too many, they go a third of the way back to the spreads' own, L
    by share, where these are fewer. These choices are those that cover what they should in simulated grids:
    scripts/bench/coverage.py.
    """

    def __init__(self, ensembles: Ints, seeds: Ints, *, reads: bool) -> None:
        self.reads = reads
        self.size = ensembles.size
        self.ensembles, self.seeds = ensembles, seeds
        self._levels = int(ensembles.max()) + 1, int(seeds.max()) + 1
        cluster = ensembles if reads else seeds
        self.clusters = self._levels[0 if reads else 1]
        self.weights = 1 / (self.clusters * np.bincount(cluster)[cluster])

    @property
    def one_ensemble(self) -> bool:
        """Whether probes were read, and all runs share theirs."""
        return self.reads and self.clusters == 1

    @property
    def one_pair(self) -> bool:
        """Whether all runs share their pair of seeds."""
        return self._levels[1] == 1

    @property
    def clusterings(self) -> list[Ints]:
        """[N] codes each: of the clusters, and of the seeds where clusters share some and they differ."""
        seeds = [self.seeds] if self.reads and 1 < self._levels[1] < self.size else []
        return [self.ensembles, *seeds] if self.reads else [self.seeds]

    @cached_property
    def _forms(self) -> _Forms:
        n, w = self.size, self.weights
        centre = np.eye(n) - np.outer(np.ones(n), w)

        def spread_of(indicators: Floats) -> Floats:
            sums = (indicators * w[:, None]).T @ centre
            return sums.T @ sums

        # a cause that no two runs share, or all of them, is none beside the rest
        codes = zip((self.ensembles, self.seeds), self._levels, strict=True)
        shared = [np.eye(levels)[code] for code, levels in codes if 1 < levels < n]
        left = np.eye(n) - np.hstack(shared) @ np.linalg.pinv(np.hstack(shared)) if shared else np.zeros((n, n))
        rest = left if np.trace(left) > 0.5 else spread_of(np.eye(n))
        forms = np.stack([*(spread_of(each) for each in shared), rest])
        variances = np.stack([each @ each.T for each in shared] + [np.eye(n)])
        expected = np.einsum("fij,vij->fv", forms, variances)
        target = np.einsum("i,vij,j->v", w, variances, w)
        components = np.linalg.pinv(expected)
        one_way = target / np.diag(expected)
        one_way[len(shared) :] *= not shared
        levels = np.array([*(each.shape[1] - 1 for each in shared), n - 1], dtype=np.float64)
        weighted = one_way * levels / chdtri(levels, 0.95)
        unbiased = components.T @ target
        moved = np.einsum("f,fij->ij", (weighted + unbiased) / 2, forms) @ variances
        products = np.einsum("aij,bji->ab", moved, moved)
        return _Forms(forms, components, unbiased, one_way, levels, weighted, np.trace(moved, 0, 1, 2), products)

    def spread(self, values: Floats, scale: Floats | None = None) -> tuple[Floats, Floats]:
        """Standard error of the mean and its degrees of freedom, [K] each, of K lines of N values.

        Both are NaN with one cluster. scale: [K] size of the numbers that the values come from, below whose rounding
        there is no spread: the standard error is 0, the degrees of freedom NaN.
        """
        if self.clusters < 2:
            return np.full(len(values), np.nan), np.full(len(values), np.nan)
        known = self._forms
        centred = values - (values @ self.weights)[:, None]
        observed = np.stack([np.sum((centred @ form) * centred, axis=1) for form in known.forms], axis=1)  # [K, F]
        variance = np.maximum(observed @ known.unbiased, np.max(observed * known.one_way, axis=1))
        flat = variance <= (_ROUNDING * (np.abs(values).max(axis=1) if scale is None else scale)) ** 2
        observed = np.where(flat[:, None], 1.0, observed)
        if not self.reads or self._levels[1] == self.size:
            df = np.full(len(values), self.clusters - 1.0)
        else:
            found = np.maximum(observed @ known.components.T, 0)
            df = (found @ known.trace) ** 2 / np.einsum("ka,ab,kb->k", found, known.products, found)
            shares = observed * known.weighted
            own = np.sum(shares, axis=1) / np.sum(shares / known.levels, axis=1)
            df = np.where(df > own, (2 * df + own) / 3, df)
        return np.where(flat, 0.0, np.sqrt(np.maximum(variance, 0))), np.where(flat, np.nan, df)

    def estimate(self, values: ArrayLike, *, paired: bool = False) -> Estimate:
        """The mean of N values. paired: they are differences from runs that the seeds alone name.

        Runs of a single pair of seeds then share one run of the baseline, whose chance nothing tells.
        """
        values = np.asarray(values, dtype=np.float64)
        se, df = (float(each[0]) for each in self.spread(values[None]))
        if paired and self.one_pair:
            se = df = np.nan
        return Estimate(float(values @ self.weights), se, df, self.size, self.clusters, self.one_ensemble)


def codes(runs: pd.DataFrame) -> Ints:
    """[N, 3] probe, selection and training seeds of lines of a grid, −1 where one is NA and has no say."""
    return np.stack([runs[name].to_numpy(dtype=np.int64, na_value=-1) for name in SEEDS], axis=1)


def design(runs: pd.DataFrame | Ints) -> Design:
    """The design of the lines of one rule and size, or of their `codes`."""
    seeds = codes(runs) if isinstance(runs, pd.DataFrame) else runs
    ensembles = np.unique(seeds[:, 0], return_inverse=True)[1].astype(np.int64)
    pairs = np.unique(seeds[:, 1:], axis=0, return_inverse=True)[1].astype(np.int64)
    return _design(ensembles.tobytes(), pairs.tobytes(), bool(seeds[:, 0].max() >= 0))


def share_ensemble(runs: pd.DataFrame) -> bool:
    """Whether probes were read in these lines of one rule, and all that read them share theirs."""
    return runs["probe_seed"].nunique() == 1


@lru_cache(maxsize=512)
def _design(ensembles: bytes, seeds: bytes, reads: bool) -> Design:
    return Design(np.frombuffer(ensembles, dtype=np.int64), np.frombuffer(seeds, dtype=np.int64), reads=reads)
