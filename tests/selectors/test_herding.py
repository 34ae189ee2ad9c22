import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.evidence import embedded
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.selectors.herding import Herding


def kept(points: NDArray[np.generic], *, m: int, seed: int = 0, **options: object) -> list[int]:
    evidence = embedded(points)
    subset = Herding(**options).select(None, evidence.labels, r=m / len(points), seed=seed, evidence=evidence)  # type: ignore[arg-type]
    return subset.indices.tolist()


def slow(points: NDArray[np.float64], m: int, variant: str) -> list[int]:
    """The definition: every candidate's mean, or inner product, anew in every step."""
    mean, chosen = points.mean(axis=0), []
    for t in range(m):
        total = points[chosen].sum(axis=0)
        if variant == "mean":
            value = -np.linalg.norm(mean - (total + points) / (t + 1), axis=1)
        else:
            value = points @ ((t + 1) * mean - total)
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
    return sorted(chosen)


def test_a_line_by_hand() -> None:
    # Mean 3. First 2, one away; then 4 is needed (2 + 4 = 6): 5 and 2 + 5 = 7 is closer to it than 2 + 1 and 2 + 7.
    # Third, 9 − 7 = 2 is needed: 1 is there. Fourth, 12 − 8 = 4 is needed, 0 and 7 are left, and 7 is closer.
    line = np.array([0, 1, 2, 5, 7])
    assert [kept(line, m=m) for m in (1, 2, 3, 4)] == [[2], [2, 3], [1, 2, 3], [1, 2, 3, 4]]
    # By inner product with w: 3 > 0 takes 7, w = 6 − 7 < 0 takes 0, w = 9 − 7 > 0 takes 5.
    assert [kept(line, m=m, variant="welling") for m in (1, 2, 3)] == [[4], [0, 4], [0, 3, 4]]


@pytest.mark.parametrize("variant", ["mean", "welling"])
@pytest.mark.parametrize("seed", range(5))
def test_every_step_is_the_best_of_eight(variant: str, seed: int) -> None:
    points = np.random.default_rng(seed).normal(1, 1, size=(8, 3)).astype(np.float32).astype(np.float64)
    for m in range(1, 9):
        assert kept(points, m=m, variant=variant) == slow(points, m, variant)


def test_both_variants_agree_where_all_are_equally_long() -> None:
    points = np.random.default_rng(0).gamma(2, size=(300, 8))
    mean = kept(points, m=40, normalise=True)
    assert mean == kept(points, m=40, variant="welling", normalise=True)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    assert mean == kept(points / lengths, m=40)
    assert mean != kept(points, m=40)


def test_its_mean_is_nearer_than_that_of_random_subsets() -> None:
    rng = np.random.default_rng(1)
    points = rng.gamma(2, size=(2000, 16))
    error = np.linalg.norm(points[kept(points, m=100)].mean(axis=0) - points.mean(axis=0))
    by_chance = [
        np.linalg.norm(points[rng.choice(2000, 100, replace=False)].mean(axis=0) - points.mean(axis=0))
        for _ in range(20)
    ]
    # A random mean is about 1/√m of the spread away, a herded one 1/m (Welling 2009).
    assert error < min(by_chance) / 3


def test_twins_are_chosen_by_seed_and_not_by_index() -> None:
    points = np.tile([[1.0, 0.0], [0.0, 1.0]], (500, 1))
    draws = [np.array(kept(points, m=300, seed=seed)) for seed in (0, 1)]
    assert not np.array_equal(*draws)
    for draw in draws:
        assert np.bincount(draw % 2).tolist() == [150, 150]
        assert abs(np.mean(draw < 500) - 0.5) < 4 * 0.5 / np.sqrt(300)


def test_an_embedding_of_length_zero_stays_where_it_is() -> None:
    assert kept(np.array([[0.0, 0], [1, 0], [-1, 0]]), m=1, normalise=True) == [0]


def test_rule_and_errors() -> None:
    assert Herding().rule("el2n", 0.3) == "herding"
    assert Herding(variant="welling", normalise=True).rule("el2n", 0.3) == "herding welling normalise=true"
    with pytest.raises(OptionError, match="mean, welling"):
        Herding(variant="farthest")
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        Herding().select(None, np.zeros(4), r=0.5, seed=0)
