import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import OptionError
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.threshold import Threshold
from winnow.selectors.window import Window

SCORES = np.array([4.0, 9.0, 1.0, 6.0, 0.0, 7.0, 2.0, 5.0, 8.0, 3.0])
LABELS = np.arange(10) % 2


def kept_scores(selector, r, scores=SCORES, **how):
    subset = selector.select(scores, np.zeros(scores.size, dtype=int), r=r, seed=0, **how)
    return sorted(scores[subset.indices].tolist(), reverse=True)


def test_the_hardest_below_those_skipped():
    assert kept_scores(Window(skip=0.2), r=0.3) == [7, 6, 5]


def test_a_budget_larger_than_what_is_left_skips_less():
    assert kept_scores(Window(skip=0.5), r=0.5) == [4, 3, 2, 1, 0]
    assert kept_scores(Window(skip=0.5), r=0.8) == [7, 6, 5, 4, 3, 2, 1, 0]


def test_the_window_stays_where_a_dropped_share_would_move_it():
    assert kept_scores(Window(skip=0.5), r=0.2) == [4, 3]
    assert kept_scores(Threshold(drop_suspect=0.5), r=0.2) == [4]


def test_in_each_class():
    # Even scores are one class and odd ones the other, by index: the hardest of each is skipped, the next two are kept.
    subset = Window(skip=0.2, balance="exact").select(SCORES, LABELS, r=0.4, seed=0)
    assert sorted(SCORES[subset.indices[LABELS[subset.indices] == 0]]) == [2, 4]
    assert sorted(SCORES[subset.indices[LABELS[subset.indices] == 1]]) == [6, 7]


def test_as_the_signal_of_calibration():
    subset = Calibrated(signal=Window(skip=0.2)).select(SCORES, LABELS, r=0.5, alpha=0.4, seed=0)
    assert sorted(SCORES[subset.indices[subset.is_signal]]) == [6, 7]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=40), st.floats(0, 0.99), st.floats(0.3, 1), st.integers(0, 9))
def test_it_is_a_slice_of_the_sorted_scores(scores, skip, r, seed):
    scores = np.array(scores, dtype=float)
    n = scores.size
    subset = Window(skip=skip).select(scores, np.zeros(n, dtype=int), r=r, seed=seed)
    skipped = min(int(skip * n + 0.5 + 1e-9), n - subset.m)
    assert sorted(scores[subset.indices]) == sorted(np.sort(scores)[::-1][skipped : skipped + subset.m])
    plain = Threshold().select(scores, np.zeros(n, dtype=int), r=r, seed=seed)
    assert Window(skip=0).select(scores, np.zeros(n, dtype=int), r=r, seed=seed).content_hash == plain.content_hash


def test_rule_and_errors():
    assert Window(skip=0.25).rule("el2n", 0.5) == "el2n window 0.25"
    for skip in (-0.1, 1.0):
        with pytest.raises(OptionError, match="skip"):
            Window(skip=skip)
