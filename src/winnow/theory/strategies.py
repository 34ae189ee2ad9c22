"""Questions to the perceptron theory: how much to keep, which end to keep, and where the answer changes.

Source: Sorscher et al. 2022, arXiv 2206.14486, section 2; every error is that of `winnow.theory.perceptron.solve`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.core.errors import OptionError
from winnow.core.types import Floats
from winnow.theory.kept_distribution import Keep, Margin
from winnow.theory.perceptron import solve

STRATEGIES: tuple[Keep, ...] = ("hardest", "easiest", "random")

_FRACTIONS = 48  # of the scan for the best fraction kept, before it is refined
_REFINEMENTS = 3
_SCAN = 25  # points of α_tot at which a crossover is looked for
_BISECTIONS = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope:
    """The best fraction to keep at each kept size and the error there; both have the shape of the sizes."""

    r: Floats
    error: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class BestStrategies:
    """Which strategy has the lowest error at each point, and the errors of all of them, of the points' shape.

    keep: names from `STRATEGIES`; "random" where no other is better by more than one part in a million, as at r = 1.
    """

    keep: NDArray[np.str_]
    error: Mapping[Keep, Floats]


def envelope(
    kept_per_parameter: ArrayLike,
    *,
    keep: Keep = "hardest",
    probe_angle: float = 0.0,
    margin: Margin = "absolute",
    least: float = 0.1,
) -> Envelope:
    """The lowest error at each α_prune = r α_tot over all the fractions r in [least, 1] that could have been kept.

    kept_per_parameter: [n] or a scalar, kept examples per parameter, α_prune. To keep a smaller r is to have started
    from more data, α_prune/r; the envelope is the Pareto frontier of error against data kept. The best r, to a part in
    1e4 or better, is found by a scan in log r and its refinement round the lowest point.

    Raises OptionError where an argument is outside its range, TheoryError where the theory has no solution.
    """
    if not 0 < least < 1:
        raise OptionError(f"least must be in (0, 1); got {least:g}.")
    pruned = np.atleast_1d(np.asarray(kept_per_parameter, dtype=np.float64))
    shape = pruned.shape
    pruned = pruned.reshape(-1, 1)

    low, high = np.full_like(pruned, np.log(least)), np.zeros_like(pruned)
    scan = np.linspace(0, 1, _FRACTIONS)
    for refinement in range(_REFINEMENTS + 1):
        # the two ends are exact, and exp may round above 1
        fractions = np.clip(np.exp(low + (high - low) * scan), least, 1.0)
        errors = np.asarray(
            solve(pruned / fractions, fractions, keep=keep, probe_angle=probe_angle, margin=margin).error
        )
        best = np.argmin(errors, axis=1)[:, None]
        if refinement < _REFINEMENTS:
            spacing = (high - low) / (len(scan) - 1)
            centre = low + spacing * best
            low, high = np.maximum(centre - spacing, low), np.minimum(centre + spacing, high)
            scan = np.linspace(0, 1, 9)
    r, error = (np.take_along_axis(values, best, axis=1).reshape(shape) for values in (fractions, errors))
    return Envelope(r=r, error=error)


def crossover(
    r: ArrayLike,
    *,
    one: Keep = "hardest",
    other: Keep = "easiest",
    probe_angle: float = 0.0,
    margin: Margin = "absolute",
    between: tuple[float, float] = (0.1, 1000.0),
) -> Floats:
    """The α_tot, examples per parameter before pruning, from which `one` has a lower error than `other`, at each r.

    r: [n] or a scalar, in (0, 1). The first α_tot of `between` where the difference of the two errors changes from
    positive to negative, to a relative 1e-6; NaN where it does not (one may be ahead from the start, or never, or
    fall behind again further up). At r = 1 both keep everything, and there is no crossover.

    Raises OptionError where an argument is outside its range, TheoryError where the theory has no solution.
    """
    if not 0 < between[0] < between[1]:
        raise OptionError(f"between must be two increasing positive numbers; got {between[0]:g} and {between[1]:g}.")
    fractions = np.atleast_1d(np.asarray(r, dtype=np.float64))
    shape = fractions.shape
    fractions = fractions.reshape(-1, 1)

    def lead(log_alpha: Floats, part: Floats) -> Floats:
        """By how much the error of `one` is above that of `other`."""
        ahead, behind = (
            np.asarray(solve(np.exp(log_alpha), part, keep=keep, probe_angle=probe_angle, margin=margin).error)
            for keep in (one, other)
        )
        return ahead - behind

    scan = np.log(np.geomspace(*between, _SCAN))
    above = lead(scan, fractions) > 0
    overtaken = above[:, :-1] & ~above[:, 1:] & (fractions < 1)
    found = overtaken.any(axis=1)
    at = overtaken.argmax(axis=1)[found]
    low, high, part = scan[at], scan[at + 1], fractions[found, 0]
    for _ in range(_BISECTIONS if found.any() else 0):
        middle = (low + high) / 2
        still = lead(middle, part) > 0
        low, high = np.where(still, middle, low), np.where(still, high, middle)
    alpha = np.full(len(fractions), np.nan)
    alpha[found] = np.exp((low + high) / 2)
    return alpha.reshape(shape)


def best_strategy(
    examples_per_parameter: ArrayLike, r: ArrayLike, *, probe_angle: float = 0.0, margin: Margin = "absolute"
) -> BestStrategies:
    """Whether to keep the hardest, the easiest or a random part; arguments as of `solve`, broadcast to one shape.

    Raises OptionError where an argument is outside its range, TheoryError where the theory has no solution.
    """
    errors: dict[Keep, Floats] = {
        keep: np.asarray(solve(examples_per_parameter, r, keep=keep, probe_angle=probe_angle, margin=margin).error)
        for keep in STRATEGIES
    }
    handicap = {"hardest": 1e-6, "easiest": 1e-6, "random": 0.0}  # ties go to the strategy that needs no probe
    stacked = np.stack([errors[keep] * (1 + handicap[keep]) for keep in STRATEGIES])
    return BestStrategies(keep=np.array(STRATEGIES)[np.argmin(stacked, axis=0)], error=errors)
