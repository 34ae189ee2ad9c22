"""Scaling laws of test error in the number of examples, with intervals and bands over replicates, and AICc."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from winnow.core.errors import FitError, check_choice
from winnow.core.types import Floats
from winnow.scaling.laws.estimators import BrokenLine, Floored, Interval, Line
from winnow.scaling.panel import Panel, panel
from winnow.scaling.points import Points, collect_points
from winnow.scaling.replicates import MEND, ONE_ENSEMBLE, PAIR, t_ends

LAWS: dict[str, tuple[str, ...]] = {
    "power": ("a", "b"),
    "power_floor": ("a", "b", "c"),
    "exponential": ("a", "b"),
    "exponential_floor": ("a", "b", "c"),
    "broken_power": ("a", "b", "b2", "n_break"),
}
_LOGS = ("a", "n_break")  # their intervals over replicates are of the logarithm
# Log errors closer to the curve than this are on it: rounding, not spread.
ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class LawFit:
    """A law with the parameters that fit best.

    law: its name. parameters: name -> value; intervals: name -> (low, high) at `level`, 0 and inf where the points set
    no bound; empty where all runs share one probe ensemble. aicc: N log(S/N) + 2k + 2k(k+1)/(N−k−1), S the weighted sum
    of squared residuals of log error, N the number of distinct sizes, k the number of parameters and one for the spread
    (Burnham & Anderson 2002); only differences between laws of the same points mean something, and it is inf at N = k +
    1. sigma: residual standard deviation of log error at a point of average weight. points: what was fitted. errors: of
    the replicates, where they are told apart (see `over`).
    """

    law: str
    parameters: Mapping[str, float]
    intervals: Mapping[str, Interval]
    aicc: float
    sigma: float
    level: float
    points: Points = field(repr=False)
    errors: Panel | None = field(repr=False, default=None)

    def predict(self, n: ArrayLike) -> Floats:
        """The error of the law at n examples, any shape."""
        return law_error(self.law, self.parameters, n)

    def over(self, errors: Panel) -> "LawFit":
        """The same law, its intervals widened to hold what other replicates would have changed.

        errors: the panel of the replicates at the sizes that were fitted. What an ensemble or a seed does at all sizes
        alike moves the whole curve, so that the residuals know nothing of it. An interval becomes the hull of itself
        and the t-interval over replicates, of log a, b, c and log n_break, to first order in their errors. With one
        cluster it stays, as it holds what is independent from size to size; with one probe ensemble there is none.
        """
        if errors.design.one_ensemble:
            return replace(self, intervals={}, errors=errors)
        if not errors.known:
            return replace(self, errors=errors)
        names = LAWS[self.law]
        values = np.array([self.parameters[name] for name in names])
        logs = np.array([name in _LOGS for name in names])
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            theta = np.where(logs, np.log(values), values)
            low, high = t_ends(theta, *errors.spread(self._moves() / self.points.error), self.level)
            low, high = (np.where(logs, np.exp(end), end) for end in (low, high))
        bounded = self.law.endswith("_floor")  # where b and c are not negative
        intervals = {
            name: (
                float(np.fmin(self.intervals[name][0], max(low[i], 0.0) if bounded else low[i])),
                float(np.fmax(self.intervals[name][1], high[i])),
            )
            for i, name in enumerate(names)
        }
        return replace(self, intervals=intervals, errors=errors)

    def _moves(self) -> Floats:
        """[p, N] by how much each parameter (a and n_break: its log) moves with the log error of each size.

        A floor of zero is held there.
        """
        slopes, root = self._slopes(self.points.n), np.sqrt(self.points.weights)
        if self.parameters.get("c") == 0:
            slopes[:, LAWS[self.law].index("c")] = 0.0
        return np.asarray(np.linalg.pinv(slopes * root[:, None]) * root, dtype=np.float64)

    def _slopes(self, n: ArrayLike) -> Floats:
        """[len(n), p] derivatives of the law's log error by log a, b and b2, c, log n_break."""
        n = np.asarray(n, dtype=np.float64)
        x = n if self.law.startswith("exponential") else np.log(n)
        if self.law == "broken_power":
            k = np.log(self.parameters["n_break"])
            past = np.maximum(x - k, 0)
            turn = np.where(x > k, self.parameters["b2"] - self.parameters["b"], 0.0)
            return np.stack([np.ones_like(x), -np.minimum(x, k), -past, turn], axis=1)
        floor = self.parameters.get("c", 0.0) / self.predict(n)
        columns = [1 - floor, -x * (1 - floor)]
        return np.stack([*columns, 1 / self.predict(n)] if self.law.endswith("_floor") else columns, axis=1)


def law_name(law: str) -> str:
    """A law as tables and figures write it: power_floor -> power + floor."""
    return law.replace("_floor", " + floor").replace("_", " ")


def law_error(law: str, parameters: Mapping[str, float], n: ArrayLike) -> Floats:
    """ε(n): a n^(−b) + c for power laws, a e^(−b n) + c for exponential ones (c = 0 without a floor).

    broken_power: a n^(−b) up to n_break, and from there on with exponent b2, continuously.
    """
    check_choice("law", law, tuple(LAWS))
    n = np.asarray(n, dtype=np.float64)
    a, b = parameters["a"], parameters["b"]
    # on the log scale: a steep law has an a that overflows where the error itself does not
    with np.errstate(divide="ignore"):
        if law.startswith("exponential"):
            return np.exp(np.log(a) - b * n) + parameters.get("c", 0.0)
        x = np.log(n)
        if law == "broken_power":
            k = np.log(parameters["n_break"])
            return np.exp(np.log(a) - b * np.minimum(x, k) - parameters["b2"] * np.maximum(x - k, 0))
        return np.exp(np.log(a) - b * x) + parameters.get("c", 0.0)


def fit(
    n: ArrayLike,
    error: ArrayLike,
    law: str = "power",
    n_test: int | None = None,
    *,
    spread: ArrayLike | None = None,
    level: float = 0.95,
) -> LawFit:
    """The law of least squares on log error, with intervals of its parameters.

    n, error: flat lists of the same length, a size once for each of its seeds; errors of a size are averaged first.
    n_test: size of the test set; a mean error of zero counts as half an error in n_test + 1. spread: the standard
    error of each entry of `error`, in the same units; only ratios of spreads matter, as the size of the residuals is
    estimated from the residuals. Without it, a size weighs as many as its seeds.

    Intervals hold every value of a parameter at which the sum of squares, minimised over the others, is at most
    S (1 + t²/(N − p)), t the quantile of Student's distribution with N − p degrees of freedom. For power and
    exponential these are the exact t-intervals; with a floor or a break they profile the likelihood, since those of
    the curvature cover too little where a floor is hardly to be told from zero.

    Raises OptionError for an unknown law. Raises FitError where N ≤ p + 1 (p counts a, b, c and the like, not the
    spread), for n that is not positive, errors that are negative or not finite, zeros without n_test, and for a law
    with a floor where the error does not fall with n.
    """
    check_choice("law", law, tuple(LAWS))
    if not 0 < level < 1:
        raise FitError(f"level={level} is not a probability between 0 and 1; the usual one is 0.95.")
    points = collect_points(n, error, n_test, spread)
    p, sizes = len(LAWS[law]), points.n.size
    if sizes <= p + 1:
        raise FitError(f"{law} has {p} parameters and needs at least {p + 2} distinct sizes; there are {sizes}.")
    estimator, name_values = _estimator(law, points)
    theta, squares = estimator.estimate
    parameters = dict(zip(LAWS[law], name_values(theta), strict=True))
    floor = sizes * ROUNDING**2
    if squares <= floor:
        intervals = {name: (value, value) for name, value in parameters.items()}
    else:
        limit = squares * (1 + float(stdtrit(sizes - p, (1 + level) / 2)) ** 2 / (sizes - p))
        low, high = (name_values(np.array(end)) for end in zip(*estimator.intervals(limit), strict=True))
        intervals = {name: (low[i], high[i]) for i, name in enumerate(LAWS[law])}
    return LawFit(
        law=law,
        parameters=parameters,
        intervals=intervals,
        aicc=aicc(max(squares, floor), sizes, p),
        sigma=float(np.sqrt(squares / (sizes - p))),
        level=level,
        points=points,
    )


def aicc(squares: float, sizes: int, p: int) -> float:
    """Akaike's criterion, corrected for few points, of a least-squares fit with p parameters and one spread."""
    k = p + 1
    correction = 2 * k * (k + 1) / (sizes - k - 1) if sizes > k + 1 else np.inf
    return float(sizes * np.log(squares / sizes) + 2 * k + correction)


def _estimator(law: str, points: Points) -> tuple[Line | BrokenLine | Floored, Callable[[Floats], list[float]]]:
    """The estimator of a law, and what turns its theta into the values of LAWS[law]."""
    n, y, w = points.n, np.log(points.error), points.weights
    # an exponential law is fitted in n / max(n), so that b is of order one
    unit = float(n.max()) if law.startswith("exponential") else 1.0
    x = n / unit if law.startswith("exponential") else np.log(n)
    if law == "broken_power":
        return BrokenLine(x, y, w), lambda theta: [_exp(theta[0]), float(theta[1]), float(theta[2]), _exp(theta[3])]
    line = Line(x, y, w)
    if law in ("power", "exponential"):
        return line, lambda theta: [_exp(theta[0]), float(theta[1]) / unit]
    if line.estimate.theta[1] <= 0:
        raise FitError(f"the error does not fall with n, so that {law} has no floor to find; fit a law without one.")
    return Floored(x, y, w, line.estimate), lambda theta: [_exp(theta[0]), _exp(theta[1]) / unit, _exp(theta[2])]


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def compare(
    n: ArrayLike,
    error: ArrayLike,
    laws: Sequence[str] = tuple(LAWS),
    n_test: int | None = None,
    *,
    spread: ArrayLike | None = None,
) -> dict[str, float]:
    """AICc weight of each law, exp(−Δ/2) over their sum: law -> weight, in the order of `laws`.

    A law that cannot be fitted, or whose AICc is infinite because it has N − 2 parameters, weighs 0.
    Raises OptionError for an unknown law, and FitError when no law has a finite AICc.
    """
    found: dict[str, float] = {}
    refusals = []
    for law in laws:
        check_choice("law", law, tuple(LAWS))
        try:
            found[law] = fit(n, error, law, n_test, spread=spread).aicc
        except FitError as refusal:
            refusals.append(str(refusal))
    return aicc_weights({law: found.get(law, np.inf) for law in laws}, refusals)


def aicc_weights(aiccs: Mapping[str, float], refusals: Sequence[str] = ()) -> dict[str, float]:
    """law -> exp(−Δ/2) over their sum, from law -> AICc. Raises FitError when none is finite."""
    values = np.array(list(aiccs.values()), dtype=np.float64)
    if not np.any(np.isfinite(values)):
        reason = refusals[0] if refusals else "AICc needs three sizes more than a law has parameters."
        raise FitError(f"no law can be compared with others by AICc: {reason}")
    weights = np.exp(-(values - values.min()) / 2)
    return dict(zip(aiccs, (weights / weights.sum()).tolist(), strict=True))


def bands(fitted: LawFit, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Lower and upper end [len(n)] of the fitted curve at sizes n: the t-interval of its log error over replicates.

    To first order in the errors of the replicates, whose ensembles and seeds are shared by all sizes (`LawFit.over`).
    Of a fit to a flat list the k-th error of each size is taken for that of replicate k, which also holds where they
    are independent. The band holds what other replicates would have changed, not what another law would say.

    Raises FitError with a single replicate, and where all share one probe ensemble.
    """
    errors = _in_order(fitted.points) if fitted.errors is None else fitted.errors
    if errors.design.one_ensemble:
        raise FitError(f"{ONE_ENSEMBLE}: there is no band without knowing what others would change; {MEND}.")
    if not errors.known:
        raise FitError("a band over replicates needs at least two; run more seeds.")
    n = np.asarray(n, dtype=np.float64)
    spread = errors.spread(fitted._slopes(n) @ fitted._moves() / fitted.points.error)
    curve = np.log(fitted.predict(n))
    low, high = t_ends(curve, *spread, level)
    # without any spread the curve itself
    return np.exp(np.where(np.isnan(low), curve, low)), np.exp(np.where(np.isnan(high), curve, high))


def _in_order(points: Points) -> Panel:
    """The panel of a flat list: replicate k is the k-th error of each size."""
    seeds = [dict.fromkeys(PAIR, range(errors.size)) | {"probe_seed": pd.NA} for errors in points.seeds]
    return panel([pd.DataFrame(each | {"error": errors}) for each, errors in zip(seeds, points.seeds, strict=True)])
