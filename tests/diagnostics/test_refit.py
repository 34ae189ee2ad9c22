import numpy as np
import pytest

from winnow.core.errors import ShapeError
from winnow.diagnostics.refit import FLOOR, errors_held_out

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 240)
FEATURES = (np.eye(3)[LABELS] * 4 + RNG.normal(size=(240, 3))).astype(np.float32)
KEPT, TRIED = np.arange(60), np.arange(60, 240)


def test_separable_classes_are_learned_and_shuffled_labels_are_not():
    ones = np.ones(60)
    assert errors_held_out(FEATURES, LABELS, kept=KEPT, weights=ones, tried=TRIED).wrong.mean() < 0.05
    shuffled = RNG.permutation(LABELS)
    assert errors_held_out(FEATURES, shuffled, kept=KEPT, weights=ones, tried=TRIED).wrong.mean() > 0.5


def test_a_weight_of_two_is_the_example_twice():
    # The same standardisation in both, because the doubled examples are all of them.
    weighted = errors_held_out(FEATURES, LABELS, kept=KEPT, weights=np.full(60, 2.0), tried=TRIED)
    twice = errors_held_out(FEATURES, LABELS, kept=np.tile(KEPT, 2), weights=np.ones(120), tried=TRIED)
    np.testing.assert_allclose(weighted.loss, twice.loss, rtol=0.02)


def test_weights_move_the_boundary():
    # One feature; both classes are drawn at 0 and the weight decides which is predicted there.
    features, labels = np.array([[0.0], [0.0], [0.0]]), np.array([0, 1, 1])
    for heavy in (0, 1):
        weights = np.array([9.0, 1.0]) if heavy == 0 else np.array([1.0, 9.0])
        found = errors_held_out(features, labels, kept=np.array([0, 1]), weights=weights, tried=np.array([2]))
        assert found.wrong[0] == (heavy == 0)


def test_a_class_that_is_not_kept_is_wrong_at_a_finite_loss():
    kept = KEPT[LABELS[KEPT] != 2]
    found = errors_held_out(FEATURES, LABELS, kept=kept, weights=np.ones(kept.size), tried=TRIED)
    assert np.all(found.wrong[LABELS[TRIED] == 2] == 1)
    np.testing.assert_allclose(found.loss[LABELS[TRIED] == 2], -np.log(FLOOR / 3))
    alone = errors_held_out(
        FEATURES, LABELS, kept=KEPT[LABELS[KEPT] == 1], weights=np.ones((LABELS[KEPT] == 1).sum()), tried=TRIED
    )
    np.testing.assert_array_equal(alone.wrong, LABELS[TRIED] != 1)


def test_what_was_kept_is_not_held_out():
    with pytest.raises(ShapeError, match="cannot be held out"):
        errors_held_out(FEATURES, LABELS, kept=KEPT, weights=np.ones(60), tried=np.arange(59, 100))
    with pytest.raises(ShapeError, match="a weight for each"):
        errors_held_out(FEATURES, LABELS, kept=KEPT, weights=np.ones(59), tried=TRIED)
