"""What every metric in conf/metric must do; a new yaml is found and tested here without a change."""

import tracemalloc
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from helpers.config import composed, is_preset, options
from helpers.evidence import make_evidence, only, planted_difficulty, reordered
from winnow.core.types import Evidence, Scores, Trajectory
from winnow.metrics.base import Metric
from winnow.store.keys import make_key

CONFIGS = options("metric")


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def metric(path) -> Metric:
    return instantiate({name: "a file" if value == "???" else value for name, value in composed(path).items()})


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return make_evidence()


def test_there_are_metrics():
    assert CONFIGS


def test_the_made_up_evidence_has_every_field(evidence):
    assert all(getattr(evidence, field.name) is not None for field in fields(Evidence))


def test_config_names_the_module_and_every_option(path, metric):
    config = dict(composed(path))
    module = config.pop("_target_").rsplit(".", 1)[0]
    assert path.read_text().startswith("# ")
    if is_preset(path):
        return
    assert module == f"winnow.metrics.{path.stem}"
    assert config == {field.name: "???" if field.default is MISSING else field.default for field in fields(metric)}


def test_is_a_keyed_metric(metric):
    assert isinstance(metric, Metric)
    assert metric.needs <= {field.name for field in fields(Evidence)}
    assert metric.name
    assert make_key("metric", metric) == make_key("metric", replace(metric))


def test_scores_are_finite_float64(metric, evidence):
    scores = metric(evidence)
    assert isinstance(scores, Scores)
    assert scores.values.dtype == np.float64
    assert scores.values.shape == (evidence.n,)
    assert np.all(np.isfinite(scores.values))
    assert (scores.metric, scores.dataset) == (metric.name, evidence.dataset)


def test_is_deterministic(metric, evidence):
    assert np.array_equal(metric(evidence).values, metric(make_evidence()).values)


def test_needs_are_enough(metric, evidence):
    assert np.array_equal(metric(only(evidence, metric.needs)).values, metric(evidence).values)


def made_of_arrays(trajectories: Trajectory) -> Trajectory:
    """The same ensemble with every field in memory, [K, T, n]."""
    names = [field.name for field in fields(Trajectory)]
    return Trajectory(**{name: np.stack([getattr(run, name) for run in trajectories.runs]) for name in names})


def test_runs_by_themselves_score_as_one_array(metric, evidence):
    stacked = metric(replace(evidence, trajectories=made_of_arrays(evidence.trajectories)))
    scores = metric(evidence)
    assert np.array_equal(scores.values, stacked.values)
    assert np.array_equal(scores.standard_error, stacked.standard_error)


@pytest.fixture(scope="module")
def large():
    return make_evidence(members=10, epochs=40, n=3000)


def test_training_dynamics_are_read_run_by_run(metric, large):
    if "trajectories" not in metric.needs:
        pytest.skip("reads no trajectories")
    runs, field = large.trajectories.runs, large.trajectories.runs[0].loss.nbytes
    tracemalloc.start()
    metric(Evidence(dataset="made-up", labels=large.labels, trajectories=Trajectory.stack(runs)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * field  # one field of the ten runs together is ten


def test_the_order_of_the_examples_does_not_matter(metric, evidence):
    if metric.stochastic or not metric.free_of_order:
        pytest.skip("a seeded draw by index enters")
    order = np.random.default_rng(5).permutation(evidence.n)
    moved = metric(reordered(evidence, order)).values
    np.testing.assert_allclose(moved, metric(evidence).values[order], rtol=1e-12, atol=1e-12)


def test_higher_is_harder(metric, evidence):
    if metric.stochastic:
        pytest.skip("random by design")
    values, difficulty = metric(evidence).values, planted_difficulty(evidence.n)
    hard = 0 if metric.hard_means_undecided else 1
    assert values[difficulty == hard].mean() > values[difficulty == -1].mean()


def test_a_mean_over_probes_comes_with_its_error(metric, evidence):
    error = metric(evidence).standard_error
    if not metric.averages_members:
        return
    each = np.stack([metric(evidence.member(k)).values for k in range(evidence.members)])
    np.testing.assert_allclose(metric(evidence).values, each.mean(axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(error, each.std(axis=0, ddof=1) / np.sqrt(len(each)), rtol=1e-6, atol=1e-12)
    assert metric(evidence.member(0)).standard_error is None
