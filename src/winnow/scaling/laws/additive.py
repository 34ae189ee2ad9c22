"""Least squares on log error for a sum of power laws and a floor, with intervals that profile the sum of squares.

y [N] is the log error, w [N] the weights; a term has its own x [N] (log n, log width...) and the points it is part of.
Intervals are those of estimators.py: a parameter is inside where the least sum of squares with the parameter held there
is at most `limit`.
"""

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, nnls

from winnow.core.types import Bools, Floats
from winnow.scaling.laws.estimators import Estimate, Interval, finite, levenberg_marquardt

EXPONENTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the grid that starts come from
STARTS = 4
FAINT = -7.0  # log of a term's share of the error at its middle from which a search still finds back
# How far from the estimate log amplitudes and log exponents are searched before an interval counts as unbounded.
REACH = (80.0, 10.0)


class Term(NamedTuple):
    """One power law of the sum. x: [N] log size; here: [N] the points whose error it is part of."""

    x: Floats
    here: Bools


class Additive:
    """y = log(Σ_k a_k e^(−b_k x_k) + c) with a, c ≥ 0 and b > 0, the sum over the terms that a point is part of.

    theta: (log a_1, log b_1, log a_2, log b_2, ..., log c); −inf for an amplitude of zero, whose exponent says nothing.

    Starts are solved for amplitudes by non-negative least squares of relative error on a grid of exponents; Levenberg
    and Marquardt's method does the rest.
    """

    def __init__(self, terms: Sequence[Term], y: Floats, w: Floats) -> None:
        self._terms, self._y, self._w, self._root = tuple(terms), y, w, np.sqrt(w)
        self._here = np.stack([term.here for term in terms]) if terms else np.zeros((0, y.size), dtype=bool)
        self._x = np.where(self._here, np.stack([term.x for term in terms]), 0.0) if terms else np.zeros((0, y.size))
        counts = np.maximum(self._here @ w, 1e-300)
        self._middle = (self._x @ w) / counts  # [K] where an amplitude hardly depends on its exponent
        self.size = 2 * len(self._terms) + 1

    @cached_property
    def found(self) -> Estimate:
        """The least squares, no amplitude quite zero."""
        return min((self._search(start) for start in self._starts()), key=lambda estimate: estimate.squares)

    @cached_property
    def estimate(self) -> Estimate:
        """The least squares; a term or floor that gains nothing is none."""
        theta, squares = self.found.theta.copy(), self.found.squares
        for j in range(0, self.size, 2):
            if self._without[j] <= squares * (1 + 1e-7) + 1e-24:
                theta[j] = -np.inf
        return Estimate(theta, squares)

    def refit(self, y: Floats) -> Floats:
        """theta of the least squares to other log errors y [N], searched from this estimate."""
        other = Additive(self._terms, y, self._w)
        return other._search(self._visible(self.found.theta)).theta

    def intervals(self, limit: float) -> list[Interval]:
        """Of every entry of theta. Where the points allow a term to be none, nothing bounds it or its exponent."""
        ends: list[Interval] = []
        for j in range(self.size):
            amplitude = j - j % 2
            none = self._without[amplitude] <= limit
            if none and j < self.size - 1:
                ends.append((-np.inf, np.inf))
            else:
                low = -np.inf if none else self._end(j, -1, limit)
                ends.append((low, self._end(j, 1, limit)))
        return ends

    def predict(self, theta: Floats) -> Floats:
        """Log error [N] at the points."""
        return self._parts(theta, np.zeros(len(self._terms)))[1]

    def moves(self, theta: Floats) -> Floats:
        """[p, N] by how much each entry of theta moves with each log error, to first order.

        What is at zero is held there; nothing moves it or its exponent.
        """
        parts, total = self._parts(theta, np.zeros(len(self._terms)))
        share = np.exp(parts - total)
        slopes = np.empty((self.size, self._y.size))
        slopes[::2] = share
        slopes[1:-1:2] = -share[:-1] * _slope(theta[1:-1:2])[:, None] * self._x
        inverse = np.linalg.pinv(slopes.T * self._root[:, None])
        return np.asarray(inverse * self._root, dtype=np.float64)

    @cached_property
    def _without(self) -> dict[int, float]:
        """The least squares with an amplitude, or the floor, at zero; by its place in theta."""
        left = {}
        for j in range(0, self.size - 1, 2):
            rest = [term for k, term in enumerate(self._terms) if k != j // 2]
            left[j] = Additive(rest, self._y, self._w).found.squares
        start = self._visible(self.found.theta)
        start[-1] = -np.inf
        free = list(range(self.size - 1))
        left[self.size - 1] = (
            min(
                self._search(start, free).squares,
                *(self._search(np.append(other[:-1], -np.inf), free).squares for other in self._starts()[:2]),
            )
            if free
            else np.inf
        )
        return left

    def _parts(self, theta: Floats, middle: Floats) -> tuple[Floats, Floats]:
        """Log terms and log floor [K + 1, N], and the log of their sum [N]; amplitudes are those at x = middle."""
        slopes = _slope(theta[1:-1:2])[:, None]
        terms = np.where(self._here, theta[:-1:2, None] - slopes * (self._x - middle[:, None]), -np.inf)
        parts = np.concatenate([terms, np.full((1, self._y.size), theta[-1])])
        top = np.maximum(parts.max(axis=0), -700.0)
        return parts, top + np.log(np.exp(parts - top).sum(axis=0) + 1e-300)

    def _search(self, start: Floats, free: Sequence[int] | None = None, held: int | None = None) -> Estimate:
        """The least squares over the free parameters, the others held where they start.

        Amplitudes are searched at the middle of their term, where they hardly depend on its exponent, but for the one
        that is held, which is that at x = 0.
        """
        free = [j for j in range(self.size) if j != held] if free is None else list(free)
        middle = self._middle.copy()
        if held is not None and held % 2 == 0 and held < self.size - 1:
            middle[held // 2] = 0.0
        theta = self._moved(start, middle)
        seen: tuple[bytes, tuple[Floats, Floats]] | None = None

        def at(values: Floats) -> tuple[Floats, Floats]:
            nonlocal seen
            if seen is None or seen[0] != values.tobytes():
                theta[free] = values
                seen = values.tobytes(), self._parts(theta, middle)
            return seen[1]

        def residual(values: Floats) -> Floats:
            return finite(self._root * (at(values)[1] - self._y), nan=1e9)

        def jacobian(values: Floats) -> Floats:
            parts, total = at(values)
            share = np.exp(parts - total)
            columns = np.empty((self.size, self._y.size))
            columns[::2] = share
            columns[1:-1:2] = -share[:-1] * _slope(theta[1:-1:2])[:, None] * (self._x - middle[:, None])
            return finite(self._root * columns[free], nan=0.0).T

        found, squares = levenberg_marquardt(residual, jacobian, theta[free], xtol=1e-9, ftol=1e-10, max_nfev=200)
        theta[free] = found
        return Estimate(self._moved(theta, -middle), squares)

    def _moved(self, theta: Floats, by: Floats) -> Floats:
        """theta with the amplitude of each term taken at a place that lies further right by so much."""
        moved = theta.copy()
        moved[:-1:2] = moved[:-1:2] - _slope(moved[1:-1:2]) * by
        return moved

    def _starts(self) -> list[Floats]:
        """The best of a grid of exponents, one for the terms of each kind of x."""
        kinds: dict[bytes, list[int]] = {}
        for k, term in enumerate(self._terms):
            kinds.setdefault(term.x.tobytes(), []).append(k)
        found = []
        scale = self._root * np.exp(-self._y)
        for chosen in itertools.product(EXPONENTS, repeat=len(kinds)):
            b = np.empty(len(self._terms))
            for exponent, members in zip(chosen, kinds.values(), strict=True):
                b[members] = exponent
            shapes = np.where(self._here, np.exp(-b[:, None] * (self._x - self._middle[:, None])), 0.0)
            design = np.concatenate([shapes, np.ones((1, self._y.size))]) * scale
            amplitudes, off = nnls(design.T, self._root)
            theta = np.empty(self.size)
            with np.errstate(divide="ignore"):
                theta[::2] = np.log(amplitudes)
            theta[1:-1:2] = np.log(b)
            found.append((float(off), self._visible(self._moved(theta, -self._middle))))
        return [theta for _, theta in sorted(found, key=lambda each: each[0])[:STARTS]]

    def _visible(self, theta: Floats) -> Floats:
        """theta with every amplitude and the floor large enough for a search to feel it, exponents of order one."""
        seen = theta.copy()
        seen[1:-1:2] = np.clip(seen[1:-1:2], -3.0, 2.5)
        kept = self._moved(theta, self._middle)
        mean = float(np.average(self._y, weights=self._w))
        kept[::2] = np.maximum(kept[::2], mean + FAINT)
        seen[:-1:2] = kept[:-1:2] + _slope(seen[1:-1:2]) * self._middle
        seen[-1] = kept[-1]
        return seen

    def _profile(self, j: int, value: float, start: Floats) -> Estimate:
        """The least squares with parameter j held at value, the curve turned about the middle of its term."""
        held = start.copy()
        k = j // 2
        if j < self.size - 1:
            middle = self._middle[k]
            level = start[2 * k] - _slope(start[2 * k + 1]) * middle
            if j % 2 == 1:
                held[2 * k] = level + _slope(value) * middle
            elif middle > 0 and value > level:
                held[2 * k + 1] = np.log((value - level) / middle)
        held[j] = value
        return self._search(held, held=j)

    def _end(self, j: int, side: int, limit: float) -> float:
        best = self.found.theta
        last = best
        centre = float(best[j])
        if not np.isfinite(self.estimate.theta[j]):  # no floor: its upper end is searched from one too small to be seen
            centre = float(self._y.min()) - 12.0
        seen = {centre: self.found.squares - limit}

        def above(value: float) -> float:
            nonlocal last
            if value not in seen:
                found = self._profile(j, value, last)
                if found.squares > limit:  # a second look, from the best curve, before this counts as outside
                    found = min(found, self._profile(j, value, self._visible(best)), key=lambda each: each.squares)
                if found.squares <= limit:
                    last = found.theta
                seen[value] = found.squares - limit
            return seen[value]

        inside, step = centre, 0.04
        reach = REACH[j % 2] if j < self.size - 1 else REACH[0]
        while abs((outside := inside + side * step) - centre) < reach:
            if above(outside) > 0:
                if above(inside) >= 0:
                    return inside
                return float(brentq(above, inside, outside, xtol=1e-4, rtol=1e-6))
            inside, step = outside, step * 2
        return side * np.inf


def _slope(log_b: Floats | float) -> Floats:
    """b, kept where its product with x has no overflow."""
    return np.exp(np.clip(log_b, -300.0, 40.0))
