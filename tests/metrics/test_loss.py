from math import exp, log

import numpy as np
import pytest

from helpers.evidence import make_evidence
from winnow.core.errors import MissingEvidenceError
from winnow.core.types import Evidence
from winnow.metrics.loss import Loss


def test_closed_form():
    first = [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1000.0, 0.0]]
    second = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1000.0, 0.0]]
    logits = {7: np.array([first, second], dtype=np.float32)}
    scores = Loss()(Evidence(dataset="hand", labels=np.array([2, 0, 0]), logits=logits))
    expected = [log(3), (log(1 + 2 * exp(-2)) + log(3)) / 2, 1000]
    assert scores.values == pytest.approx(expected, rel=1e-14)
    assert scores.metric == "loss"


def test_epoch():
    evidence = make_evidence()
    assert np.array_equal(Loss()(evidence).values, Loss(epoch=12)(evidence).values)
    assert not np.array_equal(Loss()(evidence).values, Loss(epoch=4)(evidence).values)
    assert (Loss(epoch=4).name, Loss(epoch=4).epochs, Loss().epochs) == ("loss[epoch=4]", {4}, frozenset())
    with pytest.raises(MissingEvidenceError, match="evaluated epochs: 4, 12"):
        Loss(epoch=5)(evidence)
