from dataclasses import replace

import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from winnow.errors import MissingEvidenceError, OptionError
from winnow.metrics.aum import AUM
from winnow.types import Evidence


def hand_made() -> Evidence:
    """Two runs of two epochs over three examples, with margins written by hand."""
    evidence = make_evidence(members=2, epochs=2, n=3)
    margin = np.array([[[1, -2, 0], [3, -4, 8]], [[5, -6, 0], [7, -8, -8]]], dtype=np.float32)
    return replace(evidence, trajectories=replace(evidence.ensemble(), margin=margin, probability_margin=margin / 16))


def test_by_hand():
    assert AUM()(hand_made()).values.tolist() == [-4, 5, 0]
    assert AUM(margin="probability")(hand_made()).values.tolist() == [-0.25, 0.3125, 0]


def test_names():
    assert [AUM().name, AUM(margin="probability").name] == ["aum", "aum[probability]"]


def test_errors():
    with pytest.raises(OptionError, match="logit, probability"):
        AUM(margin="cosine")
    with pytest.raises(MissingEvidenceError, match="trajectories"):
        AUM()(only(make_evidence(), frozenset({"logits"})))
