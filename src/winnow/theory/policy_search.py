"""The policy of example weights with which the Learning Law's toy learns fastest, by projected gradients."""

from dataclasses import dataclass

import numpy as np

from winnow.core.errors import OptionError
from winnow.core.types import Floats
from winnow.theory.learning_law import Task, unrolled


def project(policy: Floats) -> Floats:
    """The nearest point of the simplex to each line of [T, n], by sorting (Held, Wolfe & Crowder 1974)."""
    falling = -np.sort(-policy, axis=1)
    excess = (np.cumsum(falling, axis=1) - 1) / np.arange(1, policy.shape[1] + 1)
    last = np.count_nonzero(falling > excess, axis=1) - 1
    return np.maximum(policy - excess[np.arange(len(policy)), last, None], 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """policy [T, n], on the simplex in each step. residual: ‖P(γ − g) − γ‖∞ with g the gradient of the area by γ
    divided by its largest entry in size, 0 at a stationary point; areas: after each iteration."""

    policy: Floats
    residual: float
    areas: Floats


def optimise(
    task: Task, *, start: Floats | None = None, iterations: int = 3000, tolerance: float = 1e-6, memory: int = 10
) -> Optimum:
    """The policy that minimises the area under the target's loss curve, from `start` (None: constant) to a local one.

    Spectral projected gradient (Birgin, Martínez & Raydan 2000), with the exact gradient through training: steps of
    Barzilai and Borwein's length, projected, and a line search against the largest of the last `memory` areas. Where
    the paper takes plain projected steps (500 of them, stopped before convergence), this goes to the tolerance of the
    residual, or to `iterations` and then takes the smallest area. The areas rise and fall on the way, so rounding
    decides how long it is: processors differ by a factor of two in the iterations that they need.

    Raises OptionError for less than one iteration.
    """
    if iterations < 1:
        raise OptionError(f"iterations={iterations} must be at least 1.")
    training = unrolled(task)
    policy = task.constant if start is None else start
    area, gradient = training.area(policy)
    scale = 1 / np.abs(gradient).max()  # of the first gradient, so that a step of length one moves something
    areas, best, length = [area], (area, policy, gradient), scale / len(task.x)
    for _ in range(iterations):
        direction = project(policy - length * gradient) - policy
        slope = float((gradient * direction).sum())
        fraction, bar = 1.0, max(areas[-memory:])
        while True:
            candidate = policy + fraction * direction
            area, new_gradient = training.area(candidate)
            if area <= bar + 1e-4 * fraction * slope or fraction < 1e-8:
                break
            fraction /= 2
        moved, turned = candidate - policy, new_gradient - gradient
        curvature = float((moved * turned).sum())
        length = (moved**2).sum() / curvature if curvature > 0 else 1e3 * scale
        length = float(np.clip(length, 1e-6 * scale, 1e6 * scale))
        policy, gradient = candidate, new_gradient
        areas.append(area)
        residual = _residual(policy, gradient)
        if area < best[0] or residual < tolerance:  # to rounding, a stationary one is the best
            best = (area, policy, gradient)
        if residual < tolerance:
            break
    _, policy, gradient = best
    return Optimum(policy=project(policy), residual=_residual(policy, gradient), areas=np.array(areas))


def _residual(policy: Floats, gradient: Floats) -> float:
    return float(np.abs(project(policy - gradient / np.abs(gradient).max()) - policy).max())
