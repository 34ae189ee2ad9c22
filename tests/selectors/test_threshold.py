import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import MismatchError, MissingEvidenceError, OptionError, ShapeError
from winnow.selectors.threshold import Threshold

SCORES = np.array([0.3, 0.9, 0.1, 0.7, 0.5, 0.2])
LABELS = np.array([0, 0, 0, 0, 1, 1])


def kept(selector=None, scores=SCORES, labels=LABELS, *, r, seed=0, alpha=0.0):
    return (selector or Threshold()).select(scores, labels, r=r, alpha=alpha, seed=seed)


def test_keeps_one_end():
    assert kept(r=0.5).indices.tolist() == [1, 3, 4]
    assert kept(Threshold(keep="easiest"), r=0.5).indices.tolist() == [0, 2, 5]


def test_everything_is_signal_whatever_alpha():
    subset = kept(r=0.5, alpha=0.25)
    assert subset.is_signal.all()
    assert np.all(subset.weights == 1)
    assert np.array_equal(subset.indices, kept(r=0.5, alpha=0).indices)


def test_exact_balance_keeps_the_hardest_of_each_class():
    assert kept(Threshold(balance="exact"), r=0.5).indices.tolist() == [1, 3, 4]
    assert kept(Threshold(balance="exact"), scores=-SCORES, r=0.5).indices.tolist() == [0, 2, 5]


def test_floor_raises_a_class_at_the_cost_of_those_above_theirs():
    labels = np.repeat([0, 1, 2], 20)
    scores = np.concatenate([np.arange(20), np.arange(20) + 100, np.arange(20) + 110])
    assert np.bincount(labels[kept(scores=scores, labels=labels, r=0.5).indices], minlength=3).tolist() == [0, 10, 20]
    subset = kept(Threshold(balance=0.5), scores=scores, labels=labels, r=0.5)
    # The floor is 5. Class 0 is raised by 5, which classes 1 and 2 give 5 : 15, their excess above 5.
    assert np.bincount(labels[subset.indices]).tolist() == [5, 9, 16]
    assert subset.indices.tolist() == [*range(15, 20), *range(31, 40), *range(44, 60)]


def test_floor_changes_nothing_where_no_class_is_below_it():
    scores = np.random.default_rng(0).random(400)
    labels = np.arange(400) % 4
    assert np.array_equal(
        kept(Threshold(balance=0.2), scores, labels, r=0.3).indices, kept(scores=scores, labels=labels, r=0.3).indices
    )


def test_ties_are_broken_by_seed_and_not_by_index():
    scores = np.zeros(1000)
    labels = np.repeat([0, 1], 500)
    one, other = (kept(scores=scores, labels=labels, r=0.3, seed=seed).indices for seed in (0, 1))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, kept(scores=scores, labels=labels, r=0.3, seed=0).indices)
    for indices in (one, other):
        assert abs(np.mean(indices < 500) - 0.5) < 4 * 0.5 / np.sqrt(300)


def test_seed_does_not_matter_without_ties():
    assert np.array_equal(kept(r=0.5, seed=0).indices, kept(r=0.5, seed=1).indices)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 5))
def test_only_the_order_of_scores_matters(scores, r, seed):
    scores, labels = np.array(scores, dtype=float), np.zeros(len(scores), dtype=int)
    if r * scores.size < 0.5:
        return
    plain = kept(scores=scores, labels=labels, r=r, seed=seed).indices
    assert np.array_equal(plain, kept(scores=np.exp(scores / 4), labels=labels, r=r, seed=seed).indices)
    assert np.array_equal(plain, kept(scores=scores**3, labels=labels, r=r, seed=seed).indices)


def test_rule():
    assert Threshold().rule("el2n", 0.5) == "el2n hardest"
    assert Threshold(keep="easiest", balance="exact").rule("aum", 0.5) == "aum easiest balance=exact"
    assert Threshold().effective_alpha(0.2) == 1.0


def test_errors():
    with pytest.raises(OptionError, match="hardest, easiest"):
        Threshold(keep="middle")
    with pytest.raises(MissingEvidenceError, match="scores"):
        Threshold().select(None, LABELS, r=0.5, seed=0)
    with pytest.raises(MismatchError, match=r"5 scores .* 6 labels"):
        kept(scores=SCORES[:5], r=0.5)
    with pytest.raises(ShapeError, match="not finite"):
        kept(scores=np.where(SCORES > 0.8, np.nan, SCORES), r=0.5)
    with pytest.raises(ShapeError, match="labels"):
        kept(labels=LABELS[:, None], r=0.5)
