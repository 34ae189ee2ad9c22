"""What holds for the selectors whose weights have mean one and that read only the order of the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.strategies import data_sets
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold


@pytest.mark.parametrize("balance", [None, "exact", 0.5])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Random, {}),
        (Threshold, {"keep": "easiest"}),
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
