from math import log

import numpy as np
import pytest

from helpers.evidence import make_evidence
from winnow.core.errors import OptionError
from winnow.core.types import Evidence
from winnow.metrics.uncertainty import Uncertainty

# Two probes; their mean predictions are (.5, .3, .2), (1/3, 1/3, 1/3) and, as they contradict each other, (.5, .5, 0).
P = np.array([[[0.6, 0.2, 0.2], [1 / 3] * 3, [1, 1e-30, 1e-30]], [[0.4, 0.4, 0.2], [1 / 3] * 3, [1e-30, 1, 1e-30]]])
EVIDENCE = Evidence(dataset="hand", labels=np.array([0, 1, 2]), logits={1: np.log(P).astype(np.float32)})
EXPECTED = {
    "entropy": [-(0.5 * log(0.5) + 0.3 * log(0.3) + 0.2 * log(0.2)), log(3), log(2)],
    "margin": [0.8, 1, 1],
    "least_confidence": [0.5, 2 / 3, 0.5],
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_by_hand(kind):
    assert Uncertainty(kind=kind)(EVIDENCE).values == pytest.approx(EXPECTED[kind], abs=1e-6)


def test_deepcores_least_confidence_is_of_logits():
    # Logits that differ by a constant are the same probabilities.
    logits = np.array([[[1, 2, 4], [0, 0, 0]], [[5, 1, 1], [0, -3, -1]]], dtype=np.float32)
    metric = Uncertainty(kind="least_confidence", variant="deepcore")
    scores, moved = (
        metric(Evidence(dataset="hand", labels=np.zeros(2, dtype=int), logits={1: x})) for x in (logits, logits + 1)
    )
    assert scores.values.tolist() == [-4.5, 0]
    assert moved.values.tolist() == [-5.5, -1]
    assert scores.standard_error == pytest.approx([0.5, 0])


def test_labels_are_not_read():
    evidence = make_evidence()
    other = Evidence(dataset="made-up", labels=np.zeros(60, dtype=int), logits=evidence.logits)
    assert np.array_equal(Uncertainty()(other).values, Uncertainty()(evidence).values)


def test_names_and_errors():
    assert Uncertainty().name == "uncertainty"
    assert Uncertainty(kind="margin", epoch=4).name == "uncertainty[margin,epoch=4]"
    assert Uncertainty(kind="least_confidence", variant="deepcore").name == "uncertainty[least_confidence,deepcore]"
    with pytest.raises(OptionError, match="least_confidence"):
        Uncertainty(kind="bald")
    with pytest.raises(OptionError, match="DeepCore's margin"):
        Uncertainty(kind="margin", variant="deepcore")
