from itertools import permutations

import numpy as np
import pytest
from scipy.stats import beta

from helpers.evidence import recorded
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.selectors.beta import Beta
from winnow.selectors.calibrated import Calibrated

N = 12
DRAWS = 800
RNG = np.random.default_rng(2)
SCORES = RNG.uniform(0.2, 2, N)
P_TRUE = RNG.uniform(0.3, 0.95, (2, 3, N)).astype(np.float32)
ONE_CLASS = np.zeros(N, dtype=int)


def kept(selector, *, scores=SCORES, p_true=P_TRUE, r, seed=0, labels=None):
    labels = np.zeros(len(scores), dtype=int) if labels is None else labels
    return selector.select(scores, labels, r=r, seed=seed, evidence=recorded(p_true, labels)).indices


def frequencies(scores, *, r, c, draws=DRAWS):
    counts = np.zeros(scores.size)
    for seed in range(draws):
        counts[kept(Beta(c=c), scores=scores, r=r, seed=seed)] += 1
    return counts / draws


def by_enumeration(scores, *, count, c):
    """P(kept), [n]: over every ordered draw without replacement, each next one in proportion to its weight."""
    p = P_TRUE.astype(float).mean(axis=(0, 1))
    mu = p[np.argsort(scores)[-10:]].mean()
    b = 15 * (1 - mu) * (1 - (1 - count / scores.size) ** c)
    weight = beta.pdf(p, 16 - b, b) * scores
    probability = np.zeros(scores.size)
    for drawn in permutations(range(scores.size), count):
        left, chance = weight.sum(), 1.0
        for index in drawn:
            chance *= weight[index] / left
            left -= weight[index]
        probability[list(drawn)] += chance
    return probability


@pytest.mark.parametrize(("count", "c"), [(2, 4.0), (3, 1.0)])
def test_probabilities_by_enumeration(count, c):
    expected = by_enumeration(SCORES, count=count, c=c)
    assert expected.sum() == pytest.approx(count)
    assert expected.max() > 2 * expected.min()  # or uniform draws would pass
    error = np.abs(frequencies(SCORES, r=count / N, c=c) - expected)
    assert np.all(error <= 4 * np.sqrt(expected * (1 - expected) / DRAWS) + 1e-9)


def test_negative_scores_count_from_the_smallest():
    seeds = range(30)
    moved = SCORES - SCORES.max()
    from_zero = SCORES - SCORES.min()
    for seed in seeds:
        assert np.array_equal(
            kept(Beta(), scores=moved, r=0.5, seed=seed), kept(Beta(), scores=from_zero, r=0.5, seed=seed)
        )


def test_a_score_of_zero_is_kept_last():
    scores = np.where(np.arange(N) < 4, 0.0, SCORES)
    assert kept(Beta(), scores=scores, r=8 / 12).tolist() == list(range(4, 12))
    assert set(range(4, 12)) < set(kept(Beta(), scores=scores, r=10 / 12).tolist())
    assert kept(Beta(), scores=np.zeros(N), r=0.5).size == 6


def test_certain_and_impossible_probabilities_are_finite():
    p_true = np.tile(np.repeat([0.0, 1.0], 6), (1, 2, 1))
    for r in (1 / 12, 0.5, 11 / 12):
        assert kept(Beta(), p_true=p_true, r=r).size == round(12 * r)
    # Hardest all learned to the end: b = 0, and the law stands at one.
    assert kept(Beta(), scores=np.where(np.arange(N) < 6, 1e-3, 1.0), p_true=p_true, r=0.5).tolist() == list(
        range(6, 12)
    )


def test_the_less_is_kept_the_easier():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.99, 2000)
    scores = p * (1 - p)
    mean_p = [p[kept(Beta(), scores=scores, p_true=p[None, None], r=r)].mean() for r in (0.3, 0.1, 0.03)]
    assert mean_p[0] < mean_p[1] < mean_p[2]


def test_classes_have_a_law_of_their_own():
    labels = np.arange(N) % 2
    counts = np.bincount(labels[kept(Beta(balance="exact"), r=0.5, labels=labels)])
    assert counts.tolist() == [3, 3]


def test_the_first_epochs_of_a_long_run_are_a_short_one():
    longer = np.concatenate([P_TRUE, 1 - P_TRUE], axis=1)
    for seed in range(5):
        short = kept(Beta(), r=0.5, seed=seed)
        assert np.array_equal(short, kept(Beta(first_epochs=3), p_true=longer, r=0.5, seed=seed))
    drawn = [kept(Beta(), p_true=longer, r=0.5, seed=seed).tolist() for seed in range(5)]
    assert drawn != [kept(Beta(), r=0.5, seed=seed).tolist() for seed in range(5)]
    with pytest.raises(MissingEvidenceError, match="3 epochs were recorded"):
        kept(Beta(first_epochs=4), r=0.5)


def test_needs_rule_and_errors():
    assert Beta().needs == {"trajectories"}
    assert (Beta().least_epochs, Beta(first_epochs=30).least_epochs) == (1, 30)
    assert Calibrated(signal=Beta(first_epochs=30)).least_epochs == 30
    assert Beta(first_epochs=30).rule("dual", 0.5) == "dual beta 4 first_epochs=30"
    assert Beta().rule("dual", 0.5) == "dual beta 4"
    with pytest.raises(MissingEvidenceError, match="trajectories"):
        Beta().select(SCORES, ONE_CLASS, r=0.5, seed=0)
    with pytest.raises(OptionError, match="must be positive"):
        Beta(c=0.0)
    with pytest.raises(OptionError, match="at least 1"):
        Beta(first_epochs=0)
