"""TRAK against its formula, written out densely, and on a trained toy."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from helpers.evidence import make_evidence
from helpers.training import CPU, tiny_dataset, tiny_probe, tiny_recipe
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics import gradient_features
from winnow.metrics.trak import TRAK
from winnow.pipeline.scoring import probe_dataset, score_dataset
from winnow.store.artifacts import ArtifactStore

DATASET = tiny_dataset(200, n_classes=4, hard=0.1, mislabelled=0.05)
PROBE = tiny_probe(members=2, epochs=8, recipe=tiny_recipe(lr=0.1))


def not_p(evidence: Evidence, member: int) -> np.ndarray:
    log_p = log_softmax(evidence.logits_at(None)[member].astype(float), axis=1)
    return 1 - np.exp(log_p[np.arange(evidence.n), evidence.labels])


def kernel(evidence: Evidence, damping: float) -> np.ndarray:
    """[n, n]: mean over probes of Φ (ΦᵀΦ + λ)⁻¹ Φᵀ, before the weights 1 − p."""
    total = 0
    for projected in evidence.projected_gradients:
        phi = projected.astype(np.float64)
        gram = phi.T @ phi
        total = total + phi @ np.linalg.inv(gram + damping * np.trace(gram) / len(gram) * np.eye(len(gram))) @ phi.T
    return total / len(evidence.projected_gradients)


def influences(evidence: Evidence, damping: float = 0.001) -> np.ndarray:
    """τ [targets, n]"""
    members = range(len(evidence.projected_gradients))
    return kernel(evidence, damping) * np.mean([not_p(evidence, k) for k in members], axis=0)


@pytest.mark.parametrize("rows", [8_192, 7])
def test_self_influence_is_the_diagonal(rows, monkeypatch):
    monkeypatch.setattr(gradient_features, "ROWS", rows)
    evidence = make_evidence()
    expected = np.diag(influences(evidence, 0.01))
    assert TRAK(damping=0.01)(evidence).values == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rows", [8_192, 7])
def test_the_influence_on_a_set_is_the_mean_of_its_rows_without_the_example(rows, monkeypatch):
    monkeypatch.setattr(gradient_features, "ROWS", rows)
    evidence, targets = make_evidence(), (3, 10, 41)
    tau = influences(evidence)
    expected = [np.mean([tau[j, i] for j in targets if j != i]) for i in range(evidence.n)]
    scores = TRAK(targets="set", indices=targets)(evidence).values
    assert scores == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def trained(store: ArtifactStore, projection: int) -> Evidence:
    metric = TRAK(projection=projection)
    reads = {"needs": metric.needs, "options": metric.pass_options}
    return probe_dataset(DATASET, probe=PROBE, **reads, store=store, trainer=CPU)


def test_the_example_itself_has_the_most_influence_on_it(store):
    """Of the trained toy, for at least 95% of examples: by the kernel already where it compresses, and by τ itself,
    whose weights favour the badly fitted, where it does not."""
    examples = np.arange(DATASET.n)
    assert (kernel(trained(store, 100), 0.001).argmax(axis=1) == examples).mean() >= 0.95
    assert (influences(trained(store, 1024)).argmax(axis=1) == examples).mean() >= 0.95


def test_wrong_labels_are_remembered_for_themselves_and_no_help_to_others(store):
    mislabelled = np.isin(np.arange(DATASET.n), DATASET.planted["mislabelled"])
    own, others = (
        score_dataset(DATASET, metric=metric, probe=PROBE, store=store, trainer=CPU).values
        for metric in (TRAK(projection=100), TRAK(projection=100, targets="set", fraction=1.0))
    )
    assert roc_auc_score(mislabelled, own) > 0.95
    assert others[mislabelled].mean() < others[~mislabelled].mean()
    assert own.min() >= 0
    assert own.max() <= 1


def test_the_pass_is_made_once_a_size_and_seed(store, monkeypatch):
    trained(store, 100)
    monkeypatch.setattr("winnow.probes.passes.pass_into", None)
    assert trained(store, 100).projected_gradients[1].shape == (DATASET.n, 100)
    with pytest.raises(TypeError):
        trained(store, 121)


def test_without_options_the_pass_has_its_defaults(store):
    evidence = probe_dataset(DATASET, probe=PROBE, needs=frozenset({"projected_gradients"}), store=store, trainer=CPU)
    same = TRAK().pass_options["projected_gradients"]
    assert evidence.projected_gradients[0].shape == (DATASET.n, same["size"])
    np.testing.assert_array_equal(evidence.projected_gradients[0], trained(store, same["size"]).projected_gradients[0])


def test_names_and_errors():
    assert (TRAK().name, TRAK(projection=256).name) == ("trak", "trak[projection=256]")
    assert TRAK(targets="set", indices=(4, 1, 1)).indices == (1, 4)
    assert TRAK(targets="set", indices=(1, 4)).name != TRAK(targets="set", indices=(1, 5)).name
    assert TRAK(projection=16, seed=3).pass_options == {"projected_gradients": {"size": 16, "seed": 3}}
    for options, message in (
        ({"projection": 1000}, "must be a square"),
        ({"fraction": 0.0}, "fraction"),
        ({"targets": "test"}, "self, set"),
        ({"damping": 0.0}, "positive"),
        ({"indices": (1, 2)}, "belong to metric.targets=set"),
    ):
        with pytest.raises(OptionError, match=message):
            TRAK(**options)
    for indices in ((7,), (3, 60), (-1, 3)):
        with pytest.raises(OptionError, match=r"0\.\.59"):
            TRAK(targets="set", indices=indices)(make_evidence())
    with pytest.raises(MissingEvidenceError, match="projected_gradients"):
        TRAK()(Evidence(dataset="hand", labels=np.zeros(2, dtype=int)))
