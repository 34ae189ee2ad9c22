import numpy as np
import pytest

from helpers.conditional import PLANTED, WIDTHS, best_choice, cost_by_epochs, planted_error, simulated
from winnow.core.errors import FitError, OptionError
from winnow.scaling.laws.allocation import allocate
from winnow.scaling.laws.conditional import fit_conditional

SEARCHED = tuple(range(4, 33))


@pytest.fixture(scope="module")
def exact():
    return fit_conditional(**simulated(np.random.default_rng(0), 0.0))


def chosen(fitted, budget, **options):
    return allocate(fitted, budget, cost=cost_by_epochs, **{"widths": SEARCHED, "resamples": 20} | options)


@pytest.mark.parametrize("budget", [2e4, 3e5, 1.5e6, 5e6])
def test_the_allocation_of_a_planted_law_is_its_best_choice(exact, budget):
    error, n, width, rule = best_choice(budget, SEARCHED)
    found = chosen(exact, budget)
    assert (found.n, found.width, found.rule) == (n, width, rule)
    assert found.error == pytest.approx(error, rel=1e-6)
    assert found.error == pytest.approx(planted_error(rule, n, width), rel=1e-6)
    assert found.cost == cost_by_epochs(n, width, None, rule) <= budget
    assert found.r == n / 2000
    assert found.error_interval == pytest.approx((error, error), rel=1e-5)
    assert found.n_interval == (n, n)
    assert (found.depth, found.depth_interval, found.rule_share) == (None, None, 1.0)


def held(sets, noise, budget, *, resamples):
    """In how many simulated data sets the intervals hold the error of the choice, and the best n and width."""
    _, n, width, _ = best_choice(budget, SEARCHED)
    generator = np.random.default_rng(1)
    hits = np.zeros(3, dtype=int)
    for _ in range(sets):
        found = chosen(fit_conditional(**simulated(generator, noise)), budget, resamples=resamples)
        pairs = (
            (planted_error(found.rule, found.n, found.width), found.error_interval),
            (n, found.n_interval),
            (width, found.width_interval),
        )
        hits += [low <= value <= high for value, (low, high) in pairs]
    return hits


def test_the_intervals_hold_the_planted_allocation():
    assert held(6, 0.1, 1.5e6, resamples=60).min() >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "budget"), [(0.05, 3e5), (0.05, 5e6), (0.15, 1.5e6)])
def test_the_intervals_hold_the_planted_allocation_in_90_of_100_data_sets(noise, budget):
    assert held(100, noise, budget, resamples=200).min() >= 90


def test_a_noisy_law_gives_intervals_around_its_choice():
    found = chosen(fit_conditional(**simulated(np.random.default_rng(3), 0.2)), 1.5e6, resamples=60)
    assert found.error_interval[0] < found.error < found.error_interval[1]
    assert found.n_interval[0] <= found.n <= found.n_interval[1]
    assert found.width_interval[0] < found.width_interval[1]
    assert found.describe().startswith(f"{found.n:,} examples by {found.rule} (r = {found.r:.3g}, ")


def test_an_allocation_at_the_edge_says_so(exact):
    assert chosen(exact, 1.5e6).edges == ()
    rich = chosen(exact, 1e12)
    assert rich.edges == ("all 2,000 examples that exist", "the largest width searched, 32")
    assert rich.describe().endswith("edge of the search: all 2,000 examples that exist, the largest width searched, 32")
    poor = chosen(exact, cost_by_epochs(50, 4, None, "random"))
    assert poor.edges == ("the fewest examples searched, 50", "the smallest width searched, 4")
    assert chosen(exact, 1e12, n_available=1000).n == 1000
    assert chosen(exact, 1e12, widths=[8]).edges == ("all 2,000 examples that exist",)


def test_other_rules_stop_where_they_were_fitted_when_all_rules_meet():
    given = simulated(np.random.default_rng(0), 0.0, seeds=1)
    full = {"n": (4000,) * 4, "rule": ("random",) * 4, "width": WIDTHS}
    full["error"] = [planted_error("random", 4000, width) for width in WIDTHS]
    fitted = fit_conditional(**{name: [*given[name], *full[name]] for name in given}, n_available=4000)
    assert chosen(fitted, 1e12, rules=["random"]).n == 4000
    found = chosen(fitted, 1e12, rules=["el2n"])
    assert (found.n, found.r) == (2000, 0.5)
    assert found.edges[0] == "the most examples that the rule was fitted at, 2,000"


def test_depths_are_searched_among_the_fitted_ones():
    fitted = fit_conditional(**simulated(np.random.default_rng(0), 0.0, depths=(8, 20, 56)))

    def cost(n, width, depth, rule):
        return n * width**2 * depth

    found = allocate(fitted, 2e6, cost=cost, widths=SEARCHED, resamples=5)
    every = [
        (planted_error(rule, min(2000, 2e6 // (width**2 * depth)), width, depth), depth, width)
        for rule in fitted.rules
        for width in SEARCHED
        for depth in (8, 20, 56)
        if 2e6 // (width**2 * depth) >= 50
    ]
    assert (found.error, found.depth, found.width) == pytest.approx(min(every), rel=1e-6)
    assert found.depth_interval == (found.depth, found.depth)


def test_a_law_without_width_is_allocated_examples_alone():
    given = simulated(np.random.default_rng(0), 0.0, widths=(None,))
    fitted = fit_conditional(**given)
    found = allocate(fitted, 600, cost=lambda n, width, depth, rule: n, resamples=5)
    assert (found.n, found.width, found.width_interval, found.rule) == (600, None, None, "el2n")
    assert found.error == pytest.approx(PLANTED["A el2n"] / 600 + PLANTED["E"])


def test_what_cannot_be_had(exact):
    with pytest.raises(FitError, match="affords none of the sizes searched; the cheapest costs 8000"):
        chosen(exact, 7999)
    with pytest.raises(OptionError, match="choose one of: random, el2n"):
        chosen(exact, 1e6, rules=["aum"])
