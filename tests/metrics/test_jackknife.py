"""Standard errors of scores that are no mean over probes."""

import numpy as np
import pytest
from scipy.special import softmax

from helpers.evidence import make_evidence
from winnow.core.types import Evidence
from winnow.metrics.active import Active
from winnow.metrics.base import jackknife
from winnow.metrics.ddd import DDD
from winnow.metrics.uncertainty import Uncertainty


def test_of_a_mean_it_is_the_standard_error_of_the_mean():
    logits = make_evidence(members=4).logits[12]
    p = softmax(logits.astype(float), axis=2)[:, :, 0]
    found = jackknife(logits, lambda q: q[:, :, 0].mean(axis=0))
    np.testing.assert_allclose(found, p.std(axis=0, ddof=1) / 2)
    assert jackknife(logits[:1], lambda q: q[0, :, 0]) is None


def test_least_confidence_by_hand():
    # p(class 0) of three probes: .9, .7, .8; without each the mean is .75, .85, .8, so 1 - it spreads as the mean does.
    p = np.array([[[0.9, 0.1]], [[0.7, 0.3]], [[0.8, 0.2]]])
    evidence = Evidence(dataset="hand", labels=np.array([0]), logits={1: np.log(p).astype(np.float32)})
    assert Uncertainty(kind="least_confidence")(evidence).standard_error == pytest.approx([0.1 / np.sqrt(3)], rel=1e-5)


def test_the_spread_over_new_probes_is_as_large_as_the_jackknife_says():
    rng = np.random.default_rng(0)
    labels = np.zeros(400, dtype=int)
    centre = np.broadcast_to([1.0, 0.3, -0.5], (400, 3))
    for metric in (Uncertainty(), Active(kind="mutual_information")):
        repeated = [
            metric(
                Evidence(
                    dataset="made-up",
                    labels=labels,
                    logits={1: (centre + rng.normal(0, 0.4, (12, 400, 3))).astype(np.float32)},
                )
            )
            for _ in range(2)
        ]
        spread = np.concatenate([scores.values for scores in repeated]).std(ddof=1)
        said = np.sqrt(np.mean(np.square(np.concatenate([scores.standard_error for scores in repeated]))))
        assert said == pytest.approx(spread, rel=0.15)


def test_counts_of_wrong_probes():
    # Two of four probes wrong: 4 * sqrt(.25 / 3); none wrong: as if half of one in five were.
    logits = np.array([[[1, 0], [1, 0]], [[1, 0], [1, 0]], [[0, 1], [1, 0]], [[0, 1], [1, 0]]], dtype=np.float32)
    evidence = Evidence(dataset="hand", labels=np.array([0, 0]), logits={1: logits})
    assert DDD()(evidence).standard_error == pytest.approx([4 * np.sqrt(0.25 / 3), 4 * np.sqrt(0.1 * 0.9 / 3)])


def test_votes_have_none_and_one_probe_has_none():
    assert Active()(make_evidence()).standard_error is None
    for metric in (Uncertainty(), DDD(), Active(kind="mutual_information")):
        assert metric(make_evidence()).standard_error is not None
        assert metric(make_evidence().member(0)).standard_error is None
