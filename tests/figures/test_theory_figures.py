from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.scripts import run_script
from winnow.core.errors import MissingEvidenceError, ShapeError
from winnow.core.seeds import derive
from winnow.figures.contributions import contributions, from_models
from winnow.figures.learning_law import draw as draw_law
from winnow.figures.logistic_landscapes import RULES, logistic_landscapes
from winnow.figures.minimiser_distance import draw as draw_distances
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import save_contributions
from winnow.theory.learning_law import equal_step_control, spread, supported, teacher_student, train
from winnow.theory.logistic import Logistic, prune, pruned_minimiser
from winnow.theory.policy_search import optimise


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_landscapes_mark_the_minimisers():
    figure = logistic_landscapes(n=400, seed=1)
    FigureCanvasAgg(figure).draw()
    toy = Logistic()
    x, y = toy.sample(400, seed=derive(1, "sample"))
    full = toy.minimiser(x, y)
    scores = toy.gradient_norms(full, x, y)
    for rule, axes in zip(RULES, figure.axes[len(RULES) :], strict=True):
        marks = {line.get_marker(): line.get_xydata()[0] for line in axes.lines if line.get_marker() in "ox"}
        subset = prune(rule, scores, r=0.2, alpha=0.5, seed=derive(1, "prune"))
        np.testing.assert_allclose(marks["x"], pruned_minimiser(toy, x, y, subset))
        np.testing.assert_allclose(marks["o"], full)
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert all(left < a < right and low < b < high for a, b in marks.values())
        numbers = figure.table[figure.table["rule"] == rule]
        minimum = numbers[numbers["kind"] == "minimiser"]
        np.testing.assert_array_equal(minimum[["theta_1", "theta_2"]].iloc[0], marks["x"])
        somewhere = numbers[numbers["kind"] == "landscape"].iloc[30]
        kept, at = (
            (x[subset.indices], y[subset.indices], subset.weights),
            somewhere[["theta_1", "theta_2"]].astype(float),
        )
        risks = (toy.landscape(place, *kept) for place in (at.to_numpy(), marks["x"]))
        assert somewhere["excess"] == pytest.approx(next(risks) - next(risks))
    assert sum(len(c.get_offsets()) for c in figure.axes[1].collections) == 80


def test_distances_are_means_with_standard_errors():
    found = np.random.default_rng(0).uniform(1, 2, (2, 3, 5))
    rules, sizes = ("hardest", "exact"), (100, 1000, 10_000)
    figure = draw_distances({"toy": found}, sizes=sizes, rules=rules, r=0.2, alpha=0.5)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    for rule, bars in zip(rules, axes.containers, strict=True):
        values = found[rules.index(rule)]
        assert bars.get_label() == rule
        np.testing.assert_allclose(bars.lines[0].get_ydata(), values.mean(axis=1))
        numbers = figure.table[figure.table["rule"] == rule]
        np.testing.assert_allclose(numbers["distance"], values.mean(axis=1))
        np.testing.assert_allclose(numbers["distance_se"], values.std(axis=1, ddof=1) / np.sqrt(5))
        half = values.std(axis=1, ddof=1) / np.sqrt(5)
        ends = np.array(bars.lines[2][0].get_segments())
        np.testing.assert_allclose((ends[:, 1, 1] - ends[:, 0, 1]) / 2, half)
    guide = lines(axes)["slope of n$^{-1/2}$"].get_ydata()
    np.testing.assert_allclose(guide[0] / guide[2], 10)


def test_the_learning_law_is_drawn_from_its_runs():
    task = teacher_student(16, 2, 16, steps=6, step_size=1.0)
    policy = optimise(task, iterations=60).policy
    figure = draw_law(task, policy)
    FigureCanvasAgg(figure).draw()
    left, middle, right = figure.axes
    constant, optimal = train(task, task.constant), train(task, policy)
    drawn = lines(left)
    np.testing.assert_array_equal(drawn["constant weights"].get_ydata(), constant.losses)
    np.testing.assert_array_equal(drawn["optimal weights"].get_ydata(), optimal.losses)
    np.testing.assert_array_equal(
        drawn["constant, steps as long as the optimal"].get_ydata(), equal_step_control(task, optimal)
    )
    assert f"after {optimal.steps_to(constant.losses[-1])}, not 6 steps" in " ".join(drawn)
    several = supported(policy).sum(axis=1) > 1
    np.testing.assert_allclose(
        lines(middle)["optimal weights"].get_ydata(),
        np.maximum(spread(policy, optimal.contributions)[several], 1e-6),
    )
    np.testing.assert_array_equal(right.lines[0].get_ydata(), supported(policy).sum(axis=1))
    assert len(figure.table) == 7
    np.testing.assert_array_equal(figure.table["loss_optimal"], optimal.losses)
    np.testing.assert_array_equal(
        figure.table["spread_optimal_costate"][:6], np.where(several, spread(policy, optimal.costates), np.nan)
    )
    np.testing.assert_allclose(figure.table["weight_of_flipped"][:6], policy[:, task.flipped].sum(axis=1))


def runs():
    rng = np.random.default_rng(0)
    return {
        "all": (np.arange(1, 5), rng.normal(1, 2, (4, 50))),
        "pruned": (np.arange(2, 8, 2), rng.normal(0, 1, (3, 9))),
    }


def test_contributions_are_their_quantiles_and_shares():
    figure = contributions({name: [run] for name, run in runs().items()}, freeloader=0.05)
    FigureCanvasAgg(figure).draw()
    for (name, (epochs, values)), above, below in zip(runs().items(), figure.axes[:2], figure.axes[2:], strict=True):
        assert above.get_title(loc="left") == name
        np.testing.assert_allclose(lines(above)["median"].get_xydata().T, [epochs, np.median(values, axis=1)])
        np.testing.assert_allclose(lines(above)["mean"].get_ydata(), values.mean(axis=1))
        band = above.collections[0].get_paths()[0].vertices
        for level in (5, 95):
            assert np.isin(np.percentile(values, level, axis=1), band[:, 1]).all()
        shares = [line.get_ydata() for line in below.lines]
        size = np.abs(values)
        numbers = figure.table[figure.table["run"] == name]
        np.testing.assert_array_equal(numbers["epoch"], epochs)
        np.testing.assert_allclose(numbers["q25"], np.percentile(values, 25, axis=1))
        np.testing.assert_array_equal(numbers["harmful"], shares[0])
        np.testing.assert_allclose(shares[0], (values < 0).mean(axis=1))
        np.testing.assert_allclose(shares[1], (size <= 0.05 * size.mean(axis=1, keepdims=True)).mean(axis=1))


def test_contributions_of_replicates_are_means_with_their_t_intervals():
    epochs, rng = np.array([1, 2]), np.random.default_rng(1)
    replicates = [rng.normal(0, 1, (2, 40)) for _ in range(3)]
    table = contributions({"pruned": [(epochs, values) for values in replicates]}).table
    shares = np.array([(values < 0).mean(axis=1) for values in replicates])
    low, high = student_interval(shares)
    np.testing.assert_allclose(table[["harmful", "harmful_low", "harmful_high"]].T, [shares.mean(axis=0), low, high])
    np.testing.assert_allclose(table["q25"], np.mean([np.percentile(v, 25, axis=1) for v in replicates], axis=0))
    assert (table["replicates"] == 3).all()
    with pytest.raises(ShapeError, match="differ in their epochs"):
        contributions({"pruned": [(epochs, replicates[0]), (epochs + 1, replicates[1])]})


def student_interval(values):
    return scipy.stats.t.interval(0.95, len(values) - 1, values.mean(axis=0), scipy.stats.sem(values))


def test_contributions_are_read_from_models(tmp_path):
    store, folders = ArtifactStore(tmp_path), []
    for name, (epochs, values) in runs().items():
        everything = np.arange(values.shape[1])

        def write(draft, epochs=epochs, values=values, everything=everything):
            save_contributions(
                draft,
                contributions=values,
                epochs=epochs,
                indices=everything,
                target=everything,
                summary=SimpleNamespace(to_parquet=lambda path, index: path.touch()),
            )

        folders.append(store.fetch("model", name, write=write, inputs={}).folder)
    figure = from_models(*folders)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["all examples, n = 50", "pruned, n = 9"]
    assert set(from_models(folders[:1] * 2, folders[1]).table["replicates"]) == {1, 2}
    with pytest.raises(MissingEvidenceError, match="there is no folder"):
        from_models(folders[0], tmp_path / "absent")
    with pytest.raises(MissingEvidenceError, match="no contributions were recorded"):
        from_models(folders[0], tmp_path)
    with pytest.raises(ShapeError, match="at least one run"):
        contributions({})


def test_figures_without_a_grid_go_to_outputs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["figure=logistic_landscapes", "figure.n=100"]
    ended = run_script("figures.py", *options, capsys=capsys)
    assert (ended.code, ended.out) == (0, "outputs/figures/logistic_landscapes.png\n"), ended.err
    options = ["figure=minimiser_distance", "figure.seeds=2", "+figure.sizes=[100,200]", "out=distance.pdf"]
    assert run_script("figures.py", *options, capsys=capsys).out == "distance.pdf\n"
    options = [
        "figure=learning_law",
        "figure.n=8",
        "figure.dim=2",
        "figure.steps=3",
        "figure.iterations=3",
        "out=l.svg",
    ]
    assert run_script("figures.py", *options, capsys=capsys).code == 0
    missing = run_script("figures.py", "figure=contributions", capsys=capsys)
    assert missing.code == 1
    assert not (tmp_path / "outputs" / "figures" / "contributions.png").exists()
    kept = run_script("figures.py", "figure.grid=grid.csv", "out=./grid.png", capsys=capsys)
    assert kept.code == 1
    assert "would replace them" in kept.err
