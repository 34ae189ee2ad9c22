"""What the types that pass between the stages refuse, keep fixed and count."""

import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from helpers.evidence import make_evidence
from helpers.rows import make_row
from winnow.core.arrays import blocks
from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.core.types import Evidence, Scores, Subset, Trajectory

NAMES = [field.name for field in fields(Trajectory)]


def make_scores(values=(0.5, 1.5, 2.5), metric="made", dataset="up"):
    return Scores(values, metric=metric, dataset=dataset)


def make_subset(indices=(1, 4, 6), weights=(1.0, 1.0, 2.0), is_signal=(True, False, False), n=8):
    return Subset(indices, weights, is_signal, n)


def make_trajectory(shape=(2, 3), **changes):
    return Trajectory(**({name: np.zeros(shape, np.float32) for name in NAMES} | changes))


def make_probed(labels=(0, 1, 0), **parts):
    return Evidence(dataset="up", labels=np.array(labels), **parts)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0]], r"scores must be one number per example, shape \[n\]; got shape \[1, 2\]"),
        (3.0, r"got shape \[\]"),
        ([], "scores are empty"),
        ([0.0, np.nan, np.nan], "2 of 3 scores are not finite .first at index 1: nan"),
        ([0.0, 1.0, -np.inf], "1 of 3 scores are not finite .first at index 2: -inf"),
    ],
)
def test_bad_scores(values, message):
    with pytest.raises(ShapeError, match=message):
        make_scores(values)


def test_scores_are_float64_whatever_they_came_as():
    scores = make_scores(np.array([3, 1], dtype=np.int32))
    assert (scores.values.dtype, scores.values.tolist(), scores.n) == (np.float64, [3.0, 1.0], 2)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"indices": [[1, 4, 6]]}, r"subset indices must be one number per example.*\[1, 3\]"),
        ({"indices": [1.0, 4.0, 6.0]}, "subset indices must be integers; got float64"),
        ({"weights": [[1.0, 1.0, 1.0]]}, r"subset weights must be one number per example.*\[1, 3\]"),
        ({"is_signal": [[True, False, False]]}, r"is_signal must be one number per example.*\[1, 3\]"),
        ({"weights": [1.0, 1.0]}, "one entry per kept example; got 3, 2 and 3"),
        ({"is_signal": [True]}, "one entry per kept example; got 3, 3 and 1"),
        ({"indices": np.array([], dtype=int), "weights": [], "is_signal": []}, "must keep at least one example"),
        ({"indices": [4, 1, 6]}, r"sorted, unique and in \[0, 8\)"),
        ({"indices": [1, 4, 4]}, "sorted, unique"),
        ({"indices": [-1, 4, 6]}, r"in \[0, 8\)"),
        ({"indices": [1, 4, 8]}, r"in \[0, 8\)"),
        ({"weights": [1.0, 0.0, 2.0]}, "weights must be positive and finite; drop an example"),
        ({"weights": [1.0, -1.0, 2.0]}, "weights must be positive and finite"),
        ({"weights": [1.0, np.nan, 2.0]}, "weights must be positive and finite"),
        ({"weights": [1.0, np.inf, 2.0]}, "weights must be positive and finite"),
    ],
)
def test_bad_subsets(parts, message):
    with pytest.raises(ShapeError, match=message):
        make_subset(**parts)


def test_the_first_and_the_last_example_may_be_kept():
    assert make_subset(indices=[0, 3, 7]).m == 3


def test_the_full_subset_has_weight_one_and_no_signal():
    full = Subset.full(5)
    assert (full.indices.tolist(), full.weights.tolist(), full.n, full.m) == ([0, 1, 2, 3, 4], [1.0] * 5, 5, 5)
    assert not full.is_signal.any()


def test_effective_sample_size_by_hand():
    assert make_subset(weights=[1.0, 1.0, 2.0]).effective_sample_size == pytest.approx(16 / 6)
    assert make_subset(weights=[3.0, 3.0, 3.0]).effective_sample_size == pytest.approx(3)


def test_equal_subsets_have_equal_hashes_whatever_is_signal():
    one = make_subset()
    assert one.content_hash == make_subset(np.array([1, 4, 6], dtype=np.int32)).content_hash
    assert one.content_hash == make_subset(is_signal=(False, True, True)).content_hash
    assert one.content_hash != make_subset(weights=[1.0, 2.0, 1.0]).content_hash
    assert one.content_hash != make_subset(weights=[1.0, 1.0, np.nextafter(2.0, 3)]).content_hash
    assert one.content_hash != make_subset(indices=[1, 4, 7]).content_hash


def test_the_hash_of_scores_is_of_their_values():
    assert make_scores().content_hash == make_scores(metric="other", dataset="another").content_hash
    assert make_scores([1, 2]).content_hash == make_scores([1.0, 2.0]).content_hash
    assert make_scores([1.0, 2.0]).content_hash != make_scores([2.0, 1.0]).content_hash
    assert make_scores([1.0, 2.0]).content_hash != make_scores([1.0, np.nextafter(2.0, 3)]).content_hash


@pytest.mark.parametrize("name", NAMES[1:])
def test_trajectory_arrays_share_a_shape(name):
    message = rf"trajectory.{name} must be \[T, n\] or \[K, T, n\] like p_true \[2, 3\]; got \[2, 4\]"
    with pytest.raises(ShapeError, match=message):
        make_trajectory(**{name: np.zeros((2, 4))})


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4)])
def test_trajectories_have_two_or_three_axes(shape):
    with pytest.raises(ShapeError, match=r"trajectory.p_true must be \[T, n\] or \[K, T, n\]"):
        make_trajectory(shape)


@pytest.mark.parametrize("members", [1, 2])
def test_runs_stack_to_an_ensemble(members):
    runs = [make_trajectory((4, 3), loss=np.full((4, 3), k, np.float32)) for k in range(members)]
    ensemble = Trajectory.stack(runs)
    assert all(getattr(ensemble, name).shape == ensemble.shape == (members, 4, 3) for name in NAMES)
    assert ensemble.loss[:, 0, 0].tolist() == list(range(members))
    assert ensemble.epochs == runs[0].epochs == 4
    assert ensemble.runs == tuple(runs)
    assert runs[0].runs == (runs[0],)
    assert pickle.loads(pickle.dumps(ensemble)).loss.tolist() == ensemble.loss.tolist()
    with pytest.raises(AttributeError, match="Trajectory has no lost"):
        ensemble.lost  # noqa: B018


def test_an_ensemble_of_arrays_has_the_same_runs():
    loss = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    ensemble = make_trajectory((2, 4, 3), loss=loss)
    assert [run.shape for run in ensemble.runs] == [(4, 3), (4, 3)]
    np.testing.assert_array_equal(Trajectory.stack(ensemble.runs).loss, loss)
    np.testing.assert_array_equal(Trajectory.stack(ensemble.runs[1:]).loss, loss[1:])


@pytest.mark.parametrize("shapes", [[], [(4, 3), (5, 3)], [(2, 4, 3), (2, 4, 3)]])
def test_runs_that_are_no_ensemble(shapes):
    with pytest.raises(ShapeError, match=r"must all be \[T, n\], alike"):
        Trajectory.stack([make_trajectory(shape) for shape in shapes])


@pytest.mark.parametrize("most", [1, 3, 4, 10, 11, 100])
@pytest.mark.parametrize("n", [0, 1, 2, 4, 11, 31])
def test_blocks_cover_everything_once(n, most):
    parts = [np.arange(n)[part] for part in blocks(n, most)]
    assert np.concatenate([np.arange(0), *parts]).tolist() == list(range(n))
    assert all(min(n, 2) <= part.size <= max(most, 3) for part in parts)


NOT_PRESENTED = np.array([[[1, 0, 1], [1, -1, 1]]], dtype=np.int8)
SECOND_NOT_PRESENTED = Trajectory.stack([make_trajectory(), make_trajectory(correct=NOT_PRESENTED[0])])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"labels": [[0, 1, 0]]}, r"labels must be one number per example.*\[1, 3\]"),
        ({"labels": [0.0, 1.0, 0.0]}, "labels must be integers; got float64"),
        ({"trajectories": make_trajectory((2, 3))}, r"evidence.trajectories must be \[K, T, 3\]; got \[2, 3\]"),
        ({"trajectories": make_trajectory((1, 2, 4))}, r"evidence.trajectories must be \[K, T, 3\]; got \[1, 2, 4\]"),
        ({"trajectories": make_trajectory((1, 2, 3), correct=NOT_PRESENTED)}, "not presented in every epoch"),
        ({"trajectories": SECOND_NOT_PRESENTED}, "not presented in every epoch"),
        ({"logits": {5: np.zeros((3, 2))}}, r"evidence.logits\[5\] must be finite \[K, 3, C\]; got shape \[3, 2\]"),
        ({"logits": {5: np.zeros((1, 4, 2))}}, r"evidence.logits\[5\].*got shape \[1, 4, 2\]"),
        ({"logits": {4: np.zeros((1, 3, 2)), 5: np.full((1, 3, 2), np.inf)}}, r"logits\[5\].*lower recipe.lr"),
        ({"target_gradients": (np.zeros((0, 4)),)}, r"target_gradients must be \[t, P\], t > 0; got shape \[0, 4\]"),
        ({"target_gradients": (np.zeros(4),)}, r"target_gradients must be \[t, P\], t > 0; got shape \[4\]"),
    ],
)
def test_bad_evidence(parts, message):
    with pytest.raises(ShapeError, match=message):
        make_probed(**parts)


def test_logits_of_an_epoch_or_of_the_last():
    evidence = make_probed(logits={epoch: np.full((1, 3, 2), epoch) for epoch in (4, 12, 8)})
    assert evidence.logits_at(8)[0, 0, 0] == 8
    assert evidence.logits_at(None)[0, 0, 0] == 12
    with pytest.raises(MissingEvidenceError, match=r"after epoch 5; evaluated epochs: 4, 8, 12\..*add 5 to probe"):
        evidence.logits_at(5)


def test_evidence_that_was_not_recorded():
    with pytest.raises(MissingEvidenceError, match=r"reads logits; set probe\.evaluate_at"):
        make_probed().logits_at(None)
    with pytest.raises(MissingEvidenceError, match="reads trajectories"):
        make_probed().required_trajectories()
    trajectories = make_trajectory((1, 2, 3))
    assert make_probed(trajectories=trajectories).required_trajectories() is trajectories


def frozen_arrays():
    scores, subset, evidence = make_scores(), make_subset(), make_evidence()
    yield "scores", scores.values
    yield from ((name, getattr(subset, name)) for name in ("indices", "weights", "is_signal"))
    yield "labels", evidence.labels
    yield from ((name, getattr(evidence.trajectories, name)) for name in NAMES)


@pytest.mark.parametrize(("name", "array"), [pytest.param(*pair, id=pair[0]) for pair in frozen_arrays()])
def test_arrays_are_read_only(name, array):
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0


def test_the_array_that_was_given_stays_writable():
    values = np.zeros(3)
    make_scores(values)
    values[0] = 1


@pytest.mark.parametrize("value", [make_scores(), make_subset(), make_evidence(), make_trajectory(), make_row()])
def test_attributes_cannot_be_set(value):
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"error": 1.5}, "test_error=1.5"),
        ({"error": -0.1}, "test_error=-0.1"),
        ({"test_loss": float("nan")}, "test_loss=nan"),
        ({"n": 10, "n_kept": 11}, r"n_kept=11 must lie in 1\.\.10"),
        ({"n_kept": 0}, "n_kept=0"),
    ],
)
def test_a_row_of_impossible_numbers_says_what_is_wrong(fields, wrong):
    with pytest.raises(ShapeError, match=wrong):
        make_row(**fields)


def test_runs_without_changes_are_an_ensemble_without_them():
    without = {"change_kl": None, "change_abs": None}
    for ensemble in (Trajectory.stack([make_trajectory(**without)] * 2), make_trajectory((2, 2, 3), **without)):
        assert ensemble.change_kl is None
        assert ensemble.arrays().keys() == set(NAMES) - {"change_kl", "change_abs"}
        assert all(run.change_abs is None and run.loss.shape == (2, 3) for run in ensemble.runs)
        with pytest.raises(MissingEvidenceError, match=r"change_kl was not recorded.*probe\.changes=true"):
            ensemble.runs[0].required_change("change_kl")
