"""Least squares on log error for the forms of scaling laws, with intervals that profile the sum of squares.

Throughout x [N] is the size on the scale of the law (log n, or n), y [N] the log error, w [N] the weights. A parameter
is inside its interval where the least sum of squares with the parameter held there is at most `limit`. With
limit = S (1 + t² / (N − p)) this is the exact t-interval where the law is linear, and stays close to its level where
it is not (Bates and Watts 1988, section 6.1), also where a floor is hardly to be told from zero: an interval from
the curvature at the optimum would miss far too often there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, leastsq, minimize_scalar

from winnow.core.types import Floats

Interval = tuple[float, float]
# How far from the estimate log a, log b and log c are searched before an interval counts as unbounded. A curve with an
# exponent e¹⁰ times larger is a step at its first size, and stays the same with every larger one.
REACH = (80.0, 10.0, 80.0)


class Estimate(NamedTuple):
    """theta: [p] the parameters on the scale of the estimator; squares: their weighted sum of squared residuals."""

    theta: Floats
    squares: float


def levenberg_marquardt(
    residual: Callable[[Floats], Floats],
    jacobian: Callable[[Floats], Floats],
    start: Floats,
    *,
    xtol: float,
    ftol: float,
    max_nfev: int,
) -> tuple[Floats, float]:
    """The parameters of least squares from a start, and their sum of squares, by MINPACK's lmder.

    `leastsq` and not `least_squares`: the same steps to the last bit, without the checks that take most of its time
    where points are as few as sizes of a grid.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # on a try at a curve that overflows, which is not taken
        found, _, report, _, _ = leastsq(
            residual, start, Dfun=jacobian, full_output=True, xtol=xtol, ftol=ftol, gtol=1e-15, maxfev=max_nfev
        )
    return found, float(np.dot(report["fvec"], report["fvec"]))


def finite(values: Floats, *, nan: float) -> Floats:
    """The values with ±1e9 for what overflowed and `nan` for what is not a number; mostly there is nothing to do."""
    if np.isfinite(values).all():
        return values
    return np.nan_to_num(values, nan=nan, posinf=1e9, neginf=-1e9)


class _Linear(NamedTuple):
    estimate: Estimate
    spread: Floats  # [p] square roots of the diagonal of (XᵀWX)⁻¹

    def intervals(self, limit: float) -> list[Interval]:
        reach = self.spread * np.sqrt(max(limit - self.estimate.squares, 0.0))
        return [(float(t - d), float(t + d)) for t, d in zip(self.estimate.theta, reach, strict=True)]


def _solve(design: Floats, y: Floats, w: Floats) -> _Linear:
    root = np.sqrt(w)
    q, upper = np.linalg.qr(design * root[:, None])
    theta = np.linalg.solve(upper, q.T @ (y * root))
    squares = float(np.sum(w * (y - design @ theta) ** 2))
    return _Linear(Estimate(theta, squares), np.linalg.norm(np.linalg.inv(upper), axis=1))


class Line:
    """y = log a − b x. theta: (log a, b); b may be negative."""

    def __init__(self, x: Floats, y: Floats, w: Floats) -> None:
        self._solved = _solve(np.stack([np.ones_like(x), -x], axis=1), y, w)
        self.estimate = self._solved.estimate

    def intervals(self, limit: float) -> list[Interval]:
        """Of log a and b."""
        return self._solved.intervals(limit)


class BrokenLine:
    """y = log a − b x up to x = k, with slope −b2 from there on. theta: (log a, b, b2, k); two sizes on either side.

    For a given k this is linear, so every profile is an envelope over k of exact intervals.
    """

    GRID = 400

    def __init__(self, x: Floats, y: Floats, w: Floats) -> None:
        self._data = x, y, w
        knots = x[1:-1]
        grid = np.unique(np.concatenate([knots, np.linspace(knots[0], knots[-1], self.GRID)]))
        solved = [self._at(k) for k in grid]
        best = int(np.argmin([each.estimate.squares for each in solved]))
        around = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
        found = minimize_scalar(
            lambda k: self._at(k).estimate.squares, bounds=around, method="bounded", options={"xatol": 1e-12}
        )
        k = min(float(found.x), float(grid[best]), key=lambda k: self._at(k).estimate.squares)
        at_best = self._at(k)
        self._solved = [*zip(grid, solved, strict=True), (k, at_best)]
        self.estimate = Estimate(np.append(at_best.estimate.theta, k), at_best.estimate.squares)

    def _at(self, k: float) -> _Linear:
        x, y, w = self._data
        return _solve(np.stack([np.ones_like(x), -np.minimum(x, k), -np.maximum(x - k, 0)], axis=1), y, w)

    def intervals(self, limit: float) -> list[Interval]:
        """Of log a, b, b2 and k."""
        inside = [(k, solved) for k, solved in self._solved if solved.estimate.squares <= limit]
        each = np.array([solved.intervals(limit) for _, solved in inside])  # [k, 3, 2]
        knots = [k for k, _ in inside]
        linear = [(float(each[:, j, 0].min()), float(each[:, j, 1].max())) for j in range(3)]
        return [*linear, (float(min(knots)), float(max(knots)))]


class Floored:
    """y = log(a e^(−b x) + c) with a, b > 0 and c ≥ 0. theta: (log a, log b, log c); log c = −inf without a floor.

    The start is the best of a grid over b and c; Levenberg and Marquardt's method does the rest. `line` is the fit
    without a floor, to the same points; its b must be positive.
    """

    def __init__(self, x: Floats, y: Floats, w: Floats, line: Estimate) -> None:
        self._x, self._y, self._w, self._root = x, y, w, np.sqrt(w)
        self._line = Estimate(np.array([line.theta[0], np.log(line.theta[1]), -np.inf]), line.squares)
        found = self._search(self._start(float(line.theta[1])), free=[0, 1, 2])
        # a floor that gains nothing is none: c = 0 is in the range of the law
        self.estimate = found if found.squares < line.squares * (1 - 1e-9) - 1e-24 else self._line
        self._warm = found.theta

    def intervals(self, limit: float) -> list[Interval]:
        """Of log a, log b and log c; ends of −inf and inf where the sum of squares stays below the limit."""
        return [self._interval(j, limit) for j in range(3)]

    def _start(self, slope: float) -> Floats:
        centre = float(np.average(self._x, weights=self._w))
        b = slope * np.geomspace(0.7, 40, 40)
        k = np.geomspace(1e-4, 1e3, 40)  # the floor over the rest of the error at the centre
        shape = np.log(np.exp(-b[:, None, None] * (self._x - centre)) + k[None, :, None])
        level = np.average(self._y - shape, axis=2, weights=self._w)
        squares = np.sum(self._w * (self._y - shape - level[..., None]) ** 2, axis=2)
        i, j = np.unravel_index(int(np.argmin(squares)), squares.shape)
        return np.array([level[i, j] + b[i] * centre, np.log(b[i]), level[i, j] + np.log(k[j])])

    def _search(self, start: Floats, free: list[int]) -> Estimate:
        """The least squares over the free parameters, the others held where they start."""
        theta = start.copy()
        seen: tuple[bytes, tuple[Floats, Floats]] | None = None

        def at(values: Floats) -> tuple[Floats, Floats]:
            """Log error without the floor and with it; the method asks for slopes where it last asked for residuals."""
            nonlocal seen
            if seen is None or seen[0] != values.tobytes():
                theta[free] = values
                rest = theta[0] - _slope(theta[1]) * self._x
                seen = values.tobytes(), (rest, np.logaddexp(rest, theta[2]))
            return seen[1]

        def residual(values: Floats) -> Floats:
            return finite(self._root * (at(values)[1] - self._y), nan=1e9)

        def jacobian(values: Floats) -> Floats:
            rest, total = at(values)
            share = np.exp(rest - total)
            columns = np.stack([share, -share * _slope(theta[1]) * self._x, 1 - share], axis=1)
            return finite(self._root[:, None] * columns[:, free], nan=0.0)

        found, squares = levenberg_marquardt(residual, jacobian, start[free], xtol=1e-12, ftol=1e-12, max_nfev=400)
        theta[free] = found
        return Estimate(theta, squares)

    def _profile(self, j: int, value: float, start: Floats) -> Estimate:
        """The least squares with parameter j held at value."""
        held = self._turned(start, j, value)
        # where the floor is too small to be seen, nothing draws a search to a larger one: start from one that is seen
        held[2] = value if j == 2 else max(held[2], float(self._y.min()) - 2.0)
        found = self._search(held, free=[i for i in range(3) if i != j])
        if j == 2:
            return found
        without = self._without_floor(j, value)
        return without if without.squares < found.squares else found

    def _turned(self, start: Floats, j: int, value: float) -> Floats:
        """The start with a or b set to value, turned about the middle of its falling part, which the points hold."""
        turned = start.copy()
        b = _slope(start[1])
        rest = start[0] - b * self._x
        share = np.exp(rest - np.logaddexp(rest, start[2]))
        middle = float(np.average(self._x, weights=self._w * share + 1e-12))
        if j == 0 and b * middle + value - start[0] > 0 and middle > 0:
            turned[1] = np.log(b + (value - start[0]) / middle)
        if j == 1:
            turned[0] += (_slope(value) - b) * middle
        if j < 2:
            turned[j] = value
        return turned

    def _without_floor(self, j: int, value: float) -> Estimate:
        x, y, w = self._x, self._y, self._w
        if j == 0:
            a, b = value, max(-float(np.sum(w * x * (y - value)) / np.sum(w * x**2)), 1e-300)
        else:
            b = _slope(value)
            a = float(np.average(y + b * x, weights=w))
        return Estimate(np.array([a, np.log(b), -np.inf]), float(np.sum(w * (y - a + b * x) ** 2)))

    def _interval(self, j: int, limit: float) -> Interval:
        best = self.estimate.theta[j]
        at_zero = j == 2 and self._line.squares <= limit
        if not np.isfinite(best):  # no floor: its upper end is searched from one that is too small to be seen
            best = float(self._y.min()) - 12.0
        low = -np.inf if at_zero else self._end(j, best, -1, limit)
        return low, self._end(j, best, 1, limit)

    def _end(self, j: int, best: float, side: int, limit: float) -> float:
        last = self._warm
        seen = {best: self.estimate.squares - limit}  # the ends of a bracket keep the values they were chosen for

        def above(value: float) -> float:
            nonlocal last
            if value not in seen:
                found = self._profile(j, value, last)
                if found.squares <= limit:  # from a curve far outside no search would find back
                    last = found.theta
                seen[value] = found.squares - limit
            return seen[value]

        inside, step = best, 0.01
        while abs((outside := inside + side * step) - best) < REACH[j]:
            if above(outside) > 0:
                return float(brentq(above, inside, outside, xtol=1e-7, rtol=1e-9)) if above(inside) < 0 else inside
            inside, step = outside, step * 2
        return side * np.inf


def _slope(log_b: float) -> float:
    """b, kept where its product with x has no overflow: from e⁴⁰ on, every curve is a step at its first size."""
    return float(np.exp(min(max(log_b, -300.0), 40.0)))
