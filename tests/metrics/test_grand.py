import numpy as np
import pytest
from scipy.special import softmax

from helpers.evidence import make_evidence
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics.grand import GraNd
from winnow.metrics.sensitivity import Sensitivity


def hand_made() -> Evidence:
    norms = np.array([[3, 1], [5, 0]], dtype=np.float32)
    return Evidence(
        dataset="hand", labels=np.array([0, 1]), gradient_norms={2: norms, 8: 2 * norms}, input_gradient_norms=norms
    )


def test_the_mean_over_probes():
    assert GraNd()(hand_made()).values.tolist() == [8, 1]
    assert GraNd(epoch=2)(hand_made()).values.tolist() == [4, 0.5]
    assert Sensitivity()(hand_made()).values.tolist() == [4, 0.5]


def test_last_layer_is_the_length_of_the_outer_product():
    evidence, onehot = make_evidence(), np.eye(4)[make_evidence().labels]
    expected = np.zeros(60)
    for logits, features in zip(evidence.logits_at(None), evidence.features, strict=True):
        error = softmax(logits.astype(float), axis=1) - onehot
        hidden = np.append(features.astype(float), np.ones((60, 1)), axis=1)
        expected += [np.linalg.norm(np.outer(e, h)) for e, h in zip(error, hidden, strict=True)]
    assert GraNd(parameters="last_layer")(evidence).values == pytest.approx(expected / 3, rel=1e-12)


def test_names_needs_and_errors():
    assert (GraNd().name, GraNd(parameters="last_layer").name) == ("grand", "grand[last_layer]")
    assert (GraNd(epoch=4).epochs, GraNd().needs) == ({4}, {"gradient_norms"})
    with pytest.raises(OptionError, match="last_layer"):
        GraNd(parameters="head")
    with pytest.raises(OptionError, match="belongs to parameters=all"):
        GraNd(parameters="last_layer", epoch=3)
    with pytest.raises(MissingEvidenceError, match="epoch 3"):
        GraNd(epoch=3)(hand_made())
    with pytest.raises(MissingEvidenceError, match="input_gradient_norms"):
        Sensitivity()(Evidence(dataset="hand", labels=np.zeros(1, dtype=int)))
