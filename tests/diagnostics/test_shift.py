import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from winnow.core.errors import MismatchError, OptionError, ShapeError
from winnow.core.seeds import derive
from winnow.core.types import Scores, Subset
from winnow.diagnostics import distances
from winnow.diagnostics.distances import coverage, energy_distance, sliced_wasserstein, total_variation
from winnow.diagnostics.shift import Shift
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.threshold import Threshold


def pooled(x, y, x_weights=None, y_weights=None):
    """Two samples as points and one difference of masses."""
    masses = [np.ones(len(z)) if w is None else np.asarray(w, float) for z, w in ((x, x_weights), (y, y_weights))]
    difference = np.concatenate([masses[0] / masses[0].sum(), -masses[1] / masses[1].sum()])
    return np.concatenate([x, y]).reshape(len(difference), -1).astype(float), difference[None]


def kept(indices, n, weights=None):
    indices = np.asarray(indices)
    weights = np.ones(indices.size) if weights is None else np.asarray(weights, float)
    return Subset(indices, weights, np.zeros(indices.size, bool), n)


samples = st.lists(st.integers(-20, 20), min_size=1, max_size=8).map(np.array)


@settings(deadline=None)  # the first call loads scipy.stats
@given(samples, samples, st.integers(0, 1000))
def test_in_one_dimension_they_are_scipys(x, y, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 3, x.size), rng.uniform(0.1, 3, y.size)
    points, difference = pooled(x, y, *weights)
    (energy,) = energy_distance(points, difference)
    # Squared: the root of a rounding error of 1e-10, where the samples are alike, is 1e-5.
    assert energy**2 == pytest.approx(stats.energy_distance(x, y, *weights) ** 2, rel=1e-6, abs=1e-6)
    for direction in (1.0, -1.0):
        (wasserstein,) = sliced_wasserstein(points, difference, np.array([[direction]]))
        assert wasserstein == pytest.approx(stats.wasserstein_distance(x, y, *weights), abs=1e-9)


def test_two_points_by_hand():
    # Masses of one at 0 and at (3, 4): E‖X − Y‖ = 5 and nothing within, so √10; projected on the axes 3 and 4.
    points, difference = pooled(np.zeros((1, 2)), np.array([[3.0, 4.0]]))
    assert energy_distance(points, difference) == pytest.approx([np.sqrt(10)])
    assert sliced_wasserstein(points, difference, np.eye(2)) == pytest.approx([3.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_against_all_pairs(dtype, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 7)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 5)).astype(dtype)
    differences = rng.standard_normal((3, 40))
    differences -= differences.mean(axis=1, keepdims=True)
    slow = np.sqrt(-np.einsum("bi,ij,bj->b", differences, cdist(points, points), differences))
    np.testing.assert_allclose(energy_distance(points, differences), slow, rtol=1e-5 if dtype == np.float32 else 1e-9)


def test_weights_are_repeats_and_equal_distributions_are_no_distance_apart():
    rng = np.random.default_rng(0)
    x, y, directions = rng.standard_normal((6, 3)), rng.standard_normal((9, 3)), np.eye(3)
    times = np.array([1, 3, 2, 1, 1, 4])
    for measure in (energy_distance, lambda *of: sliced_wasserstein(*of, directions)):
        repeated = measure(*pooled(np.repeat(x, times, axis=0), y))
        assert repeated == pytest.approx(measure(*pooled(x, y, times)), abs=1e-9)
        assert measure(*pooled(x, x)) ** 2 == pytest.approx([0], abs=1e-8)
        assert measure(x, np.zeros((1, 6))) == [0]


def test_classes_by_hand():
    # Shares 3/4, 1/4, 0 against 1/2, 1/4, 1/4.
    difference = np.array([[0.25, 0.5, 0.25, 0.0]]) - np.array([[0.25, 0.25, 0.25, 0.25]])
    assert total_variation(np.array([0, 0, 1, 2]), difference) == pytest.approx([0.25])


def test_coverage_on_a_line_by_hand():
    points = np.arange(10.0)[:, None]
    only = np.isin(np.arange(10), [2, 7])
    # The dropped lie at 2 1 · 1 2 2 1 · 1 2 from the nearest kept one, the sorted eight 1 1 1 1 2 2 2 2.
    assert coverage(points, only, share=0.5) == pytest.approx(1.5)
    assert coverage(points, only, share=1.0) == pytest.approx(2)
    assert coverage(points, np.ones(10, bool)) == 0
    far = np.array([[0.0], [1e4], [1e4 + 1e-2]])
    assert coverage(far, np.array([True, True, False])) == pytest.approx(1e-2)


def test_the_whole_is_no_shift():
    rng = np.random.default_rng(0)
    for report in Shift(permutations=5)(
        Subset.full(30), labels=rng.integers(0, 3, 30), embeddings=rng.standard_normal((30, 2)), scores=np.arange(30.0)
    ):
        assert report.effective_sample_size == 30
        assert report.coverage == 0
        assert report.deciles == (1,) * 10
        for distance in (report.class_tv, report.energy, report.sliced_wasserstein):
            assert distance.value == pytest.approx(0, abs=1e-12)
            assert distance.p == 1


def test_a_report_by_hand():
    n, m = 20, 8
    subset = kept(range(12, 20), n, weights=[0.5, 0.5, 1.0, 2.0] * 2)
    embeddings = np.where(np.arange(n) < 10, 0.0, 10.0)[:, None]  # mean 5, spread 5: two points, two units apart
    labels = (np.arange(n) >= 10).astype(int)
    weighted, plain = Shift(permutations=9)(subset, labels=labels, embeddings=embeddings, scores=np.arange(n) * 1.0)
    assert (weighted.weighted, plain.weighted) == (True, False)
    assert weighted.effective_sample_size == pytest.approx(64 / 11)
    assert plain.effective_sample_size == m
    for report in (weighted, plain):
        assert report.class_tv.value == pytest.approx(0.5)
        assert report.energy.value == pytest.approx(1)  # all at one point against half there: √(2·1 − 0 − 1)
        assert report.sliced_wasserstein.value == pytest.approx(1)
        assert report.energy.p == 0.1  # none of nine random subsets of eight is all on one side
        assert report.coverage == pytest.approx(2)
    assert plain.deciles == (0,) * 6 + (1,) * 4
    assert weighted.deciles == (0,) * 6 + (0.5, 1.5) * 2
    line = weighted.flat()
    assert line["energy"] == weighted.energy.value
    assert line["energy_null_high"] == weighted.energy.null_high
    assert line["decile_10"] == 1.5


def test_units_of_spread_and_seeds():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((60, 3)), np.zeros(60, int)
    (one,) = Shift(permutations=9)(kept(range(0, 60, 5), 60), labels=labels, embeddings=x)
    (other,) = Shift(permutations=9)(kept(range(0, 60, 5), 60), labels=labels, embeddings=7 * x + 3)
    for name, value in one.flat().items():
        assert other.flat()[name] == pytest.approx(value), name
    (again,) = Shift(permutations=9, seed=1)(kept(range(0, 60, 5), 60), labels=labels, embeddings=x)
    assert again.energy.value == pytest.approx(one.energy.value)
    assert again.energy.null_median != one.energy.null_median


def test_the_p_value_of_a_random_subset_is_uniform():
    n, m = 60, 20
    embeddings = np.random.default_rng(0).standard_normal((n, 2)) ** 3
    labels, found = np.arange(n) % 3, []
    for seed in range(150):
        chosen = np.sort(np.random.default_rng(derive(seed, "subset")).choice(n, m, replace=False))
        shift = Shift(permutations=19, projections=3, seed=seed)
        (report,) = shift(kept(chosen, n), labels=labels, embeddings=embeddings)
        found.append((report.energy.p, report.sliced_wasserstein.p))
    for p in np.array(found).T:
        counts = np.bincount(np.rint(20 * p).astype(int), minlength=21)[1:].reshape(4, 5).sum(axis=1)
        assert counts.sum() == 150
        assert stats.chisquare(counts).pvalue > 0.01


def test_exact_calibration_comes_close_as_n_grows_and_keep_the_hardest_does_not():
    """Ayed & Hayou 2023, section 3, on a planted Gaussian whose score is its distance from the mean along one axis."""
    found = {}
    for name, selector, alpha in (
        ("hardest", Threshold(), 0.0),
        ("approximate", Calibrated(protocol="approximate"), 0.5),
        ("exact", Calibrated(), 0.5),
    ):
        for n in (200, 3200):
            values = []
            for seed in range(5):
                x = np.random.default_rng(derive(seed, n)).standard_normal((n, 2))
                labels = np.zeros(n, int)
                scores = Scores(x[:, 0], metric="planted", dataset="planted")
                subset = selector.select(scores, labels, r=0.2, alpha=alpha, seed=seed)
                report = Shift(permutations=1, projections=8)(subset, labels=labels, embeddings=x)[0]
                mean = np.abs(subset.weights @ x[subset.indices] / subset.weights.sum() - x.mean(axis=0)).max()
                values.append((report.energy.value, report.sliced_wasserstein.value, mean))
            found[name, n] = np.mean(values, axis=0)
    for name in ("hardest", "approximate"):
        np.testing.assert_allclose(found[name, 3200] / found[name, 200], 1, atol=0.1)
    np.testing.assert_allclose(found["exact", 3200] / found["exact", 200], 1 / 4, atol=0.1)  # √(200/3200)
    assert np.all(found["approximate", 3200] < found["hardest", 3200])


def test_what_does_not_fit_is_refused():
    fits = {"labels": np.zeros(20, int), "embeddings": np.ones((20, 2)), "scores": np.ones(20)}
    for name in fits:
        with pytest.raises(MismatchError, match=name):
            Shift()(kept([1, 2], 20), **fits | {name: fits[name][:19]})
    for bad in (np.full((20, 2), np.nan), np.ones(20)):
        with pytest.raises(ShapeError, match="finite"):
            Shift()(kept([1, 2], 20), **fits | {"embeddings": bad})
    with pytest.raises(ShapeError, match="at least 10"):
        Shift()(kept([1], 5), labels=np.zeros(5, int), embeddings=np.ones((5, 2)))
    for name in ("n", "permutations", "projections"):
        with pytest.raises(OptionError, match=name):
            Shift(**{name: 0})
