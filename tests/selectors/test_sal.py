import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.selectors.design import Posterior
from winnow.selectors.g_optimal import GOptimal
from winnow.selectors.sal import SAL, expected_largest_uncertainty

LINEAR = SAL(model="linear", targets=None, epsilon=None)
EXACT = SAL(targets=None, epsilon=None)


def kept(selector, embeddings, logits=None, *, r, seed=0):
    labels = np.zeros(len(embeddings), dtype=int)
    evidence = Evidence(
        dataset="made-up",
        labels=labels,
        embeddings=np.asarray(embeddings, dtype=np.float32),
        logits=None if logits is None else {1: np.asarray(logits, dtype=np.float32)},
    )
    return selector.select(None, labels, r=r, seed=seed, evidence=evidence).indices.tolist()


def simulated_linear(x, count, *, rng):
    """SAL in Bayesian linear regression, step by step: draw labels, refit, predict every target with its variance."""
    truth, added, labels = rng.normal(size=x.shape[1]), [], []

    def fit(rows, outcomes):
        covariance = np.linalg.inv(np.eye(x.shape[1]) + x[rows].T @ x[rows])
        return covariance @ x[rows].T @ np.array(outcomes), covariance

    for _ in range(count):
        mean, covariance = fit(added, labels)
        worth = {}
        for i in set(range(len(x))) - set(added):
            spread = np.sqrt(1 + x[i] @ covariance @ x[i])
            draws = x[i] @ mean + spread * rng.normal(size=5)
            posteriors = [fit([*added, i], [*labels, label])[1] for label in draws]
            worth[i] = np.mean([max(t @ posterior @ t for t in x) for posterior in posteriors])
        best = min(worth, key=worth.get)
        added.append(best)
        labels.append(x[best] @ truth + rng.normal())
    return sorted(added)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_linear_model_it_is_g_optimal(seed):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(12, 3)).astype(np.float32)
    x = embeddings / np.sqrt((embeddings.astype(float) ** 2).sum(axis=1).mean())
    for count in (1, 3, 6):
        answer = simulated_linear(x, count, rng=rng)
        assert kept(LINEAR, embeddings, r=count / 12) == answer
        assert kept(GOptimal(), embeddings, r=count / 12) == answer


def slow_worth(x, log_p, added, i, *, ridge, targets):
    """The formulas of SAL for one candidate, with inverses and full matrices, one label and one target at a time."""
    p = np.exp(log_p)
    curvature = (1 - (p**2).sum(axis=1)) / (p.shape[1] - 1)
    precision = ridge * np.eye(x.shape[1]) + sum((curvature[j] * np.outer(x[j], x[j]) for j in added), 0)
    after = np.linalg.inv(precision + curvature[i] * np.outer(x[i], x[i]))
    worth = 0.0
    for y in range(p.shape[1]):
        weights_step = np.outer(after @ x[i], np.eye(p.shape[1])[y] - p[i])  # one Newton step, [d, C]
        uncertainties = []
        for t in range(targets):
            q = softmax(log_p[t] + x[t] @ weights_step)
            jacobian = np.diag(q) - np.outer(q, q)
            uncertainties.append((x[t] @ after @ x[t]) * (jacobian**2).sum())
        worth += p[i, y] * max(uncertainties)
    return worth


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize(("sharpness", "ridge"), [(1.0, 1.0), (4.0, 0.1), (8.0, 0.1)])
def test_logistic_against_full_matrices(classes, sharpness, ridge):
    rng = np.random.default_rng(classes)
    embeddings = rng.normal(size=(9, 3)).astype(np.float32)
    x = embeddings / np.sqrt((embeddings.astype(float) ** 2).sum(axis=1).mean())
    log_p = log_softmax(sharpness * rng.normal(size=(9, classes)), axis=1)
    curvature = (1 - np.exp(2 * log_p).sum(axis=1)) / (classes - 1)
    posterior = Posterior(embeddings, ridge=ridge, targets=6, tracked=6, curvature=curvature)
    for added in ([], [2], [2, 7]):
        for i in added[-1:]:
            posterior.add(i)
        slow = [slow_worth(x, log_p, added, i, ridge=ridge, targets=6) for i in range(9)]
        assert expected_largest_uncertainty(posterior, slice(None), log_p=log_p) == pytest.approx(slow, rel=1e-5)
        some = np.array([4, 0])
        assert expected_largest_uncertainty(posterior, some, log_p=log_p) == pytest.approx([slow[4], slow[0]], rel=1e-5)


def test_with_two_classes_the_curvature_is_that_of_the_full_model():
    rng = np.random.default_rng(8)
    embeddings = rng.normal(size=(7, 2)).astype(np.float32)
    x = embeddings / np.sqrt((embeddings.astype(float) ** 2).sum(axis=1).mean())
    log_p = log_softmax(2 * rng.normal(size=(7, 2)), axis=1)
    p, i = np.exp(log_p), 3

    def block(j):  # curvature of the weights [C d, C d], classes outside
        return np.kron(np.diag(p[j]) - np.outer(p[j], p[j]), np.outer(x[j], x[j]))

    covariance = np.linalg.inv(np.eye(4) + block(5) + block(i))
    worth = 0.0
    for y in range(2):
        step = covariance @ np.kron(np.eye(2)[y] - p[i], x[i])
        uncertainties = []
        for t in range(7):
            inputs = np.kron(np.eye(2), x[t])  # logits = inputs @ weights
            q = softmax(log_p[t] + inputs @ step)
            jacobian = np.diag(q) - np.outer(q, q)
            uncertainties.append(np.trace(jacobian @ inputs @ covariance @ inputs.T @ jacobian))
        worth += p[i, y] * max(uncertainties)

    posterior = Posterior(embeddings, ridge=1.0, targets=7, tracked=7, curvature=1 - (p**2).sum(axis=1))
    posterior.add(5)
    assert expected_largest_uncertainty(posterior, np.array([i]), log_p=log_p) == pytest.approx([worth], rel=1e-6)


def test_greedy_steps_by_the_slow_reference():
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(10, 3)).astype(np.float32)
    logits = rng.normal(size=(1, 10, 3)).astype(np.float32)
    x = embeddings / np.sqrt((embeddings.astype(float) ** 2).sum(axis=1).mean())
    log_p, added = log_softmax(logits[0].astype(float), axis=1), []
    for _ in range(5):
        worth = {i: slow_worth(x, log_p, added, i, ridge=1.0, targets=10) for i in set(range(10)) - set(added)}
        added.append(min(worth, key=worth.get))
    assert kept(EXACT, embeddings, logits, r=0.5) == sorted(added)
    assert kept(SAL(epsilon=1e-20), embeddings, logits, r=0.5) == sorted(added)


def test_a_label_that_is_foreseen_teaches_nothing():
    # Twins in each of three directions: of each pair the probe is sure of one. A linear model cannot tell them apart.
    embeddings = np.repeat(np.diag([3.0, 2.0, 1.0]), 2, axis=0)
    logits = np.zeros((1, 6, 2))
    logits[0, ::2, 0] = 20
    assert {tuple(kept(EXACT, embeddings, logits, r=1 / 6, seed=seed)) for seed in range(10)} == {(1,)}
    assert {tuple(kept(LINEAR, embeddings, logits, r=1 / 6, seed=seed)) for seed in range(10)} == {(0,), (1,)}


def test_the_probes_predictions_are_averaged():
    rng = np.random.default_rng(4)
    embeddings, logits = rng.normal(size=(30, 3)), rng.normal(size=(4, 30, 3)) * 2
    mean = np.log(softmax(logits, axis=2).mean(axis=0))
    assert kept(EXACT, embeddings, logits, r=0.3) == kept(EXACT, embeddings, mean[None], r=0.3)


def test_stays_finite_where_the_probe_is_sure_and_the_prior_wide():
    rng = np.random.default_rng(6)
    embeddings = rng.normal(size=(20, 3)).astype(np.float32)
    log_p = log_softmax(1000 * rng.normal(size=(20, 4)), axis=1)
    log_p[0] = np.log(0.25)
    curvature = (1 - np.exp(2 * log_p).sum(axis=1)) / 3
    posterior = Posterior(embeddings, ridge=1e-9, targets=20, tracked=20, curvature=curvature)
    worth = expected_largest_uncertainty(posterior, slice(None), log_p=log_p)
    assert np.all(np.isfinite(worth))
    assert np.all(worth >= 0)


def test_errors():
    with pytest.raises(OptionError, match=r"selector.model=probit .* logistic, linear"):
        SAL(model="probit")
    with pytest.raises(MissingEvidenceError, match="logits"):
        kept(SAL(), np.ones((4, 2)), r=0.5)
    assert (SAL().needs, LINEAR.needs) == ({"embeddings", "logits"}, {"embeddings"})
    assert (SAL().rule(None, 0.5), SAL(model="linear").rule(None, 0.5)) == ("sal", "sal linear")
