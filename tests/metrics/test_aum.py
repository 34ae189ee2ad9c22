from dataclasses import replace

import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics.aum import AUM
from winnow.store.keys import make_key


def hand_made() -> Evidence:
    """Two runs of two epochs over three examples, with margins written by hand."""
    evidence = make_evidence(members=2, epochs=2, n=3)
    margin = np.array([[[1, -2, 0], [3, -4, 8]], [[5, -6, 0], [7, -8, -8]]], dtype=np.float32)
    return replace(evidence, trajectories=replace(evidence.trajectories, margin=margin, probability_margin=margin / 16))


def test_by_hand():
    assert AUM()(hand_made()).values.tolist() == [-4, 5, 0]
    assert AUM(margin="probability")(hand_made()).values.tolist() == [-0.25, 0.3125, 0]


def test_is_the_mean_of_the_whole_array():
    evidence = make_evidence()
    mean = evidence.trajectories.margin.mean(axis=(0, 1), dtype=np.float64)
    assert np.array_equal(AUM()(evidence).values, -mean)


def test_the_first_epochs():
    assert AUM(first_epochs=1)(hand_made()).values.tolist() == [-3, 4, 0]
    assert AUM(first_epochs=2)(hand_made()).values.tolist() == AUM()(hand_made()).values.tolist()
    assert (AUM().least_epochs, AUM(first_epochs=30).least_epochs) == (1, 30)
    with pytest.raises(MissingEvidenceError, match="reads 3 epochs of training, but 2 were recorded"):
        AUM(first_epochs=3)(hand_made())


def test_names():
    named = [AUM(), AUM(margin="probability"), AUM(margin="probability", first_epochs=30)]
    assert [metric.name for metric in named] == ["aum", "aum[probability]", "aum[probability,first_epochs=30]"]
    assert make_key("m", AUM()) == "m-9383382d50337bfd"  # what it was before there was first_epochs


def test_errors():
    with pytest.raises(OptionError, match="logit, probability"):
        AUM(margin="cosine")
    with pytest.raises(OptionError, match="first_epochs=0"):
        AUM(first_epochs=0)
    with pytest.raises(MissingEvidenceError, match="trajectories"):
        AUM()(only(make_evidence(), frozenset({"logits"})))
