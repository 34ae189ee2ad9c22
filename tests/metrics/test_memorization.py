import numpy as np
import pytest
from scipy.stats import binom

from helpers.evidence import make_evidence
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence, SubsetRuns
from winnow.metrics import influence
from winnow.metrics.influence import Influence
from winnow.metrics.inside_outside import share_variance
from winnow.metrics.memorization import Memorization


def evidence_of(membership, correct, test_correct=None) -> Evidence:
    membership = np.array(membership, dtype=bool)
    test_correct = np.zeros((len(membership), 1)) if test_correct is None else test_correct
    runs = SubsetRuns(membership=membership, correct=correct, test_correct=test_correct)
    return Evidence(dataset="hand", labels=np.zeros(membership.shape[1], dtype=int), subset_runs=runs)


# Example 0: right 2 of 2 times inside, 0 of 2 outside. Example 1: right 1 of 2 inside, 1 of 2 outside.
BY_HAND = evidence_of([[1, 1], [1, 0], [0, 1], [0, 0]], [[1, 1], [1, 1], [0, 0], [0, 0]])


def test_memorization_by_hand():
    scores = Memorization()(BY_HAND)
    assert scores.values.tolist() == [1, 0]
    # Two models each: 2 of 2 count as 2.5/3 and 0 of 2 as 0.5/3, 1 of 2 as 1/2; over k − 1 = 1.
    assert scores.standard_error == pytest.approx([np.sqrt(2 * 2.5 * 0.5) / 3, np.sqrt(0.25 + 0.25)])


def test_the_variance_of_a_share_is_on_average_no_less_than_the_truth():
    for models in range(2, 40):
        count = np.arange(models + 1)
        for p in np.linspace(0, 1, 21):
            expected = binom.pmf(count, models, p) @ share_variance(count, models)
            assert expected >= p * (1 - p) / models - 1e-12
            assert expected <= p * (1 - p) / models + 1 / models**2  # and hardly more
    assert share_variance(np.array([0, 1]), 1).tolist() == [0.25, 0.25]


def slow(runs: SubsetRuns, targets: str) -> np.ndarray:
    """The influence matrix by its definition, one pair at a time."""
    right = runs.correct if targets == "held_out" else runs.test_correct
    matrix = np.zeros((runs.membership.shape[1], right.shape[1]))
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            told = ~runs.membership[:, j] if targets == "held_out" else np.ones(len(right), dtype=bool)
            inside, outside = told & runs.membership[:, i], told & ~runs.membership[:, i]
            if inside.any() and outside.any() and not (targets == "held_out" and i == j):
                matrix[i, j] = right[inside, j].mean() - right[outside, j].mean()
    return matrix


@pytest.mark.parametrize("block", [4_096, 7])
@pytest.mark.parametrize("targets", ["held_out", "test"])
def test_influence_against_the_definition(targets, block, monkeypatch):
    monkeypatch.setattr(influence, "BLOCK", block)
    evidence = make_evidence()
    matrix = slow(evidence.subset_runs, targets)
    assert Influence(targets=targets)(evidence).values == pytest.approx(np.abs(matrix).sum(axis=1), rel=1e-5)
    largest = Influence(targets=targets, aggregate="max")(evidence).values
    assert largest == pytest.approx(matrix.max(axis=1), rel=1e-5)


def test_memorization_against_the_definition():
    evidence = make_evidence()
    runs = evidence.subset_runs
    expected = [
        runs.correct[runs.membership[:, i], i].mean() - runs.correct[~runs.membership[:, i], i].mean()
        for i in range(evidence.n)
    ]
    assert Memorization()(evidence).values == pytest.approx(expected, rel=1e-12)


def test_the_standard_error_is_that_of_repeated_ensembles():
    rng = np.random.default_rng(0)
    inside, outside = 0.9, 0.3

    def drawn(models=60):
        membership = rng.random((models, 1)) < 0.7
        return Memorization()(evidence_of(membership, rng.random((models, 1)) < np.where(membership, inside, outside)))

    repeats = [drawn() for _ in range(600)]
    assert np.mean([s.values for s in repeats]) == pytest.approx(inside - outside, abs=0.02)
    spread = np.std([s.values for s in repeats])
    assert np.sqrt(np.mean([s.standard_error**2 for s in repeats])) == pytest.approx(spread, rel=0.1)


def test_an_example_that_is_never_in_or_never_out_is_counted():
    for metric in (Memorization(), Influence()):
        with pytest.raises(MissingEvidenceError, match="of 3 examples 1 are in no model's part and 1 in every"):
            metric(evidence_of([[1, 0, 1], [1, 0, 0]], np.ones((2, 3))))


def test_errors():
    with pytest.raises(OptionError, match="sum_abs"):
        Influence(aggregate="mean")
    with pytest.raises(OptionError, match="held_out"):
        Influence(targets="train")
    with pytest.raises(MissingEvidenceError, match="subset_runs"):
        Memorization()(Evidence(dataset="hand", labels=np.zeros(2, dtype=int)))
    assert Influence(targets="test").reads_test_set
    assert not Influence().reads_test_set
