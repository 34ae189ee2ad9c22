import numpy as np
import pytest

from winnow.selectors.design import Posterior, add_greedily, largest_variance

RNG = np.random.default_rng(5)


def unit(embeddings):
    x = np.asarray(embeddings, dtype=float)
    return x / np.sqrt((x**2).sum(axis=1).mean())


def inverse(x, added, *, ridge, curvature):
    return np.linalg.inv(ridge * np.eye(x.shape[1]) + sum((curvature[i] * np.outer(x[i], x[i]) for i in added), 0))


def brute_force(x, count, *, ridge, targets):
    """The greedy design with a matrix inverse for every candidate of every step."""
    added = []
    for _ in range(count):
        left = [i for i in range(len(x)) if i not in added]
        worth = []
        for i in left:
            covariance = inverse(x, [*added, i], ridge=ridge, curvature=np.ones(len(x)))
            worth.append(max(float(x[t] @ covariance @ x[t]) for t in range(targets)))
        added.append(left[int(np.argmin(worth))])
    return added


@pytest.mark.parametrize("curvature", [None, RNG.random(30)])
@pytest.mark.parametrize("tracked", [10, 30])
def test_rank_one_updates_keep_the_inverse(tracked, curvature):
    embeddings = RNG.normal(size=(30, 6)).astype(np.float32)
    posterior = Posterior(embeddings, ridge=0.3, targets=10, tracked=tracked, curvature=curvature)
    x, added = unit(embeddings), [3, 17, 3, 25, 0, 8]
    for i in added:
        posterior.add(i)
    covariance = inverse(x, added, ridge=0.3, curvature=np.ones(30) if curvature is None else curvature)
    every = np.einsum("ij,jk,ik->i", x, covariance, x)
    assert np.allclose(posterior.covariance, covariance, rtol=1e-6)
    assert np.allclose(posterior.target_variance, every[:10], rtol=1e-6)
    assert np.allclose(posterior.variance(slice(None)), every, rtol=1e-6)
    assert np.allclose(posterior.variance(np.array([4, 29])), every[[4, 29]], rtol=1e-6)
    some = posterior.covariances(np.array([4, 29]), slice(2, 5))
    assert np.allclose(some, x[[4, 29]] @ covariance @ x[2:5].T, rtol=1e-6)


@pytest.mark.parametrize("targets", [8, 3])
@pytest.mark.parametrize("ridge", [1.0, 0.01])
def test_every_step_is_the_brute_force_one(ridge, targets):
    for _ in range(5):
        embeddings = RNG.normal(size=(8, 3)).astype(np.float32)
        posterior = Posterior(embeddings, ridge=ridge, targets=targets, tracked=8)
        added = add_greedily(posterior, 7, largest_variance, epsilon=None, rng=RNG)
        assert added.tolist() == brute_force(unit(embeddings), 7, ridge=ridge, targets=targets)


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_the_targets_never_looked_at_do_not_matter(spread):
    # Lengths from equal to very unequal, so that the search stops after eight targets, or goes on.
    embeddings = RNG.normal(size=(400, 5))
    embeddings *= np.exp(spread * RNG.normal(size=(400, 1))) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    posterior = Posterior(embeddings.astype(np.float32), ridge=0.5, targets=400, tracked=400)
    for _ in range(12):
        variances = posterior.variance(slice(None))
        reduced = posterior.covariances(slice(None), slice(None)) ** 2 / (1 + variances[:, None])
        exact = (variances - reduced).max(axis=1)
        found = largest_variance(posterior, slice(None))
        assert found.min() == pytest.approx(exact.min(), rel=1e-9)
        assert exact[found.argmin()] == pytest.approx(exact.min(), rel=1e-9)
        assert np.all(found <= exact * (1 + 1e-9))
        posterior.add(int(found.argmin()))


def test_stochastic_greedy_draws_its_share_of_those_left():
    seen = []

    def criterion(posterior, candidates):
        seen.append(candidates)
        return -candidates.astype(float)

    posterior = Posterior(np.ones((100, 2), dtype=np.float32), ridge=1.0, targets=1, tracked=1)
    added = add_greedily(posterior, 20, criterion, epsilon=0.1, rng=np.random.default_rng(0))
    assert {drawn.size for drawn in seen} == {12}  # 100/20 · ln 10 = 11.5
    assert len(set(added.tolist())) == 20
    for step, drawn in enumerate(seen):
        assert added[step] == drawn.max()
        assert not set(drawn) & set(added[:step])
    assert len({tuple(sorted(drawn)) for drawn in seen}) == 20
