"""The perceptron of data pruning at finite size: hard-margin students, to hold the theory against."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from winnow.core.errors import OptionError, TheoryError, check_choice
from winnow.core.types import Floats
from winnow.theory.kept_distribution import Keep, Margin

_KKT_TOLERANCE = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """Means over repeats and their standard errors; overlap, margin and error as in `PerceptronSolution`.

    n_kept: kept examples of each repeat. kkt_violation: the largest violation of the optimality conditions.
    """

    overlap: float
    overlap_se: float
    margin: float
    margin_se: float
    error: float
    error_se: float
    n_kept: int
    repeats: int
    kkt_violation: float


def simulate(
    examples_per_parameter: float,
    r: float,
    *,
    keep: Keep = "hardest",
    probe_angle: float = 0.0,
    margin: Margin = "absolute",
    n_parameters: int = 200,
    repeats: int = 20,
    seed: int = 0,
) -> Simulation:
    """Students of N = n_parameters on the kept r of P = ⌊α_tot N + ½⌋ examples, on `repeats` fresh data sets.

    The arguments are those of `winnow.theory.perceptron.solve`, as scalars; the data are drawn, scored by a probe at
    exactly probe_angle (degrees) to the teacher, pruned to m = ⌊rP + ½⌋, and learned by `max_margin`, of which the
    optimality conditions hold to 1e-8. For N to infinity the means go to the theory's values.

    Raises OptionError where an argument is outside its range, TheoryError where a student misses that accuracy.
    """
    check_choice("keep", keep, ("hardest", "easiest", "random"))
    check_choice("margin", margin, ("absolute", "signed"))
    if not 0 < examples_per_parameter < np.inf:
        raise OptionError(f"examples_per_parameter must be positive; got {examples_per_parameter:g}.")
    if not 0 < r <= 1:
        raise OptionError(f"r must be in (0, 1]; got {r:g}.")
    if not 0 <= probe_angle <= 90:
        raise OptionError(f"probe_angle must be in [0, 90] degrees; got {probe_angle:g}.")
    if n_parameters < 2 or repeats < 2:
        raise OptionError(f"n_parameters and repeats must be at least 2; got {n_parameters} and {repeats}.")
    n_all = int(np.floor(examples_per_parameter * n_parameters + 0.5))
    n_kept = int(np.floor(r * n_all + 0.5))
    if n_kept < 1:
        raise OptionError(
            f"examples_per_parameter={examples_per_parameter:g} and r={r:g} keep no example of {n_parameters} "
            "parameters; raise one of the three."
        )
    rng = np.random.default_rng(seed)
    found = np.empty((repeats, 4))
    for repeat in range(repeats):
        x = rng.standard_normal((n_all, n_parameters))
        signed, order = _kept_fields(x, keep, np.deg2rad(probe_angle), margin)
        weights, violation = max_margin(signed[order[:n_kept]])
        length = np.linalg.norm(weights)
        across = np.linalg.norm(weights[1:])
        found[repeat] = weights[0] / length, 1 / length, np.arctan2(across, weights[0]) / np.pi, violation
    mean = found.mean(axis=0)
    spread = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    return Simulation(
        overlap=float(mean[0]),
        overlap_se=float(spread[0]),
        margin=float(mean[1]),
        margin_se=float(spread[1]),
        error=float(mean[2]),
        error_se=float(spread[2]),
        n_kept=n_kept,
        repeats=repeats,
        kkt_violation=float(found[:, 3].max()),
    )


def _kept_fields(x: Floats, keep: Keep, theta: float, margin: Margin) -> tuple[Floats, np.ndarray]:
    """The examples times their labels, [P, N], and the order in which a rule keeps them.

    The teacher is the first axis and the probe lies in the plane of the first two: no loss, as x is isotropic.
    """
    signed = x * np.sign(x[:, :1])
    score = signed[:, 0] * np.cos(theta) + signed[:, 1] * np.sin(theta)
    if keep == "random":
        return signed, np.arange(len(x))
    if margin == "absolute":
        score = np.abs(score)
    return signed, np.argsort(score if keep == "hardest" else -score)


def max_margin(signed: Floats) -> tuple[Floats, float]:
    """The shortest w with signed @ w >= 1, and the largest violation of its optimality conditions.

    signed: [m, N], examples times labels. The problem is solved exactly, by an active set, as non-negative least
    squares (Lawson & Hanson 1974, least distance programming): with the u >= 0 of least ‖[signedᵀ; 1ᵀ] u − e‖, e the
    last unit vector, and ρ its residual, w = −ρ[:N]/ρ[N]. The conditions: signed @ w >= 1; w = signedᵀ a; a >= 0;
    a = 0 where signed @ w > 1. All are checked, relative to w's length and to the largest a.

    Raises TheoryError where no w has all margins positive, or a condition fails by more than 1e-8.
    """
    m, n = signed.shape
    target = np.zeros(n + 1)
    target[n] = 1
    try:
        u, distance = nnls(np.vstack([signed.T, np.ones(m)]), target, maxiter=30 * max(m, n))
    except RuntimeError as error:
        raise TheoryError(f"the student's active set did not settle ({error}); use fewer parameters.") from error
    if distance < _KKT_TOLERANCE:
        raise TheoryError("the kept examples have no common positive margin: their labels are not those of a teacher.")
    support = np.flatnonzero(u)
    # once the support is known, its equations are solved again directly, to lose no digits in the residual
    gram = signed[support] @ signed[support].T
    a = np.linalg.solve(gram, np.ones(support.size))
    weights = a @ signed[support]
    margins = signed @ weights
    slack = float(np.max(np.abs(margins[support] - 1)))
    violation = max(slack, float(np.max(1 - margins)), float(-a.min() / np.abs(a).max()))
    if not violation <= _KKT_TOLERANCE:
        raise TheoryError(
            f"a student misses its optimality conditions by {violation:.2g}, more than {_KKT_TOLERANCE:g}; "
            "use fewer parameters or examples."
        )
    return weights, max(violation, 0.0)
