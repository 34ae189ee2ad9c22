import numpy as np
import pytest

from winnow.core.types import Evidence
from winnow.metrics.ddd import DDD


def test_counts_the_probes_that_are_wrong():
    best = np.array([[0, 1, 1], [0, 2, 0], [0, 1, 2]])  # [K, n]: the class that each probe prefers
    evidence = Evidence(dataset="hand", labels=np.array([0, 1, 2]), logits={3: np.eye(3, dtype=np.float32)[best]})
    assert DDD()(evidence).values.tolist() == [0, 1, 2]
    # (c + ½)/(K + 1) with K = 3 is 1/8, 3/8, 5/8: agreement of three is not certainty.
    expected = [3 * np.sqrt(p * (1 - p) / 2) for p in (1 / 8, 3 / 8, 5 / 8)]
    assert DDD()(evidence).standard_error == pytest.approx(expected)
