import numpy as np
import pytest

from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.selectors.d2 import D2, neighbour_graph

HALF = np.log(2)  # exp(−HALF d²) = 2^(−d²)


def kept(selector, scores, embeddings, *, r, seed=0):
    labels = np.zeros(len(scores), dtype=int)
    evidence = Evidence(dataset="made-up", labels=labels, embeddings=np.asarray(embeddings, dtype=np.float32))
    return selector.select(scores, labels, r=r, seed=seed, evidence=evidence).indices.tolist()


# On a line at 0, 1 and 3, k = 1 joins 0 and 1 (d² = 1, weight 1/2) and 1 and 3 (d² = 4, weight 1/16).
LINE = [[0.0], [1.0], [3.0]]


def test_forward_and_reverse_by_hand():
    # u = 4 + 3/2, 3 + 4/2 + 2/16, 2 + 3/16 = 5.5, 5.125, 2.1875. Keeping the first leaves the second
    # 5.125 − 5.5/2 = 2.375 with gamma_r = ln 2, and 5.125 − 5.5 < 0 with gamma_r = 0.
    scores = [4.0, 3.0, 2.0]
    options = {"k": 1, "gamma_f": HALF, "distance": "raw"}
    assert kept(D2(gamma_r=HALF, **options), scores, LINE, r=2 / 3) == [0, 1]
    assert kept(D2(gamma_r=0, **options), scores, LINE, r=2 / 3) == [0, 2]


def test_hard_neighbours_make_an_example_more_important():
    # u = 4 + 3/2, 3 + 4/2, and 4.5 alone: the hardest comes last.
    scores, embeddings = [4.0, 3.0, 4.5, 0.0], [[0.0], [1.0], [50.0], [60.0]]
    options = {"k": 1, "gamma_f": HALF, "distance": "raw"}
    assert kept(D2(gamma_r=1e9, **options), scores, embeddings, r=0.5) == [0, 1]
    assert kept(D2(gamma_r=1e9, **options | {"gamma_f": 1e9}), scores, embeddings, r=0.5) == [0, 2]


def test_relative_distances_are_in_units_of_the_mean_edge():
    # The mean d² of the two edges is 5/2.
    scores = [4.0, 3.0, 2.0]
    for gamma_r, answer in ((HALF, [0, 1]), (0, [0, 2])):
        selector = D2(k=1, gamma_f=2.5 * HALF, gamma_r=2.5 * gamma_r)
        assert kept(selector, scores, LINE, r=2 / 3) == answer
        assert kept(selector, scores, 1000 * np.array(LINE), r=2 / 3) == answer


def slow(scores, embeddings, count, *, k, gamma_f, gamma_r):
    """The rule on dense matrices, with a full search at every step."""
    x = np.array(scores) - min(0, min(scores))
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=2).astype(float)
    np.fill_diagonal(squared, np.inf)
    nearest = np.argsort(squared, axis=1)[:, :k]
    np.fill_diagonal(squared, 0)
    joined = np.zeros(squared.shape, dtype=bool)
    joined[np.arange(len(x))[:, None], nearest] = True
    joined |= joined.T
    squared /= squared[joined].mean()
    u = x + np.where(joined, np.exp(-gamma_f * squared), 0) @ x
    chosen = []
    for _ in range(count):
        i = max(set(range(len(x))) - set(chosen), key=lambda j: u[j])
        chosen.append(i)
        u = u - np.where(joined[i], np.exp(-gamma_r * squared[i]), 0) * max(u[i], 0)
    return sorted(chosen)


@pytest.mark.parametrize("gamma_r", [0.0, 0.3, 3.0])
@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (5, 0.0), (5, -2.0), (39, 0.0)])
def test_against_the_dense_rule(k, shift, gamma_r):
    rng = np.random.default_rng(k)
    scores, embeddings = rng.exponential(size=40) + shift, rng.normal(size=(40, 3)).astype(np.float32)
    for count in (4, 20, 36):
        answer = slow(scores, embeddings, count, k=k, gamma_f=1.0, gamma_r=gamma_r)
        assert kept(D2(k=k, gamma_r=gamma_r), scores, embeddings, r=count / 40) == answer


def test_negative_scores_are_read_as_their_height_above_the_lowest():
    rng = np.random.default_rng(0)
    scores, embeddings = rng.normal(size=50), rng.normal(size=(50, 4))
    assert kept(D2(), scores, embeddings, r=0.3) == kept(D2(), scores - scores.min(), embeddings, r=0.3)


def test_the_graph_is_sparse_symmetric_and_joins_equal_examples():
    embeddings = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32) + 100
    embeddings[:9] = embeddings[0]  # more equal ones than neighbours
    graph = neighbour_graph(embeddings, 4)
    dense = graph.toarray()
    assert graph.nnz <= 2 * 4 * 30
    assert np.array_equal(dense, dense.T)
    assert graph.diagonal().max() == 0
    degree = np.diff(graph.indptr)
    assert degree.min() >= 4
    for i in range(9):
        assert (graph.data[graph.indptr[i] : graph.indptr[i + 1]] == 0).sum() >= 4
    squared = ((embeddings[:, None].astype(float) - embeddings[None]) ** 2).sum(axis=2)
    assert np.allclose(dense, np.where(dense > 0, squared, 0), rtol=1e-5)


def test_equal_examples_are_taken_by_seed():
    first_half = [np.mean(np.array(kept(D2(), np.ones(40), np.ones((40, 3)), r=0.5, seed=s)) < 20) for s in range(20)]
    assert len(set(first_half)) > 1
    assert abs(np.mean(first_half) - 0.5) < 0.1


def test_errors():
    for options in ({"k": 0}, {"gamma_f": -1.0}, {"gamma_r": float("nan")}, {"distance": "cosine"}, {"beta": 1.0}):
        with pytest.raises(OptionError, match=f"selector.{next(iter(options))}"):
            D2(**options)
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        D2().select([1.0, 2.0, 3.0], [0, 0, 0], r=0.5, seed=0)
    for options in ({"gamma_f": 2.0}, {"distance": "raw"}):
        with pytest.raises(OptionError, match="variant=gaussian"):
            D2(variant="official", **options)
    assert D2().rule("el2n", 0.5) == "el2n d2[relative]"
    assert D2(distance="raw", k=3).rule("el2n", 0.5) == "el2n d2[raw] k=3"
    recipe = {"gamma_r": 0.1, "beta": 0.4, "cut_by": "aum", "strata": 25}
    assert D2(variant="official", **recipe).rule("aum", 0.5) == (
        "aum d2[official,cut by aum] gamma_r=0.1 beta=0.4 strata=25"
    )


# At 0, 1 and 3 with k = 1: d = 1 and 2, weights 1/e and 1/e².
def test_the_official_sampler_by_hand():
    e = np.e
    scores = np.array([4.0, 3.0, 0.0])
    u, messages = D2(variant="official", k=1, gamma_r=HALF).importance(scores, np.array(LINE, dtype=np.float32))
    assert u == pytest.approx([4 + 3 / e, 3 + 4 / e + 1e-7 / e**2, 3 / e**2])
    assert messages.toarray() == pytest.approx(np.array([[0, 1 / 2, 0], [1 / 2, 0, 1 / 4], [0, 1 / 4, 0]]))
    # Keeping the first leaves the second 4.47 - 5.10/2; with gamma_r = 0 the difference, which is negative.
    assert kept(D2(variant="official", k=1, gamma_r=HALF), scores, LINE, r=2 / 3) == [0, 1]
    assert kept(D2(variant="official", k=1, gamma_r=0), scores, LINE, r=2 / 3) == [0, 2]


def official(scores, embeddings, count, *, k, gamma_r):
    """The authors' rule on dense matrices, with a full search at every step."""
    distance = np.sqrt(((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=2).astype(float))
    np.fill_diagonal(distance, 1e9)
    joined = np.zeros(distance.shape, dtype=bool)
    joined[np.arange(len(scores))[:, None], np.argsort(distance, axis=1)[:, :k]] = True
    joined |= joined.T
    u = scores + np.where(joined, np.exp(-distance), 0) @ np.maximum(scores, 1e-7)
    chosen = []
    for _ in range(count):
        i = max(set(range(len(scores))) - set(chosen), key=lambda j: u[j])
        chosen.append(i)
        u = u - np.where(joined[i], np.exp(-gamma_r * distance[i]), 0) * u[i]
    return sorted(chosen)


@pytest.mark.parametrize("gamma_r", [0.0, 0.1, 1.0])
def test_the_official_sampler_against_the_dense_rule(gamma_r):
    rng = np.random.default_rng(4)
    scores, embeddings = rng.exponential(size=40), rng.normal(size=(40, 3)).astype(np.float32)
    for count in (4, 20, 36):  # at 36 negative ones are kept, and raise their neighbours
        answer = official(scores, embeddings, count, k=5, gamma_r=gamma_r)
        assert kept(D2(variant="official", gamma_r=gamma_r), scores, embeddings, r=count / 40) == answer


def test_the_hardest_are_cut_and_strata_share_the_budget():
    rng = np.random.default_rng(5)
    scores, embeddings = rng.permutation(np.arange(40.0)), rng.normal(size=(40, 3))
    for variant in ("gaussian", "official"):
        chosen = scores[kept(D2(variant=variant, beta=0.25, strata=3), scores, embeddings, r=0.3)]
        assert np.histogram(chosen, bins=[0, 10, 20, 30, 40])[0].tolist() == [4, 4, 4, 0]
    small = D2(variant="official", strata=8)  # of five examples, no more than k, which are drawn at random
    drawn = [kept(small, scores, embeddings, r=0.4, seed=seed) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert [np.histogram(scores[one], bins=8, range=(0, 39))[0].tolist() for one in drawn] == [[2] * 8] * 2
    assert D2(beta=0.1, cut_by="aum").needs == {"embeddings", "trajectories"}
    assert D2(cut_by="aum").needs == {"embeddings"}
