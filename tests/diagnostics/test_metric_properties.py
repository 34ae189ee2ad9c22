from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.diagnostics.metric_properties import (
    class_share,
    flip_auc,
    hardest_overlap,
    kendall,
    mean_correlation,
    probes_for,
    spearman,
    spearman_brown,
    tied_pairs,
)

A, B = [1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 20.0]
PAIR = np.array([A, B])


def test_spearman_by_hand():
    # Ranks of B: 1, 4, 2.5, 2.5. Deviations (-1.5, -.5, .5, 1.5) and (-1.5, 1.5, 0, 0): 1.5 / sqrt(5 * 4.5).
    np.testing.assert_allclose(spearman(PAIR), [[1, 1.5 / np.sqrt(22.5)], [1.5 / np.sqrt(22.5), 1]])


def test_kendall_by_hand():
    # Of six pairs three agree, two do not, one is tied in B: 1 / sqrt(6 * 5).
    np.testing.assert_allclose(kendall(PAIR), [[1, 1 / np.sqrt(30)], [1 / np.sqrt(30), 1]])


def test_a_constant_score_correlates_with_nothing():
    scores = np.array([A, [7.0] * 4])
    for found in (spearman(scores), kendall(scores)):
        assert found[0, 0] == pytest.approx(1)
        assert np.isnan(found[0, 1])
        assert np.isnan(found[1, 1])
    assert np.isnan(class_share(scores[1], np.array([0, 0, 1, 1])))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_kendall_counts_pairs(points):
    signs = [np.sign(np.subtract(p, q)) for p, q in combinations(points, 2)]
    x, y = np.array(signs).T
    if not np.any(x) or not np.any(y):
        return
    expected = (x * y).sum() / np.sqrt(np.square(x).sum() * np.square(y).sum())
    assert kendall(np.array(points, dtype=float).T)[0, 1] == pytest.approx(expected)


def test_overlap_by_hand_with_ties_broken_at_random():
    # The hardest two of four: {2, 3} by A; by B example 1 surely, and 2 or 3 with one half each.
    found = hardest_overlap(PAIR, share=0.5)
    np.testing.assert_allclose(found, [[1, 0.5], [0.5, (1 + 0.25 + 0.25) / 2]])


def test_overlap_is_what_random_tie_breaks_give():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (2, 50)).astype(float)
    draws = [
        np.mean([len(set(a) & set(b)) for a, b in zip(_hardest(rng, scores[0]), _hardest(rng, scores[1]), strict=True)])
    ]
    assert hardest_overlap(scores, share=0.3)[0, 1] == pytest.approx(np.mean(draws) / 15, abs=0.01)


def _hardest(rng, values):
    return [np.lexsort((rng.random(values.size), -values))[:15] for _ in range(4000)]


def test_tied_pairs_by_hand():
    assert tied_pairs(np.array(B)) == pytest.approx(1 / 6)
    assert tied_pairs(np.array(A)) == 0
    assert tied_pairs(np.zeros(5)) == 1


def test_class_share_by_hand():
    # Ranks 1..4 with classes (0, 0, 1, 1): class means 1.5 and 3.5 about 2.5, so 4 of a total of 5.
    assert class_share(np.array(A), np.array([0, 0, 1, 1])) == pytest.approx(4 / 5)
    assert class_share(np.array(A), np.array([0, 1, 1, 0])) == pytest.approx(0)
    assert class_share(np.array(A), np.array([0, 0, 2, 2])) == pytest.approx(4 / 5)  # a class without examples


def test_flip_auc_by_hand():
    # Flipped are 1 and 2 of B, (30, 20), against (10, 20): three wins and one tie of four.
    assert flip_auc(np.array(B), np.array([False, True, True, False])) == pytest.approx(3.5 / 4)
    assert np.isnan(flip_auc(np.array(B), np.zeros(4, dtype=bool)))


def test_mean_correlation_is_over_pairs():
    groups = np.array([A, A[::-1], B])
    r = 1.5 / np.sqrt(22.5)
    assert mean_correlation(groups) == pytest.approx((-1 + r - r) / 3)


def test_spearman_brown_by_hand():
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    np.testing.assert_allclose(spearman_brown(0.5, [1, 3]), [0.5, 0.75])
    assert np.isnan(spearman_brown(-0.1, 2))
    assert probes_for(0.5, 1, target=0.75) == pytest.approx(3)
    assert probes_for(0.6, 5) == pytest.approx(5 * 0.95 * 0.4 / (0.05 * 0.6))
    assert probes_for(0.99, 1) == 1
    assert np.isnan(probes_for(0.0, 4))


def test_means_of_independent_probes_follow_spearman_and_brown():
    rng = np.random.default_rng(1)
    truth, noise = rng.normal(size=20_000), 1.5 * rng.normal(size=(12, 20_000))
    one = mean_correlation(truth + noise[:2])
    six = mean_correlation(truth + noise.reshape(2, 6, -1).mean(axis=1))
    assert spearman_brown(one, 6) == pytest.approx(six, abs=0.02)
