import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import BudgetError, OptionError
from winnow.core.sampling import systematic
from winnow.selectors.importance import Importance
from winnow.selectors.random import Random

N = 40
RNG = np.random.default_rng(5)
SCORES = RNG.exponential(size=N)
LABELS = RNG.permutation(np.repeat([0, 1, 2], [6, 12, 22]))
LOSSES = SCORES + 0.5 * RNG.normal(size=N) + LABELS


def kept(selector, scores, r, seed=0, labels=None):
    labels = np.zeros(len(scores), dtype=int) if labels is None else labels
    return selector.select(np.asarray(scores, dtype=float), labels, r=r, seed=seed)


def weight_by_index(selector, scores, r, draws=200):
    """The weight of each example, over draws that together keep all of them."""
    weights: dict[int, float] = {}
    for seed in range(draws):
        subset = kept(selector, scores, r, seed)
        for index, weight in zip(subset.indices.tolist(), subset.weights.tolist(), strict=True):
            assert weights.setdefault(index, weight) == weight
    return [weights[index] for index in range(len(scores))]


def test_weights_by_hand():
    # q = 0.5 s/10 + 0.5/4 and π = 2 q = 0.35, 0.45, 0.55, 0.65; w = (2/4)/π.
    weights = weight_by_index(Importance(floor=0.5), [1, 2, 3, 4], r=0.5)
    assert weights == pytest.approx([0.5 / 0.35, 0.5 / 0.45, 0.5 / 0.55, 0.5 / 0.65])


def test_the_certain_are_always_kept_and_the_others_share_the_rest():
    # q = 0.8 s/12 + 0.2/4: the last has 2 q = 1.3, so it is certain, and the other three share one: π = 1/3.
    weights = weight_by_index(Importance(floor=0.2), [1, 1, 1, 9], r=0.5)
    assert weights == pytest.approx([1.5, 1.5, 1.5, 0.5])


def capped_one_by_one(sizes, count):
    certain = np.zeros(sizes.size, dtype=bool)
    while True:
        scale = (count - certain.sum()) / sizes[~certain].sum()
        over = ~certain & (scale * sizes >= 1)
        if not over.any():
            return np.where(certain, 1.0, scale * sizes)
        certain |= over


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=40), st.floats(0, 6), st.floats(0.01, 1), st.floats(0.3, 0.95))
def test_weights_by_capping_again_and_again(scores, power, floor, r):
    scores = np.array(scores)
    subset = kept(Importance(power=power, floor=floor), scores, r)
    n, m = subset.n, subset.m
    if m == n:
        assert np.all(subset.weights == 1)
        return
    lifted = scores - min(scores.min(), 0)
    share = (lifted / lifted.max()) ** power if lifted.max() > 0 else np.ones(n)
    share = share / share.sum() if share.sum() > 0 else share
    probability = capped_one_by_one((1 - floor) * share + floor / n, m)
    assert subset.weights == pytest.approx(m / n / probability[subset.indices], rel=1e-6)
    assert subset.weights.max() <= (1 + 1e-9) / floor
    harder = np.argsort(scores[subset.indices])
    assert np.all(np.diff(subset.weights[harder]) <= 1e-9)


@pytest.mark.parametrize("balance", [None, "exact", 0.5])
@pytest.mark.parametrize("options", [{}, {"power": 3.0, "floor": 0.3}])
def test_the_weighted_loss_is_unbiased(balance, options):
    # The scores rise with the class, so that balance=0.5 raises class 0 to its floor.
    selector, draws = Importance(balance=balance, **options), 250
    scores = SCORES + 2 * LABELS
    estimates, mean_weight = np.zeros(draws), np.zeros(draws)
    for seed in range(draws):
        subset = kept(selector, scores, 0.3, seed, LABELS)
        assert subset.m == 12
        estimates[seed] = np.mean(subset.weights * LOSSES[subset.indices])
        mean_weight[seed] = subset.weights.mean()
    for estimate, truth in ((estimates, LOSSES.mean()), (mean_weight, 1.0)):
        assert abs(estimate.mean() - truth) < 4 * estimate.std(ddof=1) / np.sqrt(draws)


def test_probabilities_are_met_over_draws():
    draws, counts = 1000, np.zeros(N)
    for seed in range(draws):
        subset = kept(Importance(), SCORES, 0.3, seed)
        counts[subset.indices] += 1
    probability = 0.3 / np.array(weight_by_index(Importance(), SCORES, 0.3))
    assert probability.sum() == pytest.approx(12)
    assert np.all(np.abs(counts / draws - probability) <= 4.5 * np.sqrt(probability * (1 - probability) / draws))


class Offset:
    """A generator whose uniform draw is given."""

    def __init__(self, offset, seed):
        self.offset, self.seed = offset, seed

    def shuffle(self, values):
        np.random.default_rng(self.seed).shuffle(values)

    def random(self):
        return self.offset


@pytest.mark.parametrize("seed", range(5))
def test_each_order_alone_meets_the_probabilities_over_the_offset(seed):
    probability = np.array([3, 16, 5, 11, 1, 15, 9, 4]) / 16  # sums to 4
    counts = np.zeros(8)
    for step in range(16):
        positions = systematic(probability, 4, Offset((step + 0.5) / 16, seed))
        assert np.all(np.diff(positions) > 0)
        counts[positions] += 1
    assert counts.tolist() == (16 * probability).tolist()


def test_less_variance_than_random_where_the_loss_follows_the_score():
    def variance(selector):
        drawn = (kept(selector, SCORES, 0.3, seed) for seed in range(400))
        return np.var([np.mean(subset.weights * SCORES[subset.indices]) for subset in drawn])

    assert variance(Importance()) < 0.2 * variance(Random())


def test_everything_has_weight_exactly_one_and_equal_scores_are_drawn_alike():
    assert np.all(kept(Importance(), SCORES, 1).weights == 1.0)
    for scores in (np.zeros(20), np.full(20, 7.0), np.full(20, -7.0)):
        assert kept(Importance(), scores, 0.4).weights == pytest.approx(np.ones(8))
    assert kept(Importance(power=0), SCORES, 0.4).weights == pytest.approx(np.ones(16))
    assert kept(Importance(floor=1), SCORES, 0.4).weights == pytest.approx(np.ones(16))


def test_a_class_of_which_none_is_kept():
    with pytest.raises(BudgetError, match="a class of 6 examples keeps none"):
        Importance(balance="exact").check(LABELS, r=0.05, alpha=0)


def test_rule_and_errors():
    assert Importance().rule("el2n", 0.5) == "el2n importance 1 floor=0.1"
    for options, match in (({"power": -1.0}, "power"), ({"floor": 0.0}, "floor"), ({"floor": 1.1}, "floor")):
        with pytest.raises(OptionError, match=match):
            Importance(**options)
