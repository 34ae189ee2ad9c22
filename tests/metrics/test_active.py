from math import log

import numpy as np
import pytest

from winnow.core.errors import OptionError
from winnow.core.types import Evidence
from winnow.metrics.active import Active


def evidence_of(p):
    p = np.array(p)
    return Evidence(dataset="hand", labels=np.zeros(p.shape[1], dtype=int), logits={1: np.log(p).astype(np.float32)})


def test_variation_ratio_by_hand():
    # Votes of three probes: all for class 0; two against one; one each.
    votes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2]])
    evidence = evidence_of(np.where(np.eye(3)[votes] == 1, 0.8, 0.1))
    assert Active()(evidence).values == pytest.approx([0, 1 / 3, 2 / 3])


def test_mutual_information_by_hand():
    # Equal probes know the same; two probes that contradict each other with certainty: H(½, ½) − 0.
    evidence = evidence_of([[[0.7, 0.3], [1, 1e-30]], [[0.7, 0.3], [1e-30, 1]]])
    assert Active(kind="mutual_information")(evidence).values == pytest.approx([0, log(2)], abs=1e-6)


def test_one_probe_has_nobody_to_disagree_with():
    for kind in ("variation_ratio", "mutual_information"):
        assert Active(kind=kind)(evidence_of([[[0.7, 0.3], [0.2, 0.8]]])).values == pytest.approx([0, 0], abs=1e-12)


def test_errors():
    with pytest.raises(OptionError, match="mutual_information"):
        Active(kind="entropy")
