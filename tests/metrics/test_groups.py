import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from winnow.metrics.el2n import EL2N
from winnow.metrics.groups import by_groups, group_sizes
from winnow.metrics.memorization import Memorization
from winnow.metrics.ssp import SSP
from winnow.metrics.uncertainty import Uncertainty


def test_sizes_go_from_one_to_half():
    assert group_sizes(1) == []
    assert group_sizes(2) == group_sizes(3) == [1]
    assert group_sizes(5) == [1, 2]
    assert group_sizes(30) == [1, 2, 3, 5, 9, 15]


def test_groups_are_disjoint_and_score_alone():
    evidence = make_evidence(members=5)
    groups = dict(by_groups(EL2N(), evidence))
    assert {k: len(scores) for k, scores in groups.items()} == {1: 4, 2: 2}
    each = [EL2N()(evidence.member(k)).values for k in range(5)]
    np.testing.assert_array_equal(groups[1], [each[0], each[1], each[3], each[4]])
    np.testing.assert_allclose(groups[2][1], np.mean(each[2:4], axis=0))
    pairs = dict(by_groups(Uncertainty(), evidence))[2]
    np.testing.assert_array_equal(pairs[0], Uncertainty()(evidence.some_members(slice(0, 2))).values)


def test_models_of_parts_are_grouped_where_they_tell_of_every_example():
    evidence = only(make_evidence(), frozenset({"subset_runs"}))
    assert evidence.members == 40
    sizes = dict(by_groups(Memorization(), evidence))
    assert sizes[1] is None
    assert sizes[20] is not None
    assert sizes[20].shape == (2, 60)


def test_without_probes_there_are_no_groups():
    assert list(by_groups(SSP(), only(make_evidence(), frozenset({"embeddings"})))) == []
    assert list(by_groups(EL2N(), make_evidence(members=1))) == []


COUNTED = ["logits", "trajectories", "features", "gradient_norms", "input_gradient_norms", "target_gradients"]


@pytest.mark.parametrize("field", COUNTED)
def test_members_are_counted_in_every_field(field):
    assert only(make_evidence(members=4), frozenset({field})).some_members(slice(1, 3)).members == 2
