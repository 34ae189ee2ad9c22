"""The conditional scaling law: test error in examples kept, model width and depth, all pruning rules fitted jointly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from winnow.core.errors import FitError, check_choice
from winnow.core.types import Floats, Ints
from winnow.scaling.laws.additive import Additive, Term
from winnow.scaling.laws.estimators import Interval
from winnow.scaling.panel import Panel
from winnow.scaling.points import positive
from winnow.scaling.replicates import t_ends

SHAPES = {"width": ("B", "c"), "depth": ("D", "e")}
ROUNDING = 1e-9  # log errors closer to the curve than this are on it


@dataclass(frozen=True, kw_only=True, eq=False)
class Configurations:
    """The mean error of each configuration (rule, n, width, depth), a line each, C in all.

    rule: [C] index into the rules. n: [C] examples kept. sizes: "width", "depth" -> [C], where they were given. error:
    [C] mean over seeds, positive. weights: [C] of squared residuals of log error. measured: [C] which measurement it
    is: models trained on all examples are the same for every rule, and their one measurement, with its weight shared
    out, stands under each of them. entries: for each measurement, the entries of the lists that it is the mean of.
    """

    rule: Ints
    n: Floats
    sizes: Mapping[str, Floats]
    error: Floats
    weights: Floats
    measured: Ints
    entries: tuple[tuple[int, ...], ...]

    @property
    def means(self) -> Floats:
        """The error of each measurement."""
        found = np.empty(self.distinct)
        found[self.measured] = self.error
        return found

    @property
    def distinct(self) -> int:
        """How many measurements there are."""
        return int(self.measured.max()) + 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionalFit:
    """ε = A_rule n^(−b_rule) + B w^(−c) + D d^(−e) + E with the parameters that fit best.

    parameters, intervals: name -> value, name -> (low, high) at `level`, 0 and inf where the points set no bound, none
    at all where the runs of some rule share one probe ensemble (one_ensemble); names are "A random", "b random" for
    each rule, then B, c, D, e as far as they were fitted, and E. An amplitude of 0 is a term that gains nothing; its
    exponent is NaN. merged: of "width" and "depth", those that did not vary or were not given, whose constant is part
    of E. ranges: "n", "width", "depth" -> smallest and largest that were fitted. distinct: configurations that were
    measured. sigma: residual standard deviation of log error at a configuration of average weight. n_available: as it
    was given. errors: of the replicates at each measurement, where they are told apart (see `over`).
    """

    rules: tuple[str, ...]
    parameters: Mapping[str, float]
    intervals: Mapping[str, Interval]
    merged: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    distinct: int
    sigma: float
    level: float
    n_available: int | None
    points: Configurations = field(repr=False)
    theta: Floats = field(repr=False)
    estimator: Additive = field(repr=False)
    errors: Panel | None = field(repr=False, default=None)
    one_ensemble: bool = False

    def over(self, errors: Panel, *, one_ensemble: bool) -> "ConditionalFit":
        """The same law, its intervals and draws widened to hold what other replicates would have changed.

        errors: of the replicates, a place a measurement; intervals as of `laws.LawFit.over`, all of logs. one_ensemble:
        whether the runs of some rule share theirs, as the rules are fitted together.
        """
        if one_ensemble:
            return replace(self, intervals={}, errors=errors, one_ensemble=True)
        if not errors.known:
            return replace(self, errors=errors)
        shared = np.zeros((self.theta.size, self.distinct))
        np.add.at(shared.T, self.points.measured, self.estimator.moves(self.theta).T)
        with np.errstate(over="ignore"):
            ends = np.exp(t_ends(self.theta, *errors.spread(shared / self.points.means), self.level))
        intervals = {
            name: (float(np.fmin(old[0], low)), float(np.fmax(old[1], high)))
            for (name, old), low, high in zip(self.intervals.items(), *ends, strict=True)
        }
        return replace(self, intervals=intervals, errors=errors)

    def predict(
        self, n: ArrayLike, rule: str, width: ArrayLike | None = None, depth: ArrayLike | None = None
    ) -> Floats:
        """The error of the law, arrays of shapes that broadcast.

        A width or depth that is merged into E is not read. Raises OptionError for a rule that was not fitted, and
        FitError where a width or depth that the law reads is not given.
        """
        return self.error_of(self.theta, n, rule, width, depth)

    def error_of(
        self, theta: Floats, n: ArrayLike, rule: str, width: ArrayLike | None = None, depth: ArrayLike | None = None
    ) -> Floats:
        """As `predict`, with other parameters: theta of `draws`, in the order of `parameters`, amplitudes as logs."""
        check_choice("rule", rule, self.rules)
        k = 2 * self.rules.index(rule)
        error = _power(theta[k : k + 2], n) + np.exp(theta[-1])
        k = 2 * len(self.rules)
        for name, size in (("width", width), ("depth", depth)):
            if name in self.merged:
                continue
            if size is None:
                raise FitError(f"the law was fitted over several values of {name}; give {name}=... to predict.")
            error = error + _power(theta[k : k + 2], size)
            k += 2
        return error

    def draws(self, resamples: int, seed: int = 0) -> Floats:
        """theta [resamples, p] of the law refitted to simulated errors: the parametric bootstrap.

        A simulated measurement lies off the fitted law by normal noise in log error, of a variance that is itself drawn
        from what N − p residuals say of it, S / χ². Residuals hold lack of fit as well as the spread of seeds, which
        few seeds would tell too little of, but not what a replicate does to many measurements: see `panel.Panel.draws`.
        """
        generator = np.random.default_rng(seed)
        points, p = self.points, self.theta.size
        fitted = self.estimator.predict(self.theta)
        counts = np.bincount(points.measured)
        level = np.bincount(points.measured, fitted) / counts
        weights = np.bincount(points.measured, points.weights)
        squares = self.sigma**2 * (self.distinct - p)
        found, shared = np.empty((resamples, p)), np.zeros((resamples, self.distinct))
        if self.errors is not None and self.errors.known:
            shared = self.errors.draws(resamples, generator) / points.means
        for i in range(resamples):
            sigma = np.sqrt(squares / generator.chisquare(self.distinct - p))
            y = level + shared[i] + sigma * generator.standard_normal(self.distinct) / np.sqrt(weights)
            found[i] = self.estimator.refit(y[points.measured])
        return found


def fit_conditional(
    n: ArrayLike,
    error: ArrayLike,
    rule: Sequence[str],
    *,
    width: ArrayLike | None = None,
    depth: ArrayLike | None = None,
    n_test: int | None = None,
    n_available: int | None = None,
    spread: ArrayLike | None = None,
    level: float = 0.95,
) -> ConditionalFit:
    """The conditional law of least squares on log error, all rules, widths and depths together.

    n, error, rule, width, depth: flat lists of the same length, a configuration once for each of its seeds; the errors
    of a configuration are averaged first. A width or depth that is not given or has one value has no term of its own.
    n_test: size of the test set; a mean error of zero counts as half an error in n_test + 1. n_available: size of the
    training set; trained on all of it every rule is the same, so that errors at n = n_available, each trained model
    given once, count once and stand under every rule. spread: the standard error of each entry of `error`, in the same
    units; only ratios matter. Without it, a configuration weighs as many as its seeds.

    Intervals profile the sum of squares, as in `laws.fit`: they hold every value at which it, minimised over the other
    parameters, is at most S (1 + t²/(N − p)), N the distinct measurements. In
    simulations of two rules, five or six sizes and three or four widths, with noise of 10% to 30%, with a floor and
    without, each parameter lay in its own 95% interval in 93% to 99.5% of 200 data sets, and all seven of them at once
    in 84% to 88%.

    The law is additive, so that it cannot follow a rule that gains more from width than another, nor rules that meet at
    n_available: what it lacks is in sigma, and the models trained on everything pull the terms of all rules together.

    Raises FitError where N ≤ p + 1, for a rule with a single size below n_available, lists of different lengths, sizes
    that are not positive, errors that are negative or not finite, and zeros without n_test.
    """
    if not 0 < level < 1:
        raise FitError(f"level={level} is not a probability between 0 and 1; the usual one is 0.95.")
    table = _checked(n, error, rule, {"width": width, "depth": depth}, spread)
    rules = tuple(sorted(set(table["rule"]), key=lambda name: (name != "random", name)))
    given = [name for name in SHAPES if name in table]
    varied = [name for name in given if table[name].nunique() > 1]
    points = _configurations(table, rules, given, n_test, n_available, weighted=spread is not None)
    for i, name in enumerate(rules):
        if np.unique(points.n[points.rule == i]).size < 2:
            raise FitError(f"{name} has a single size, which tells no exponent; run it at more sizes or leave it out.")
    names = [f"{letter} {name}" for name in rules for letter in "Ab"]
    names += [*(letter for name in varied for letter in SHAPES[name]), "E"]
    p, distinct = len(names), points.distinct
    if distinct <= p + 1:
        raise FitError(
            f"the conditional law of {len(rules)} rules{''.join(f' and {name}' for name in varied)} has {p} parameters "
            f"and needs at least {p + 2} configurations; there are {distinct}. Run more sizes or widths."
        )
    terms = [Term(np.log(points.n), points.rule == i) for i in range(len(rules))]
    terms += [Term(np.log(points.sizes[name]), np.ones(points.n.size, dtype=bool)) for name in varied]
    estimator = Additive(terms, np.log(points.error), points.weights)
    theta, squares = estimator.estimate
    floor = distinct * ROUNDING**2
    limit = squares * (1 + float(stdtrit(distinct - p, (1 + level) / 2)) ** 2 / (distinct - p))
    ends = estimator.intervals(limit) if squares > floor else [(value, value) for value in theta]
    parameters = dict(zip(names, np.exp(theta).tolist(), strict=True))
    for j in np.flatnonzero(np.isneginf(theta[:-1])):
        parameters[names[j + 1]] = np.nan
    with np.errstate(over="ignore"):
        intervals = {
            name: (float(np.exp(low)), float(np.exp(high))) for name, (low, high) in zip(names, ends, strict=True)
        }
    sizes = {"n": points.n, **points.sizes}
    return ConditionalFit(
        rules=rules,
        parameters=parameters,
        intervals=intervals,
        merged=tuple(name for name in SHAPES if name not in varied),
        ranges={name: (float(values.min()), float(values.max())) for name, values in sizes.items()},
        distinct=distinct,
        sigma=float(np.sqrt(squares / (distinct - p))),
        level=level,
        n_available=n_available,
        points=points,
        theta=theta,
        estimator=estimator,
    )


def _power(theta: Floats, size: ArrayLike) -> Floats:
    """a size^(−b) from (log a, log b), on the log scale: a steep law has an a that overflows."""
    if np.isneginf(theta[0]):
        return np.zeros(np.shape(size))
    return np.exp(theta[0] - np.exp(theta[1]) * np.log(np.asarray(size, dtype=np.float64)))


def _checked(
    n: ArrayLike,
    error: ArrayLike,
    rule: Sequence[str],
    sizes: Mapping[str, ArrayLike | None],
    spread: ArrayLike | None,
) -> pd.DataFrame:
    """The lists as the columns of a table, with `spread` one where there is none."""
    numbers = {"n": n, "error": error, **{name: size for name, size in sizes.items() if size is not None}}
    numbers["spread"] = np.ones(np.shape(error)) if spread is None else spread
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()}
    shapes = {name: list(values.shape) for name, values in columns.items()} | {"rule": [len(rule)]}
    if len({tuple(shape) for shape in shapes.values()}) != 1 or columns["n"].ndim != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise FitError(f"n, error, rule, width, depth and spread must be lists of the same length; got {listed}.")
    for name, values in columns.items():
        allowed = np.isfinite(values) & ((values >= 0) if name == "error" else (values > 0))
        if not allowed.all():
            wanted = "finite and not negative" if name == "error" else "a positive number"
            raise FitError(f"every {name} must be {wanted}; leave out the rows where it is not.")
    return pd.DataFrame({**columns, "rule": list(rule)})


def _configurations(
    table: pd.DataFrame,
    rules: tuple[str, ...],
    given: Sequence[str],
    n_test: int | None,
    n_available: int | None,
    *,
    weighted: bool,
) -> Configurations:
    everything = table["n"] == (n_available or np.inf)
    table = table.assign(rule=table["rule"].map(rules.index).mask(everything, -1), entry=np.arange(len(table)))
    grouped = table.groupby(["rule", "n", *given], as_index=False)
    found = grouped.agg(
        error=("error", "mean"),
        count=("error", "size"),
        variance=("spread", lambda s: (s**2).sum()),
        entries=("entry", tuple),
    )
    mean = positive(found["error"].to_numpy(), n_test)
    count = found["count"].to_numpy(dtype=np.float64)
    weights = (mean * count) ** 2 / found["variance"].to_numpy() if weighted else count
    weights = weights / np.exp(np.log(weights).mean())
    found = found.assign(error=mean, weights=weights, measured=np.arange(len(found)))
    entries = tuple(found["entries"])
    shared = found[found["rule"] == -1].assign(weights=lambda rows: rows["weights"] / len(rules))
    own = found[found["rule"] >= 0]
    found = pd.concat([own, *(shared.assign(rule=i) for i in range(len(rules)))], ignore_index=True)
    return Configurations(
        rule=found["rule"].to_numpy(dtype=np.int64),
        n=found["n"].to_numpy(),
        sizes={name: found[name].to_numpy() for name in given},
        error=found["error"].to_numpy(),
        weights=found["weights"].to_numpy(),
        measured=found["measured"].to_numpy(dtype=np.int64),
        entries=entries,
    )
