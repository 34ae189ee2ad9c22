from math import e, sqrt

import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics.base import ROWS_IN_BLOCK
from winnow.metrics.el2n import EL2N


def hand_made() -> Evidence:
    """Three examples of two classes under two probes, after epochs 5 and 20."""
    first = [[0.0, 0.0], [1.0, 0.0], [100.0, 0.0]]
    second = [[0.0, 0.0], [0.0, 0.0], [100.0, 0.0]]
    late = np.array([first, second], dtype=np.float32)
    return Evidence(dataset="hand", labels=np.array([0, 0, 1]), logits={5: np.zeros_like(late), 20: late})


def test_ensemble_by_hand():
    # Two classes: ‖p − y‖ = √2 (1 − p_true). Example 1: p_true = e/(1+e) under the first probe, 1/2 under the second.
    expected = [sqrt(2) / 2, sqrt(2) * ((1 / (1 + e)) + 0.5) / 2, sqrt(2)]
    scores = EL2N()(hand_made())
    assert scores.values == pytest.approx(expected, abs=1e-15)
    assert (scores.metric, scores.dataset) == ("el2n", "hand")


def test_epoch_is_the_last_unless_given():
    assert np.array_equal(EL2N()(hand_made()).values, EL2N(epoch=20)(hand_made()).values)
    assert EL2N(epoch=5)(hand_made()).values == pytest.approx([sqrt(0.5)] * 3)
    assert EL2N(epoch=5).epochs == {5}
    assert EL2N().epochs == frozenset()


def test_missing_epoch_names_those_evaluated():
    with pytest.raises(MissingEvidenceError, match="epoch 10; evaluated epochs: 5, 20"):
        EL2N(epoch=10)(hand_made())


def test_ensemble_without_logits_is_an_error():
    with pytest.raises(MissingEvidenceError, match="evaluate_at"):
        EL2N()(only(make_evidence(), frozenset({"trajectories"})))


def test_window_is_the_first_run_over_the_first_epochs():
    evidence = make_evidence()
    el2n = evidence.trajectories.el2n.astype(np.float64)
    assert EL2N(variant="window")(evidence).values == pytest.approx(el2n[0, :10].mean(axis=0), rel=1e-12)
    assert EL2N(variant="window", window=2)(evidence).values == pytest.approx((el2n[0, 0] + el2n[0, 1]) / 2, rel=1e-12)


def test_window_longer_than_the_recording_names_the_epochs():
    with pytest.raises(MissingEvidenceError, match="first 10 epochs of training; recorded epochs: 1, 2, 3, 4"):
        EL2N(variant="window")(make_evidence(epochs=4))


def test_variants_need_and_are_named_differently():
    assert (EL2N().needs, EL2N(variant="window").needs) == ({"logits"}, {"trajectories"})
    named = [EL2N(), EL2N(epoch=4), EL2N(variant="window"), EL2N(variant="window", window=5)]
    assert [m.name for m in named] == ["el2n", "el2n[epoch=4]", "el2n[window]", "el2n[window=5]"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "mean"}, "ensemble, window"),
        ({"variant": "window", "window": 0}, "at least 1"),
        ({"variant": "window", "epoch": 3}, "metric.window"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        EL2N(**options)


def test_rows_beyond_the_first_block_are_scored():
    n = ROWS_IN_BLOCK + 2
    logits = np.zeros((1, n, 2), dtype=np.float32)
    logits[0, -1, 1] = 100
    values = EL2N()(Evidence(dataset="large", labels=np.zeros(n, dtype=int), logits={1: logits})).values
    assert values[[0, -2, -1]] == pytest.approx([sqrt(0.5), sqrt(0.5), sqrt(2)])
