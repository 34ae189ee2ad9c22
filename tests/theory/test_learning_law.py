import numpy as np
import pytest
from scipy.optimize import minimize

from winnow.core.errors import OptionError
from winnow.theory.learning_law import Task, equal_step_control, spread, supported, teacher_student, train
from winnow.theory.policy_search import optimise, project


@pytest.fixture(scope="module")
def task() -> Task:
    return teacher_student(24, 3, 20, steps=6, step_size=1.0, noise=0.1)


@pytest.fixture(scope="module")
def optimum(task):
    return optimise(task, iterations=5000)  # ends at its tolerance, after some 200 of them


def by_numpy(task, policy):
    """Target losses and parameters, step by step, from the definition."""
    theta, losses, thetas = task.start, [], []
    for weights in [*policy, np.zeros(len(task.x))]:
        margin = (2 * task.target_y - 1) * (task.target_x @ theta)
        losses.append(np.log1p(np.exp(-margin)).mean())
        thetas.append(theta)
        p = 1 / (1 + np.exp(-task.x @ theta))
        theta = theta - task.step_size * sum(
            w * (q - y) * x for w, q, y, x in zip(weights, p, task.y, task.x, strict=True)
        )
    return np.array(losses), np.array(thetas)


def test_training_is_what_it_says(task):
    policy = project(np.random.default_rng(0).uniform(0, 0.2, task.constant.shape))
    run, (losses, thetas) = train(task, policy), by_numpy(task, policy)
    np.testing.assert_allclose(run.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(run.theta, thetas, rtol=1e-12)
    assert run.area == pytest.approx(losses.mean())
    middle = (losses[2] + losses[3]) / 2
    assert run.steps_to(middle) == np.flatnonzero(losses <= middle)[0]
    assert run.steps_to(0.0) is None


def test_costates_are_derivatives_of_the_loss_to_come(task):
    policy, step = task.constant, 1e-6
    run = train(task, policy)
    for t, i in ((0, 0), (3, 5), (5, 23)):
        bumped = policy.copy()
        bumped[t, i] += step
        slope = (by_numpy(task, bumped)[0].sum() - by_numpy(task, policy)[0].sum()) / step
        assert slope == pytest.approx(-task.step_size * run.costates[t, i], rel=1e-4, abs=1e-7)


def test_contributions_are_products_of_gradients(task):
    run = train(task, task.constant)
    theta = run.theta[4]
    target = ((1 / (1 + np.exp(-task.target_x @ theta)) - task.target_y)[:, None] * task.target_x).mean(axis=0)
    each = (1 / (1 + np.exp(-task.x @ theta)) - task.y)[:, None] * task.x
    np.testing.assert_allclose(run.contributions[4], each @ target)
    # In the last step nothing but the last loss is to come, so costate and contribution differ by one step's curvature.
    assert np.corrcoef(run.contributions[-1], run.costates[-1])[0, 1] > 0.99


def test_projection_onto_the_simplex_is_the_nearest_point():
    points = np.random.default_rng(0).normal(0, 1, (4, 5))
    found = project(points)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found.min() >= 0
    for point, projected in zip(points, found, strict=True):
        best = minimize(
            lambda p, point=point: ((p - point) ** 2).sum(),
            np.full(5, 0.2),
            bounds=[(0, 1)] * 5,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            tol=1e-12,
        )
        np.testing.assert_allclose(projected, best.x, atol=1e-5)
    np.testing.assert_allclose(project(found), found, atol=1e-15)


def test_the_optimal_policy_is_a_policy_and_learns_faster(task, optimum):
    policy = optimum.policy
    assert policy.min() >= 0
    np.testing.assert_allclose(policy.sum(axis=1), 1, atol=1e-12)
    assert optimum.residual < 1e-6
    constant, optimal = train(task, task.constant), train(task, policy)
    assert optimal.area == pytest.approx(optimum.areas.min())
    assert optimal.area < 0.9 * constant.area
    assert optimal.steps_to(constant.losses[-1]) < task.steps
    for seed in range(20):  # a local optimum: no policy near it is better
        other = project(policy + np.random.default_rng(seed).normal(0, 0.01, policy.shape))
        assert train(task, other).area > optimal.area - 1e-9


def test_at_the_optimum_all_examples_with_weight_count_the_same(task, optimum):
    run, weighted = train(task, optimum.policy), supported(optimum.policy)
    several = weighted.sum(axis=1) > 1
    assert several.any()
    assert spread(optimum.policy, run.costates).max() < 1e-4
    for costates, has_weight in zip(run.costates, weighted, strict=True):
        level = costates[has_weight].max()
        assert costates.max() <= level + 1e-4 * abs(level)  # none without weight counts for more
    # The paper's contributions become more nearly equal than they were, though not exactly equal.
    before = spread(task.constant, train(task, task.constant).contributions)
    after = spread(optimum.policy, run.contributions)
    assert np.median(after[several]) < 0.5 * np.median(before)
    assert after.max() > 10 * spread(optimum.policy, run.costates).max()


def test_flipped_labels_get_next_to_no_weight(task, optimum):
    assert task.flipped.size == 2
    assert optimum.policy[:, task.flipped].mean() < 0.1 * task.constant.mean()


def test_the_control_has_the_lengths_and_not_the_directions(task, optimum):
    run = train(task, task.constant)
    np.testing.assert_allclose(equal_step_control(task, run), run.losses, rtol=1e-10)
    losses = equal_step_control(task, train(task, optimum.policy))
    assert losses.shape == run.losses.shape
    assert losses[-1] != pytest.approx(run.losses[-1])


def test_spread_by_hand():
    policy = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(spread(policy, np.array([[1.0, 3, 99], [5, 5, 2]])), [0.5, 0])


def test_bad_arguments(task):
    with pytest.raises(OptionError, match="sum to one"):
        train(task, 2 * task.constant)
    with pytest.raises(OptionError, match="at least 1"):
        teacher_student(0)
    with pytest.raises(OptionError, match=r"\[0, 0\.5\]"):
        teacher_student(noise=0.7)
    with pytest.raises(OptionError, match="iterations=0"):
        optimise(task, iterations=0)
