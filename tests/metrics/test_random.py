import numpy as np

from helpers.evidence import make_evidence
from winnow.metrics.random import Random


def test_scores_are_seeded_uniform():
    evidence = make_evidence(n=3000)
    values = Random(seed=3)(evidence).values
    assert np.array_equal(values, Random(seed=3)(evidence).values)
    assert not np.array_equal(values, Random(seed=4)(evidence).values)
    assert 0 <= values.min() < values.max() < 1
    assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * 3000)


def test_reads_no_evidence():
    assert Random().needs == frozenset()
    assert Random().name == "random"
    assert Random.stochastic
