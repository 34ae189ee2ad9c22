"""The best examples kept, model width, depth and pruning rule for a compute budget, by the conditional scaling law."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from winnow.core.errors import FitError, check_choice
from winnow.core.types import Floats
from winnow.scaling.grid import RANDOM
from winnow.scaling.laws.conditional import ConditionalFit
from winnow.scaling.laws.estimators import Interval
from winnow.scaling.replicates import ONE_ENSEMBLE

# (examples kept, width, depth, rule) -> cost, in the units of the budget; width and depth are None where not given
Cost = Callable[[float, float | None, float | None, str], float]
WIDTHS = 80  # tried, evenly spaced by ratio


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What to train for a budget, and the error that the law expects of it.

    cost: of the choice, at most `budget`. r: n over the examples that exist. width, depth: None where the law was
    fitted without. error: of the law for the choice. The intervals, at `level`, are quantiles over refits of the law to
    simulated errors (`ConditionalFit.draws`): of the error of this choice, and of the choices that the refits would
    make. rule_share: share of the refits that choose the same rule. All of these are None where the runs of some rule
    share one probe ensemble, so that nothing says what others would choose. edges: what of the choice lies at the edge
    of what was searched, in words; the best may then lie beyond it.
    """

    budget: float
    cost: float
    n: int
    r: float
    width: float | None
    depth: float | None
    rule: str
    error: float
    error_interval: Interval | None
    n_interval: Interval | None
    width_interval: Interval | None
    depth_interval: Interval | None
    rule_share: float | None
    edges: tuple[str, ...]
    level: float

    def describe(self) -> str:
        """In words, in a line."""
        r = f"r = {self.r:.3g}" + (f", {_ends(self.n_interval)}" if self.n_interval else "")
        sizes = [f"{self.n:,} examples by {self.rule} ({r})"]
        for name, size, interval in (
            ("width", self.width, self.width_interval),
            ("depth", self.depth, self.depth_interval),
        ):
            if size is not None:
                sizes.append(f"{name} {size:g}" + (f" ({_ends(interval)})" if interval else ""))
        told = f"{', '.join(sizes)}: error {100 * self.error:.2g}%"
        if self.error_interval is None:
            told += f" ({ONE_ENSEMBLE})"
        else:
            low, high = self.error_interval
            told += f" ({100 * low:.2g}% to {100 * high:.2g}%)"
        return told + (f"; at the edge of the search: {', '.join(self.edges)}" if self.edges else "")


def _ends(interval: Interval) -> str:
    return f"{interval[0]:,.4g} to {interval[1]:,.4g}"


def allocate(
    fitted: ConditionalFit,
    budget: float,
    *,
    cost: Cost,
    n_available: int | None = None,
    widths: Sequence[float] | None = None,
    depths: Sequence[float] | None = None,
    rules: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 400,
    seed: int = 0,
    draws: Floats | None = None,
) -> Allocation:
    """The n, width, depth and rule of lowest error under the law whose cost is within the budget.

    cost: of (n, width, depth, rule), never falling with n; `costs.TrainingCost` is the usual one. Searched are n from
    the smallest that was fitted to n_available (default: as the law was given it, else the largest fitted), `widths`
    (default: whole numbers between the narrowest and the widest fitted), `depths` and `rules` (default: the fitted
    ones). As no term rises, the best n at a width, depth and rule is the largest that the budget allows. Where the law
    knows n_available, rules other than random are searched up to the largest n below it that they were fitted at: at
    n_available all rules are the same, which their terms do not know of. draws: of `fitted.draws`, for callers with
    many budgets; else `resamples` are drawn with `seed`.

    In simulations of a planted law (two rules, six sizes, four widths, noise of 5% and 15%, 100 data sets for each of
    six budgets and noises) the 95% intervals held the true error of the choice in 95% to 100%, and the best n and width
    in 96% to 100%. An interval of one value means that no refit would choose otherwise among the whole widths.

    Raises FitError where the budget affords nothing of what is searched, and OptionError for a rule not fitted.
    """
    most = int(n_available or fitted.n_available or fitted.ranges["n"][1])
    least = min(int(np.ceil(fitted.ranges["n"][0])), most)
    searched = {
        "width": _sizes(fitted, "width", widths),
        "depth": _sizes(fitted, "depth", depths),
    }
    rules = fitted.rules if rules is None else tuple(rules)
    for rule in rules:
        check_choice("rule", rule, fitted.rules)
    largest = {rule: _largest_searched(fitted, rule, most) for rule in rules}
    choices = list(itertools.product(searched["width"], searched["depth"], rules))
    found = []
    for width, depth, rule in choices:
        if n := _affordable(partial(_cost_of, cost, width, depth, rule), least, max(least, largest[rule]), budget):
            found.append((n, width, depth, rule))
    if not found:
        cheapest = min(cost(least, width, depth, rule) for width, depth, rule in choices)
        raise FitError(
            f"a budget of {budget:.4g} affords none of the sizes searched; the cheapest costs {cheapest:.4g}."
        )
    if fitted.one_ensemble:
        draws = np.empty((0, fitted.theta.size))
    elif draws is None:
        draws = fitted.draws(resamples, seed)
    errors = _errors(fitted, found, np.concatenate([fitted.theta[None], draws]))  # [1 + resamples, candidates]
    best, *others = np.argmin(errors, axis=1)
    n, width, depth, rule = found[best]
    tails = [(1 - level) / 2, (1 + level) / 2]
    chosen = {name: [found[i][j] for i in others] for j, name in enumerate(("n", "width", "depth", "rule"))}

    def interval(name: str) -> Interval | None:
        if name in fitted.merged or not others:
            return None
        low, high = np.quantile(np.array(chosen[name], dtype=np.float64), tails, method="inverted_cdf")
        return float(low), float(high)

    ends = [float(end) for end in np.quantile(errors[1:, best], tails)] if others else None
    return Allocation(
        budget=budget,
        cost=float(cost(n, width, depth, rule)),
        n=n,
        r=n / most,
        width=width,
        depth=depth,
        rule=rule,
        error=float(errors[0, best]),
        error_interval=(ends[0], ends[1]) if ends else None,
        n_interval=interval("n"),
        width_interval=interval("width"),
        depth_interval=interval("depth"),
        rule_share=float(np.mean([other == rule for other in chosen["rule"]])) if others else None,
        edges=tuple(_edges(n, (least, largest[rule], most), {"width": width, "depth": depth}, searched)),
        level=level,
    )


def _sizes(fitted: ConditionalFit, name: str, given: Sequence[float] | None) -> Sequence[float | None]:
    if name not in fitted.ranges:
        return [None]
    low, high = fitted.ranges[name]
    if given is not None:
        return sorted(given)
    if name == "width":
        return sorted({float(round(size)) for size in np.geomspace(low, high, WIDTHS)})
    return sorted(set(fitted.points.sizes[name].tolist()))


def _largest_searched(fitted: ConditionalFit, rule: str, most: int) -> int:
    if rule == RANDOM or fitted.n_available is None:
        return most
    sizes = fitted.points.n[fitted.points.rule == fitted.rules.index(rule)]
    return min(most, int(sizes[sizes < fitted.n_available].max()))


def _cost_of(cost: Cost, width: float | None, depth: float | None, rule: str, n: float) -> float:
    return cost(n, width, depth, rule)


def _affordable(cost: Callable[[float], float], least: int, most: int, budget: float) -> int | None:
    """The largest whole number in [least, most] whose cost is within the budget, by bisection; None where none is."""
    if cost(least) > budget:
        return None
    if cost(most) <= budget:
        return most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if cost(middle) <= budget else (least, middle)
    return least


def _errors(fitted: ConditionalFit, found: Sequence[tuple], thetas: Floats) -> Floats:
    """The error of each candidate [candidates] under each theta [T, p]: [T, candidates]."""
    errors = np.empty((len(thetas), len(found)))
    for rule in {each[3] for each in found}:
        at = [i for i, each in enumerate(found) if each[3] == rule]
        n, width, depth = (np.array([found[i][j] for i in at], dtype=np.float64) for j in range(3))
        for t, theta in enumerate(thetas):
            errors[t, at] = fitted.error_of(theta, n, rule, width, depth)
    return errors


def _edges(
    n: int,
    bounds: tuple[int, int, int],
    chosen: dict[str, float | None],
    searched: Mapping[str, Sequence[float | None]],
) -> list[str]:
    least, largest, most = bounds
    told = []
    if n == most:
        told.append(f"all {n:,} examples that exist")
    elif n == largest:
        told.append(f"the most examples that the rule was fitted at, {n:,}")
    elif n == least:
        told.append(f"the fewest examples searched, {n:,}")
    for name, size in chosen.items():
        sizes = searched[name]
        if len(sizes) > 1 and size in (sizes[0], sizes[-1]):
            told.append(f"the {'smallest' if size == sizes[0] else 'largest'} {name} searched, {size:g}")
    return told
