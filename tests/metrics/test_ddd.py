import numpy as np

from winnow.metrics.ddd import DDD
from winnow.types import Evidence


def test_counts_the_probes_that_are_wrong():
    best = np.array([[0, 1, 1], [0, 2, 0], [0, 1, 2]])  # [K, n]: the class that each probe prefers
    evidence = Evidence(dataset="hand", labels=np.array([0, 1, 2]), logits={3: np.eye(3, dtype=np.float32)[best]})
    assert DDD()(evidence).values.tolist() == [0, 1, 2]
