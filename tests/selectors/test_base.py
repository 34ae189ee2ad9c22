"""What holds for the selectors whose weights have mean one and that read only the order of the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evidence import recorded
from helpers.strategies import data_sets
from winnow.core.errors import BudgetError, MissingEvidenceError, OptionError
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.selectors.window import Window


@pytest.mark.parametrize("balance", [None, "exact", 0.5])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Random, {}),
        (Threshold, {"keep": "easiest"}),
        (Window, {}),
        (Calibrated, {}),
        (Calibrated, {"protocol": "approximate"}),
        (Calibrated, {"protocol": "tempered", "tau": 0.3}),
    ],
)
@settings(max_examples=15, deadline=None)
@given(data_sets(), st.floats(0.3, 1), st.floats(0, 0.8), st.integers(0, 2**31))
def test_mean_weight_is_one_and_only_the_order_of_scores_matters(kind, options, balance, data_set, r, alpha, seed):
    selector, (scores, labels) = kind(balance=balance, **options), data_set
    subset = selector.select(scores, labels, r=r, alpha=alpha, seed=seed)
    assert abs(subset.weights.mean() - 1) < 1e-9
    transformed = selector.select(np.exp(scores), labels, r=r, alpha=alpha, seed=seed)
    assert transformed.content_hash == subset.content_hash
    assert np.array_equal(transformed.is_signal, subset.is_signal)


SCORES = np.arange(20.0)
LABELS = np.arange(20) % 2
MARGIN = np.tile(np.arange(20.0, dtype=np.float32), (2, 3, 1))  # aum: index 0 is the most suspect


def test_the_suspect_are_gone_before_the_hardest_are_kept():
    # n' = 16, m = 4: the hardest 4 of what is left when the hardest 4 are taken for mislabelled.
    subset = Threshold(drop_suspect=0.2).select(SCORES, LABELS, r=0.25, seed=0)
    assert subset.indices.tolist() == [12, 13, 14, 15]
    assert subset.n == 20


def test_suspects_by_their_margin_in_training():
    selector = Threshold(drop_suspect=0.2, suspect_by="aum", keep="easiest")
    assert selector.needs == {"trajectories"}
    subset = selector.select(SCORES, LABELS, r=0.25, seed=0, evidence=recorded(MARGIN, LABELS))
    assert subset.indices.tolist() == [4, 5, 6, 7]
    with pytest.raises(MissingEvidenceError, match="trajectories"):
        selector.select(SCORES, LABELS, r=0.25, seed=0)


def test_exact_weights_stand_for_what_is_left_of_the_suspect():
    # n' = 16, m = 8, s = 2, e = 6: w_S = 1/2 and w_E = (8/16)(14/6).
    subset = Calibrated(drop_suspect=0.2).select(SCORES, LABELS, r=0.5, alpha=0.25, seed=0)
    assert subset.indices[subset.is_signal].tolist() == [14, 15]
    assert np.all(subset.weights[subset.is_signal] == 0.5)
    assert subset.weights[~subset.is_signal] == pytest.approx(7 / 6)


def test_random_without_suspects_reads_scores_only_to_drop():
    assert not Random().reads_scores
    dropping = Random(drop_suspect=0.5)
    assert dropping.reads_scores
    assert dropping.rule("el2n", 0.0) == "random drop=0.5 by el2n"
    assert max(dropping.select(SCORES, LABELS, r=1, seed=0).indices) == 9
    assert not Random(drop_suspect=0.5, suspect_by="aum").reads_scores


def test_suspects_in_class_strata():
    # The ten hardest go, of both classes alike; each class keeps two of its five.
    subset = Threshold(drop_suspect=0.5, balance="exact").select(SCORES, LABELS, r=0.4, seed=0)
    assert subset.indices.tolist() == [6, 7, 8, 9]


@pytest.mark.parametrize("drop", [-0.1, 1.0])
def test_a_share_of_suspects_outside_its_range(drop):
    with pytest.raises(OptionError, match="drop_suspect"):
        Threshold(drop_suspect=drop)


def test_nothing_is_left_of_the_suspect():
    with pytest.raises(BudgetError, match="leaves none"):
        Threshold(drop_suspect=0.99).select(SCORES, LABELS, r=0.5, seed=0)


def test_another_rule_chooses_the_signal():
    easiest = Calibrated(signal=Threshold(keep="easiest"))
    subset = easiest.select(SCORES, LABELS, r=0.5, alpha=0.4, seed=0)
    assert subset.indices[subset.is_signal].tolist() == [0, 1, 2, 3]
    assert easiest.rule("el2n", 0.4) == "el2n easiest exact 0.4"
    drawn = Calibrated(signal=Random(), protocol="approximate")
    assert not drawn.reads_scores
    assert drawn.select(None, LABELS, r=0.5, alpha=0.4, seed=0).is_signal.sum() == 4
    with pytest.raises(OptionError, match="not to its signal"):
        Calibrated(signal=Threshold(balance="exact"))
