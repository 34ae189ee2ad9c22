"""The perceptron theory of data pruning: how well a student does that learns only what a probe let through.

Source: Sorscher et al. 2022, arXiv 2206.14486, section 2 and its appendix (replica theory; the same equations follow
from the convex Gaussian min-max theorem). A teacher T labels x ~ N(0, I_N) by sign(T·x); of P = α_tot N examples the
fraction r is kept by its margin to a probe at the angle θ to the teacher; the student is the maximum-margin perceptron
on what is kept. For N to infinity at fixed α_tot the student lies in the plane of teacher and probe but for noise
of unit length: in units of it, it has the component p along the probe, q across it, and length n = (1 + p² + q²)^½.
With V, W the fields of the two directions times the label, averages over the kept data, g ~ N(0, 1), and
h = (k − pV − qW − g)₊,

    α E[h²] = 1,     n² E[h V] = k p E[h],     n² E[h W] = k q E[h],     α = r α_tot
    R = (p cosθ + q sinθ)/n,     κ = k/n,     ε = arccos(R)/π

Uniqueness. These are the conditions of the largest κ = k/n with α E[h²] ≤ 1. In the variables (1, p, q)/k that is the
shortest vector of a convex set, so that a solution with k > 0 is the only one: there is no second branch to fall on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from winnow.core.errors import OptionError, TheoryError, check_choice
from winnow.core.types import Bools, Floats
from winnow.theory.kept_distribution import Keep, KeptDistribution, Margin, kept_distribution, moments

_EASY = 0.1  # kept examples per parameter so few that the solution is near k = α^−½, p = q = 0
_STEP = np.log(2.0)  # of the continuation, in log α
_SMALLEST_STEP = _STEP / 256
_ROUNDS = 60  # of the continuation; a million kept examples per parameter take 24 whole steps
_TOLERANCE = 1e-9  # on the residuals, which are of order one
_ON_THE_WAY = 1e-4  # the same where the continuation only passes by
_NEWTON_STEPS = 20
_HALVINGS = 12
_CHUNK = 128  # points solved at once: some 20 arrays of half a MB, which caches hold


@dataclass(frozen=True, kw_only=True, eq=False)
class PerceptronSolution:
    """The student's overlap with the teacher R, its margin κ and its test error ε, arrays or floats.

    overlap: cosine between student and teacher. margin: the smallest y x·J of a kept example for a student J of
    length one. error: the probability that the student mislabels a new example, arccos(R)/π, not in percent.
    """

    overlap: Floats | float
    margin: Floats | float
    error: Floats | float


def solve(
    examples_per_parameter: ArrayLike,
    r: ArrayLike,
    *,
    keep: Keep = "hardest",
    probe_angle: ArrayLike = 0.0,
    margin: Margin = "absolute",
) -> PerceptronSolution:
    """The maximum-margin student on the kept fraction r, at α_tot examples per parameter before pruning.

    examples_per_parameter: positive. r: in (0, 1]. probe_angle: between probe and teacher, degrees in [0, 90].
    The three broadcast; the solution has their common shape, and floats where all are scalars.
    keep: "hardest" or "easiest" by the margin, or "random", which does not see the probe.
    margin: "absolute", |v|, as the paper does; "signed", y v, as a probe that knows the labels would. By the signed
    margin an imperfect probe chooses what it gets wrong (or right), and then more data can raise the error.

    The equations (in the module's docstring) are solved by Newton's method to 1e-9, following the solution from few
    examples, where it is known, to α. Deviations from the paper: equations in (k, p, q) instead of (R, ρ, κ), with
    averages reduced to one integral; the signed margin.

    Raises OptionError where an argument is outside its range, TheoryError where no solution is found.
    """
    check_choice("keep", keep, ("hardest", "easiest", "random"))
    check_choice("margin", margin, ("absolute", "signed"))
    alpha, fraction, degrees = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (examples_per_parameter, r, probe_angle))
    )
    _check("examples_per_parameter", alpha, (alpha > 0) & np.isfinite(alpha), "positive")
    _check("r", fraction, (fraction > 0) & (fraction <= 1), "in (0, 1]")
    _check("probe_angle", degrees, (degrees >= 0) & (degrees <= 90), "in [0, 90] degrees")

    shape = alpha.shape
    alpha, fraction, theta = alpha.ravel() * fraction.ravel(), fraction.ravel(), np.deg2rad(degrees.ravel())
    solved = np.empty((alpha.size, 3))
    for start in range(0, alpha.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        kept = kept_distribution(theta[part], fraction[part], keep, margin)
        with np.errstate(all="ignore"):  # a step that overshoots gives NaN, and is halved
            solved[part] = _follow(kept, alpha[part])
    k, p, q = solved.T
    n = np.sqrt(1 + p**2 + q**2)
    along = p * np.cos(theta) + q * np.sin(theta)
    across = np.hypot(1, q * np.cos(theta) - p * np.sin(theta))
    # the angle by both components keeps its digits where R is near 1
    values = (along / n, k / n, np.arctan2(across, along) / np.pi)
    overlap, kappa, error = (value.reshape(shape) if shape else float(value[0]) for value in values)
    return PerceptronSolution(overlap=overlap, margin=kappa, error=error)


def _check(name: str, values: Floats, good: Bools, wanted: str) -> None:
    if not np.all(good):
        raise OptionError(f"{name} must be {wanted}; got {values[~good].flat[0]:g}.")


def _follow(kept: KeptDistribution, target: Floats) -> Floats:
    """(k, p, q) [n, 3] at `target` kept examples per parameter [n], by continuation in log α from few examples."""
    alpha = np.minimum(target, _EASY)
    x = np.stack([1 / np.sqrt(alpha), np.zeros_like(alpha), np.zeros_like(alpha)], axis=-1)
    x, slope, found = _newton(kept, x, alpha, np.full_like(alpha, _TOLERANCE))
    if not np.all(found):
        _refuse(kept, target, ~found)
    step = np.full_like(alpha, _STEP)
    for _ in range(_ROUNDS):
        to = np.flatnonzero(alpha < target)
        if not to.size:
            break
        trial = np.minimum(target[to], alpha[to] * np.exp(step[to]))
        # along the tangent of log k, p/k and q/k: k stays positive, and the nearly fixed direction of the plane that
        # an easy kept set leads to, where k and p grow alike, is kept to all digits
        k, by_k = x[to, :1], slope[to, :1] / x[to, :1]
        ahead = np.log(trial / alpha[to])[:, None]
        ratio = x[to] / k + ahead * (slope[to] / k - x[to] / k * by_k)
        guess = ratio * k * np.exp(ahead * by_k)
        tolerance = np.where(trial < target[to], _ON_THE_WAY, _TOLERANCE)
        new, new_slope, found = _newton(kept[to], guess, trial, tolerance)
        reached, failed = to[found], to[~found]
        alpha[reached], x[reached], slope[reached] = trial[found], new[found], new_slope[found]
        step[reached] = np.minimum(_STEP, 2 * step[reached])
        step[failed] /= 4
        if np.any(stuck := step < _SMALLEST_STEP):
            _refuse(kept, target, stuck)
    else:
        _refuse(kept, target, alpha < target)
    return x


def _refuse(kept: KeptDistribution, target: Floats, stuck: Bools) -> None:
    first = np.flatnonzero(stuck)[0]
    raise TheoryError(
        f"no solution was found at {np.sum(stuck)} of {stuck.size} points, the first with {target[first]:g} kept "
        f"examples per parameter and a probe at {np.rad2deg(kept.theta[first]):g} degrees; "
        "give examples_per_parameter and r that are less extreme."
    )


def _newton(kept: KeptDistribution, x: Floats, alpha: Floats, tolerance: Floats) -> tuple[Floats, Floats, Bools]:
    """Damped Newton steps from x [n, 3]: the solution, its derivative by log α, and whether it was found, [n]."""
    x = x.copy()
    residual, jacobian = _system(kept, x, alpha)
    size = _size(residual)
    for _ in range(_NEWTON_STEPS):
        to = np.flatnonzero((size > tolerance) & np.isfinite(size))
        if not to.size:
            break
        step = _solve(jacobian[to], -residual[to])
        length = np.ones(to.size)
        for _ in range(_HALVINGS):
            trial = x[to] + length[:, None] * step
            new_residual, new_jacobian = _system(kept[to], trial, alpha[to])
            better = (_size(new_residual) < size[to]) & (trial[:, 0] > 0)
            done = to[better]
            x[done], residual[done], jacobian[done] = trial[better], new_residual[better], new_jacobian[better]
            size[done] = _size(new_residual[better])
            to, step, length = to[~better], step[~better], length[~better] / 2
            if not to.size:
                break
        # no step helps: done to the last digit, or lost
        size[to] = np.where(size[to] <= 100 * tolerance[to], tolerance[to], np.nan)
    found = size <= tolerance
    # only the first residual depends on log α, with the derivative 1
    slope = np.zeros_like(x)
    slope[found] = _solve(jacobian[found], np.broadcast_to([-1.0, 0.0, 0.0], (int(np.sum(found)), 3)))
    return x, slope, found


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """The solutions [n, 3] of n linear systems; of all the singular ones, NaN."""
    whole = np.all(np.isfinite(matrices), axis=(1, 2)) & (np.abs(np.linalg.det(matrices)) > 0)
    solutions = np.full_like(vectors, np.nan)
    solutions[whole] = np.linalg.solve(matrices[whole], vectors[whole][:, :, None])[:, :, 0]
    return solutions


def _size(residual: Floats) -> Floats:
    return np.sqrt(np.sum(residual**2, axis=-1))


def _system(kept: KeptDistribution, x: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """The three equations as residuals [n, 3] and their derivatives by (k, p, q), [n, 3, 3].

    log(α E[h²]), and (n²/k E[h V]/E[h] − p)/n, likewise for W and q: of order one whatever the length n.
    """
    k, p, q = x.T
    found = moments(kept, k, p, q)
    squared = 1 + p**2 + q**2
    scale = np.sqrt(squared) / k
    mean = found.h_c[:, 1:] / found.h_c[:, [0]]
    force = mean - k[:, None] * x[:, 1:] / squared[:, None]
    residual = np.concatenate([np.log(alpha * found.h2)[:, None], scale[:, None] * force], axis=1)

    sign = np.array([1.0, -1.0, -1.0])  # of the derivatives of h by k, p, q
    jacobian = np.empty((len(k), 3, 3))
    jacobian[:, 0] = 2 * sign * found.h_c / found.h2[:, None]
    by = sign * found.active_cc  # derivatives of E[h c]
    rows = (by[:, 1:] - mean[:, :, None] * by[:, [0]]) / found.h_c[:, :1, None]
    rows[:, :, 0] -= x[:, 1:] / squared[:, None]
    rows[:, :, 1:] -= (k / squared)[:, None, None] * np.eye(2)
    rows[:, :, 1:] += (2 * k / squared**2)[:, None, None] * x[:, 1:, None] * x[:, None, 1:]
    by_scale = np.stack([-1 / k, p / squared, q / squared], axis=-1)  # derivatives of log scale
    jacobian[:, 1:] = scale[:, None, None] * (rows + force[:, :, None] * by_scale[:, None, :])
    return residual, jacobian
