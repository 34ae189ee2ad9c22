from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evidence import make_evidence
from winnow.selectors import pool as pool_module
from winnow.selectors.keys import Keys
from winnow.selectors.pool import Pool


def pool_of(values, seed=0) -> Pool:
    values = np.asarray(values, dtype=float)
    keys = {name: Keys(seed=seed, names=(name,), n=values.size, held=False) for name in ("ties", "explore")}
    return Pool(values=values, labels=np.zeros(values.size, dtype=int), **keys, seed=seed, evidence=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.data())
def test_the_hardest_as_a_set_are_the_first_in_order(values, data):
    pool = pool_of(values, seed=data.draw(st.integers(0, 9)))
    members = np.flatnonzero(np.arange(len(values)) % 3 != 1)
    count = data.draw(st.integers(0, members.size))
    ordered = members[np.lexsort((pool.ties[members], -pool.values[members]))]
    assert pool.hardest(members, count).tolist() == sorted(ordered[:count])
    easiest = members[np.lexsort((pool.ties[members], pool.values[members]))]
    assert pool.hardest(members, count, -pool.values[members]).tolist() == sorted(easiest[:count])


def test_scores_are_moved_up_only_where_some_are_negative():
    pool = pool_of([3.0, 0.5, -2.0, 1.0])
    assert pool.positive_scores(np.arange(4)).tolist() == [5.0, 2.5, 0.0, 3.0]
    assert pool.positive_scores(np.array([0, 1])).tolist() == [3.0, 0.5]


@pytest.mark.parametrize("numbers_in_block", [1, 100, 10**6])
def test_means_over_training_are_those_of_the_whole_array(monkeypatch, numbers_in_block):
    monkeypatch.setattr(pool_module, "NUMBERS_IN_BLOCK", numbers_in_block)
    evidence = make_evidence()
    pool = replace(pool_of(np.zeros(evidence.n)), evidence=evidence)
    for members in (np.arange(evidence.n), np.flatnonzero(evidence.labels == 1), np.array([7])):
        p_true, margin = (getattr(evidence.trajectories, name)[..., members] for name in ("p_true", "margin"))
        assert np.array_equal(pool.mean_p_true(members), p_true.mean(axis=(0, 1), dtype=float))
        assert np.array_equal(pool.mean_p_true(members, 5), p_true[:, :5].mean(axis=(0, 1), dtype=float))
        assert np.array_equal(pool.suspicion(members, "aum"), -margin.mean(axis=(0, 1), dtype=float))


def test_a_stream_for_each_rule_stratum_and_seed():
    strata = np.array([0, 2]), np.array([1, 3])
    draws = [
        pool_of(np.zeros(4), seed).stream(rule, stratum).random()
        for seed in (0, 1)
        for rule in ("ccs", "beta")
        for stratum in strata
    ]
    assert len(set(draws)) == 8
    assert pool_of(np.zeros(4)).stream("ccs", strata[0]).random() == pytest.approx(draws[0], abs=0)
