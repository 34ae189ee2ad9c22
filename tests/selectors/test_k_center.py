from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.evidence import embedded
from winnow.core.errors import MissingEvidenceError
from winnow.selectors.k_center import KCenter, farthest_first


def nearest_chosen(points: NDArray[np.float32], chosen: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """Before each choice but the first: the distance of every point to the nearest chosen one, in float64."""
    points, distances = points.astype(np.float64), np.full(len(points), np.inf)
    for last in chosen[:-1]:
        distances = np.minimum(distances, np.linalg.norm(points - points[last], axis=1))
        yield distances


def kept(points: NDArray[np.generic], *, r: float, seed: int = 0, balance: str | None = None) -> NDArray[np.int64]:
    evidence = embedded(points)
    return KCenter(balance=balance).select(None, evidence.labels, r=r, seed=seed, evidence=evidence).indices


def test_a_line_by_hand() -> None:
    # From 0 the farthest is 100. Then 40 (60 and 40 away) beats 20 and 7; then 70 (30, 30), then 20 (20), then 7 (7).
    line = np.array([0, 7, 20, 40, 70, 100], dtype=np.float32)[:, None]
    assert farthest_first(line, 6).tolist() == [0, 5, 3, 4, 2, 1]


@pytest.mark.parametrize("seed", range(10))
def test_every_step_is_the_farthest_of_eight(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(8, 3)).astype(np.float32)
    chosen = farthest_first(points, 8)
    assert chosen[0] == 0
    assert [int(distances.argmax()) for distances in nearest_chosen(points, chosen)] == chosen[1:].tolist()


@pytest.mark.parametrize("spread", [0.05, 1.0], ids=["clusters", "one cloud"])
def test_lazy_bounds_change_nothing(spread: float) -> None:
    # More points than one block, so that bounds do grow old.
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 12))
    points = (100 + centres[rng.integers(0, 20, 3000)] + spread * rng.normal(size=(3000, 12))).astype(np.float32)
    chosen = farthest_first(points, 200)
    assert np.unique(chosen).size == 200
    for distances, choice in zip(nearest_chosen(points, chosen), chosen[1:], strict=True):
        assert distances[choice] >= distances.max() * (1 - 1e-4)  # float32 squares of distances


def test_twice_the_best_radius_at_most() -> None:
    # Nine tight groups: nine centres cover them within the diameter of one group, so greedy takes one of each.
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(9), 20)
    corners = 100 * np.stack([groups % 3, groups // 3], axis=1)
    for seed in range(5):
        indices = kept(corners + rng.random((180, 2)), r=0.05, seed=seed)
        assert sorted(groups[indices]) == list(range(9))


def test_twins_come_last_and_are_chosen_by_seed() -> None:
    points = np.tile(np.random.default_rng(2).normal(size=(10, 4)), (100, 1))  # example i is the twin of i mod 10
    draws = [kept(points, r=0.01, seed=seed) for seed in range(4)]
    for draw in draws:
        assert sorted(draw % 10) == list(range(10))
    assert len({tuple(draw) for draw in draws}) == 4
    # When only twins are left, any of them may be next.
    assert abs(np.mean(kept(points, r=0.3) < 500) - 0.5) < 4 * 0.5 / np.sqrt(300)


def test_all_alike() -> None:
    draws = [kept(np.ones((50, 3)), r=0.2, seed=seed) for seed in (0, 1)]
    assert [draw.size for draw in draws] == [10, 10]
    assert not np.array_equal(*draws)


def test_the_start_is_drawn_by_seed_and_a_smaller_subset_is_part_of_a_larger() -> None:
    points = np.random.default_rng(3).normal(size=(60, 4))
    first = {int(kept(points, r=1 / 60, seed=seed)[0]) for seed in range(8)}
    assert len(first) > 3
    assert set(kept(points, r=0.1)) < set(kept(points, r=0.4))


def test_balance_covers_each_class_by_itself() -> None:
    line = np.concatenate([np.arange(10), 1000 * np.arange(10)])
    labels = np.repeat([0, 1], 10)
    everywhere = KCenter().select(None, labels, r=0.3, seed=0, evidence=embedded(line, labels)).indices
    assert np.sum(labels[everywhere] == 0) <= 1  # all of class 0 lies within 9 of the first example of class 1
    indices = KCenter(balance="exact").select(None, labels, r=0.3, seed=0, evidence=embedded(line, labels)).indices
    assert np.bincount(labels[indices]).tolist() == [3, 3]
    radius = np.abs(line[:, None] - line[indices]).min(axis=1)
    assert radius[:10].max() <= 3  # greedy from any start, by hand
    assert radius[10:].max() <= 3000


def test_rule_and_errors() -> None:
    assert KCenter().rule("el2n", 0.3) == "k_center"
    assert not KCenter().reads_scores
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        KCenter().select(None, np.zeros(4), r=0.5, seed=0)
