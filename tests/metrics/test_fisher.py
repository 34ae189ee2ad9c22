import numpy as np
import pytest
from scipy.special import softmax

from helpers.evidence import make_evidence
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics import base
from winnow.metrics.fisher import Fisher


def slow(evidence, damping):
    """The definition, one gradient matrix an example."""
    total = np.zeros(evidence.n)
    onehot = np.eye(evidence.logits_at(None).shape[2])[evidence.labels]
    for logits, features in zip(evidence.logits_at(None), evidence.features, strict=True):
        error = softmax(logits.astype(float), axis=1) - onehot
        gradients = error[:, :, None] * np.append(features, np.ones((evidence.n, 1)), axis=1)[:, None, :]
        fisher = np.square(gradients).mean(axis=0)
        total += (np.square(gradients) / (fisher + damping * fisher.mean())).sum(axis=(1, 2))
    return total / len(evidence.features)


@pytest.mark.parametrize("rows", [65_536, 7])
def test_against_the_definition(rows, monkeypatch):
    monkeypatch.setattr(base, "ROWS_IN_BLOCK", rows)
    evidence = make_evidence()
    assert Fisher(damping=0.01)(evidence).values == pytest.approx(slow(evidence, 0.01), rel=1e-9)


def test_one_parameter_that_is_rare_weighs_more():
    # Two examples of the same error; the feature of the first is also every other's, that of the second its own.
    features = np.eye(2, dtype=np.float32)[[0, 1, 0, 0, 0]]
    logits = np.zeros((1, 5, 2), dtype=np.float32)
    evidence = Evidence(dataset="hand", labels=np.zeros(5, dtype=int), logits={1: logits}, features=(features,))
    common, rare, *_ = Fisher()(evidence).values
    assert rare > 1.5 * common


def test_errors():
    with pytest.raises(OptionError, match="damping"):
        Fisher(damping=0)
    with pytest.raises(MissingEvidenceError, match="features"):
        Fisher()(Evidence(dataset="hand", labels=np.zeros(1, dtype=int), logits={1: np.zeros((1, 1, 2))}))
