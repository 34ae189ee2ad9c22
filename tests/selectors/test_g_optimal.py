import numpy as np
import pytest

from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.selectors.g_optimal import GOptimal


def kept(selector, embeddings, *, r, seed=0):
    labels = np.zeros(len(embeddings), dtype=int)
    evidence = Evidence(dataset="made-up", labels=labels, embeddings=np.asarray(embeddings, dtype=np.float32))
    return selector.select(None, labels, r=r, seed=seed, evidence=evidence).indices.tolist()


def test_each_direction_is_covered_by_hand():
    # Lengths 3, 2 and 1 along three axes, twice each, ridge 1 in units of the mean square 14/3. Keeping a 3 leaves
    # variance 27/14 / (1 + 27/14) = 0.66 along the first axis, below the second's 12/14, which is next; then the first
    # again, as half of 27/14 is more than the third's 3/14.
    axes = np.repeat(np.diag([3.0, 2.0, 1.0]), 2, axis=0)
    first, second, third = (kept(GOptimal(), axes, r=count / 6) for count in (1, 2, 3))
    assert first in ([0], [1])
    assert np.array_equal(np.array(second) // 2, [0, 1])
    assert np.array_equal(np.array(third) // 2, [0, 0, 1])


def test_the_units_of_embeddings_do_not_matter():
    embeddings = np.random.default_rng(0).normal(size=(60, 4))
    assert kept(GOptimal(), embeddings, r=0.3) == kept(GOptimal(), 1000 * embeddings, r=0.3)


def test_looking_at_all_candidates_is_greedy_itself():
    embeddings = np.random.default_rng(1).normal(size=(60, 4))
    assert kept(GOptimal(epsilon=1e-20), embeddings, r=0.3) == kept(GOptimal(), embeddings, r=0.3)


def test_lowers_the_largest_variance_below_random():
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(300, 10)) * np.exp(rng.normal(size=(300, 1)))

    def largest(indices):
        x = embeddings / np.sqrt((embeddings**2).sum(axis=1).mean())
        covariance = np.linalg.inv(np.eye(10) + x[indices].T @ x[indices])
        return np.einsum("ij,jk,ik->i", x, covariance, x).max()

    at_random = min(largest(rng.choice(300, 30, replace=False)) for _ in range(50))
    for selector in (GOptimal(), GOptimal(targets=150, epsilon=0.1)):
        assert largest(kept(selector, embeddings, r=0.1)) < at_random


def test_equal_examples_are_taken_by_seed():
    first_half = [np.mean(np.array(kept(GOptimal(), np.ones((40, 3)), r=0.5, seed=s)) < 20) for s in range(20)]
    assert len(set(first_half)) > 1
    assert abs(np.mean(first_half) - 0.5) < 0.1


def test_errors():
    for options in ({"ridge": 0.0}, {"targets": 0}, {"epsilon": 0.0}, {"epsilon": 1.0}):
        with pytest.raises(OptionError, match=f"selector.{next(iter(options))}"):
            GOptimal(**options)
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        GOptimal().select(None, [0, 0, 0], r=0.5, seed=0)
    assert (GOptimal().rule(None, 0.5), GOptimal().reads_scores) == ("g_optimal", False)
