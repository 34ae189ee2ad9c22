import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.evidence import embedded
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.selectors.facility_location import FacilityLocation, lazy_greedy, similarities


def cosines(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The dense similarities, by the definition."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    dense = np.maximum(unit @ unit.T, 0)
    np.fill_diagonal(dense, 1)
    return dense


def value(dense: NDArray[np.float64], chosen: list[int]) -> float:
    """F(S), the definition."""
    return float(dense[:, chosen].max(axis=1).sum())


def slow(dense: NDArray[np.float64], count: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(count):
        left = [j for j in range(len(dense)) if j not in chosen]
        chosen.append(max(left, key=lambda j: value(dense, [*chosen, j])))
    return chosen


def cloud(seed: int, n: int, d: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("seed", range(10))
def test_every_step_is_the_best_of_eight(seed: int) -> None:
    points = cloud(seed, 8)
    assert lazy_greedy(similarities(points, 8), 8)[:5].tolist() == slow(cosines(points), 5)


@pytest.mark.parametrize("neighbours", [200, 1000])
def test_all_neighbours_are_the_dense_problem(neighbours: int) -> None:
    points = cloud(0, 200, 6)
    dense = cosines(points)
    graph = similarities(points, neighbours)
    assert np.allclose(graph.toarray(), dense, atol=1e-6)
    # Beyond some tens, all are covered so well that gains agree to the rounding of float32.
    assert lazy_greedy(graph, 30).tolist() == slow(dense, 30)


def test_greedy_reaches_its_share_of_the_best_subset() -> None:
    for seed in range(5):
        dense = cosines(cloud(seed, 10))
        best = max(value(dense, list(subset)) for subset in itertools.combinations(range(10), 3))
        found = value(dense, lazy_greedy(similarities(cloud(seed, 10), 10), 3).tolist())
        assert (1 - 1 / np.e) * best <= found <= best + 1e-9


@pytest.mark.parametrize("neighbours", [2, 5, 20])
def test_what_the_graph_leaves_out_is_bounded_as_documented(neighbours: int) -> None:
    points = cloud(1, 150, 5)
    dense, graph = cosines(points), similarities(points, neighbours).toarray()
    assert np.all((graph > 0).sum(axis=1) <= neighbours)
    chosen = lazy_greedy(similarities(points, neighbours), 15).tolist()
    whole, part = value(dense, chosen), value(graph, chosen)
    farthest = np.sort(dense, axis=1)[:, -neighbours]
    alone = graph[:, chosen].max(axis=1) == 0
    assert part - 1e-4 <= whole <= part + farthest[alone].sum() + 1e-4
    # Where a kept example is a neighbour, nothing outside is more similar.
    assert np.allclose(graph[:, chosen].max(axis=1)[~alone], dense[:, chosen].max(axis=1)[~alone], atol=1e-6)


def test_one_of_each_group_first() -> None:
    rng = np.random.default_rng(2)
    groups = rng.permutation(np.arange(120) % 6)
    evidence = embedded(np.eye(6)[groups] * 5 + 0.1 * rng.normal(size=(120, 6)))
    for seed in range(3):
        subset = FacilityLocation().select(None, evidence.labels, r=0.05, seed=seed, evidence=evidence)
        assert sorted(groups[subset.indices]) == list(range(6))


def test_twins_beyond_the_neighbours_are_chosen_by_seed_and_not_by_index() -> None:
    points = np.tile([[1.0, 0.0], [0.0, 1.0]], (500, 1))
    evidence = embedded(points)
    selector = FacilityLocation(neighbours=4)
    draws = [selector.select(None, evidence.labels, r=0.3, seed=seed, evidence=evidence).indices for seed in (0, 1)]
    assert not np.array_equal(*draws)
    for draw in draws:
        assert abs(np.mean(draw < 500) - 0.5) < 4 * 0.5 / np.sqrt(300)
    assert np.all(similarities(points.astype(np.float32), 4).diagonal() == 1)


def test_all_alike() -> None:
    evidence = embedded(np.ones((50, 3)))
    draws = [
        FacilityLocation().select(None, evidence.labels, r=0.2, seed=seed, evidence=evidence).indices for seed in (0, 1)
    ]
    assert [draw.size for draw in draws] == [10, 10]
    assert not np.array_equal(*draws)


def test_a_smaller_subset_is_part_of_a_larger() -> None:
    evidence = embedded(cloud(3, 100))
    small, large = (
        FacilityLocation(neighbours=10).select(None, evidence.labels, r=r, seed=0, evidence=evidence).indices
        for r in (0.1, 0.4)
    )
    assert set(small) < set(large)


def test_rule_and_errors() -> None:
    assert FacilityLocation().rule("el2n", 0.3) == "facility_location"
    assert FacilityLocation(neighbours=8).rule("el2n", 0.3) == "facility_location neighbours=8"
    with pytest.raises(OptionError, match="neighbours=0"):
        FacilityLocation(neighbours=0)
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        FacilityLocation().select(None, np.zeros(4), r=0.5, seed=0)
