import json
import shlex

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from helpers.scripts import run_script
from winnow.figures import perceptron_phase as phase
from winnow.figures.perceptron_curves import perceptron_curves
from winnow.theory.perceptron import solve
from winnow.theory.simulation import simulate
from winnow.theory.strategies import best_strategy, envelope


@pytest.fixture(scope="module")
def curves():
    return perceptron_curves((1.0, 0.5), (0.0, 20.0), n_parameters=20, repeats=2, seed=3, points=5)


def test_lines_are_the_theory(curves):
    for axes, angle in zip(curves.axes, (0, 20), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for r in (1.0, 0.5):
            kept = lines[f"r = {r:g}"].get_xdata()
            error = solve(kept / r, r, probe_angle=angle).error
            np.testing.assert_allclose(lines[f"r = {r:g}"].get_ydata(), error)
        at, lowest = lines["lowest"].get_data()
        assert (at[0], at[4]) == (kept[0], kept[4])
        np.testing.assert_allclose(lowest[2:4], envelope(at[2:4], probe_angle=angle, least=0.5).error)


def test_points_are_the_simulation(curves):
    (bars,) = [bars for bars in curves.axes[1].containers if bars.get_label() == "simulation, r = 0.5"]
    kept, error = bars.lines[0].get_data()
    found = simulate(kept[2] / 0.5, 0.5, probe_angle=20, n_parameters=20, repeats=2, seed=3)
    assert (kept[2], error[2]) == (found.n_kept / 20, found.error)
    low, high = bars.lines[2][0].get_segments()[2][:, 1]
    assert high - low == pytest.approx(2 * found.error_se)
    table = curves.table
    simulated = table[(table["kind"] == "simulation") & (table["probe_angle"] == 20) & (table["r"] == 0.5)]
    np.testing.assert_array_equal(simulated["error"], error)
    assert simulated["error_se"].iloc[2] == found.error_se


def test_curves_have_titles_legend_and_no_points_where_none_are_asked_for(curves):
    assert [axes.get_title(loc="left") for axes in curves.axes] == ["perfect probe", "probe at 20° to the teacher"]
    (legend,) = curves.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1", "0.5", "lowest over\nfractions"]
    bare = perceptron_curves((0.5,), (0.0,), repeats=0, points=2)
    assert not bare.axes[0].containers


def test_the_map_is_the_best_strategy():
    angle, grid = 20.0, phase._solved_at(columns=14, lines=10)
    alpha, r, errors = phase._fine(*grid, best_strategy(np.exp(grid[1]), grid[0][:, None], probe_angle=angle).error)
    best = np.array(list(errors))[np.argmin(list(errors.values()), axis=0)]
    some = np.ix_(np.arange(20, r.size, 60), np.arange(15, alpha.size, 45))
    expected = best_strategy(alpha[some[1]], r[some[0]], probe_angle=angle)
    assert (best[some] == expected.keep).all()
    for keep in errors:
        np.testing.assert_allclose(np.exp(errors[keep][some]), expected.error[keep], rtol=0.06)


def test_the_drawn_boundary_is_the_crossover():
    figure = phase.perceptron_phase((0.0,), columns=18, lines=10)
    FigureCanvasAgg(figure).draw()
    line = figure.table.iloc[100]
    best = best_strategy(line["examples_per_parameter"], line["r"])
    assert line["best"] == best.keep
    assert line["easiest"] == pytest.approx(best.error["easiest"], rel=1e-7)
    assert len(figure.table) == 18 * 10
    (axes,) = figure.axes
    mesh = axes.collections[0]
    row = np.asarray(mesh.get_array()).reshape(phase.FINE)[
        np.argmin(np.abs(np.linspace(*phase.KEPT, phase.FINE[0]) - 0.5))
    ]
    drawn = np.geomspace(*phase.DATA, phase.FINE[1])[np.flatnonzero(np.diff(row))]
    assert drawn == pytest.approx([5.05], rel=0.02)  # from where on the hardest are ahead: see the tests of the theory
    colours = {keep: to_rgba(colour) for keep, colour in phase.COLOURS.items()}
    assert {tuple(mesh.cmap(mesh.norm(value))) for value in np.unique(row)} == {colours["easiest"], colours["hardest"]}


def test_the_script_needs_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    overrides = (
        "figure=perceptron_curves",
        "figure.fractions=[1]",
        "figure.probe_angles=[0]",
        "figure.repeats=0",
        "figure.points=4",
    )
    done = run_script("figures.py", *overrides, capsys=capsys)
    assert (done.code, done.out) == (0, "outputs/figures/perceptron_curves.png\n"), done.err
    written = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(written) == [f"perceptron_curves.{end}" for end in ("csv", "png", "provenance.json")]
    made = json.loads((tmp_path / "outputs/figures/perceptron_curves.provenance.json").read_text())
    assert made["command"] == "python scripts/figures.py " + shlex.join(overrides)
    numbers = pd.read_csv(tmp_path / "outputs/figures/perceptron_curves.csv")
    (line,) = [numbers[numbers["kind"] == "theory"].iloc[3]]
    assert line["error"] == pytest.approx(solve(line["kept_per_parameter"], 1).error, rel=1e-6)
