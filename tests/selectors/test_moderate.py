from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.evidence import embedded
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Subset
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.moderate import Moderate

# Two classes of five on a line each. Class 0: mean 4, distances 4 3 1 2 6, median 3. Class 1: the same, ten times as
# far apart: mean 40, distances 40 30 10 20 60, median 30.
LABELS = np.repeat([0, 1], 5)
LINE = np.array([0, 1, 3, 6, 10, 0, 10, 30, 60, 100.0])


def kept(
    line: NDArray[Any] = LINE, labels: NDArray[Any] = LABELS, *, r: float, seed: int = 0, **options: Any
) -> list[int]:
    subset = Moderate(**options).select(None, labels, r=r, seed=seed, evidence=embedded(line, labels))
    return subset.indices.tolist()


def test_the_median_distance_of_each_class_by_hand() -> None:
    # Away from the median of the class: 1 0 2 1 3 and 10 0 20 10 30.
    assert kept(r=0.2) == [1, 6]
    assert kept(r=0.4) == [0, 1, 3, 6]
    assert kept(r=0.6) == [0, 1, 2, 3, 4, 6]
    assert kept(r=0.6, balance="exact") == [0, 1, 3, 5, 6, 8]


def test_the_middle_of_one_ranking_by_hand() -> None:
    # All distances in order: 1 2 3 4 6 | 10 20 30 40 60, of examples 2 3 0 ...; the middle two are 6 and 10.
    assert kept(r=0.2, variant="paper") == [4, 7]
    assert kept(r=0.6, variant="paper") == [0, 1, 4, 6, 7, 8]
    assert kept(r=0.2, variant="paper", balance="exact") == [1, 6]


def test_the_official_centre_is_the_median_by_hand() -> None:
    # Class 0: median 3, distances 3 2 0 3 7; class 1 ten times that. In order: 0 0 2 3 3 | 7 20 30 30 70.
    assert kept(r=0.2, variant="official", balance="exact") in ([0, 5], [3, 5], [0, 8], [3, 8])
    labels = np.zeros(5, dtype=int)
    assert kept(LINE[:5], labels, r=0.2, variant="paper") == [1]  # the mean is 4
    # In order of distance from 3: example 2, 1, then 0 and 3, of which the seed chooses.
    assert {tuple(kept(LINE[:5], labels, r=0.2, variant="official", seed=seed)) for seed in range(9)} == {(0,), (3,)}


def test_distances_are_euclidean_in_all_coordinates() -> None:
    # A square around the origin, and twice and three times as far out two more each: distances √2, 2√2, 3√2.
    points = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1], [2, 2], [-2, -2], [3, 3], [-3, -3], [3, -3], [-3, 3]])
    assert kept(points, np.zeros(10, dtype=int), r=0.2) == [4, 5]


def test_equal_distances_are_chosen_by_seed_and_not_by_index() -> None:
    line, labels = np.tile([-1.0, 1.0], 500), np.zeros(1000, dtype=int)
    draws = [kept(line, labels, r=0.3, seed=seed) for seed in (0, 1)]
    assert draws[0] != draws[1]
    for draw in draws:
        assert abs(np.mean(np.array(draw) < 500) - 0.5) < 4 * 0.5 / np.sqrt(300)


def test_a_suspect_does_not_move_the_centre() -> None:
    scores = np.where(np.arange(10) == 4, 1.0, 0.0)
    subset = Moderate(drop_suspect=0.1).select(scores, LABELS, r=0.3, seed=0, evidence=embedded(LINE, LABELS))
    # Without 10, class 0 has mean 2.5 and distances 2.5 1.5 0.5 3.5: away from their median 2 by .5 .5 1.5 1.5.
    assert subset.indices.tolist() == [0, 1, 6]


def test_calibrated_takes_it_for_its_signal() -> None:
    subset: Subset = Calibrated(signal=Moderate()).select(
        None, LABELS, r=0.4, alpha=0.5, seed=0, evidence=embedded(LINE, LABELS)
    )
    assert subset.indices[subset.is_signal].tolist() == [1, 6]
    assert subset.weights.sum() == pytest.approx(4)


def test_rule_and_errors() -> None:
    assert Moderate().rule("el2n", 0.5) == "moderate[class]"
    assert Moderate(variant="official", balance="exact").rule(None, 0.5) == "moderate[official] balance=exact"
    with pytest.raises(OptionError, match="class, paper, official"):
        Moderate(variant="mean")
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        Moderate().select(None, LABELS, r=0.5, seed=0)
