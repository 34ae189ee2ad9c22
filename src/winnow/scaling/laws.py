"""Scaling laws of test error in the number of examples, with intervals, AICc and bootstrap bands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from winnow.errors import FitError, check_choice
from winnow.scaling.estimators import BrokenLine, Floored, Interval, Line
from winnow.scaling.points import Points, collect_points
from winnow.types import Floats

LAWS: dict[str, tuple[str, ...]] = {
    "power": ("a", "b"),
    "power_floor": ("a", "b", "c"),
    "exponential": ("a", "b"),
    "exponential_floor": ("a", "b", "c"),
    "broken_power": ("a", "b", "b2", "n_break"),
}
# Log errors closer to the curve than this are on it: rounding, not spread.
ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class LawFit:
    """A law with the parameters that fit best.

    law: its name. parameters: name -> value; intervals: name -> (low, high) at `level`, 0 and inf where the points set
    no bound. aicc: N log(S/N) + 2k + 2k(k+1)/(N−k−1), S the weighted sum of squared residuals of log error, N the
    number of distinct sizes, k the number of parameters and one for the spread (Burnham & Anderson 2002); only
    differences between laws of the same points mean something, and it is inf at N = k + 1. sigma: residual standard
    deviation of log error at a point of average weight. points: what was fitted.
    """

    law: str
    parameters: Mapping[str, float]
    intervals: Mapping[str, Interval]
    aicc: float
    sigma: float
    level: float
    points: Points = field(repr=False)

    def predict(self, n: ArrayLike) -> Floats:
        """The error of the law at n examples, any shape."""
        return law_error(self.law, self.parameters, n)


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
        limit = squares * (1 + student.ppf((1 + level) / 2, sizes - p) ** 2 / (sizes - p))
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


def bands(
    fitted: LawFit, n: ArrayLike, *, level: float = 0.95, resamples: int = 400, seed: int = 0
) -> tuple[Floats, Floats]:
    """Lower and upper end [len(n)] of the fitted curve at sizes n, by bootstrap over seeds.

    The errors of each size are drawn again with replacement and the law refitted. Deviations of a mean of S seeds
    are stretched by √(S/(S−1)), as the draws of few seeds spread too little otherwise; a size with one seed stays.
    The band holds what other seeds would have changed, not what another law would say. In simulations of a power law
    at eight sizes the 95% band held the planted curve in about 90% of the data sets, with three seeds or with five.

    Raises FitError where no size has two seeds.
    """
    points = fitted.points
    if all(errors.size < 2 for errors in points.seeds):
        raise FitError("a band over seeds needs at least two seeds at some size; run more seeds.")
    generator = np.random.default_rng(seed)
    means = np.stack([_resampled_mean(errors, resamples, generator) for errors in points.seeds], axis=1)
    curves = [curve for mean in means if (curve := _refitted(fitted.law, points.with_error(mean), n)) is not None]
    if len(curves) < resamples / 2:
        raise FitError(f"{fitted.law} cannot be fitted to most resamples of these seeds; fit a law without a floor.")
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _resampled_mean(errors: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    size = errors.size
    if size < 2:
        return np.full(resamples, errors.mean())
    drawn = generator.choice(errors, (resamples, size)).mean(axis=1)
    stretched = errors.mean() + (drawn - errors.mean()) * np.sqrt(size / (size - 1))
    return np.where(stretched > 0, stretched, drawn)


def _refitted(law: str, points: Points, n: ArrayLike) -> Floats | None:
    try:
        estimator, name_values = _estimator(law, points)
    except FitError:
        return None
    return law_error(law, dict(zip(LAWS[law], name_values(estimator.estimate.theta), strict=True)), n)
