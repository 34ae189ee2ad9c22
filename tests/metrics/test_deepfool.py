import numpy as np
import pytest

from winnow.core.errors import MissingEvidenceError, OptionError, ShapeError
from winnow.core.types import Evidence
from winnow.metrics.deepfool import DeepFool


def evidence_of(distances) -> Evidence:
    distances = np.array(distances, dtype=np.float32)
    labels = np.zeros(distances.shape[1], dtype=int)
    return Evidence(dataset="hand", labels=labels, boundary_distances=distances)


def test_minus_the_mean_over_probes():
    assert DeepFool()(evidence_of([[3, 1], [5, 0]])).values.tolist() == [-4, -0.5]


def test_what_was_not_found_is_as_far_as_the_furthest_of_its_probe():
    assert DeepFool()(evidence_of([[3, np.inf, 1], [5, 7, np.inf]])).values.tolist() == [-4, -5, -4]


def test_names_options_and_errors():
    assert (DeepFool().name, DeepFool(classes=3).name) == ("deepfool", "deepfool[classes=3]")
    assert DeepFool(classes=3).pass_options == {"boundary_distances": {"classes": 3, "iterations": 50}}
    for options in ({"classes": 1}, {"iterations": 0}):
        with pytest.raises(OptionError, match="at least"):
            DeepFool(**options)
    with pytest.raises(MissingEvidenceError, match="boundary_distances"):
        DeepFool()(Evidence(dataset="hand", labels=np.zeros(1, dtype=int)))
    with pytest.raises(MissingEvidenceError, match="no boundary"):
        DeepFool()(evidence_of([[1, 2], [np.inf, np.inf]]))
    with pytest.raises(ShapeError, match="boundary_distances"):
        evidence_of([[1, np.nan]])
