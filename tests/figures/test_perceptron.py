import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from winnow.figures import perceptron_phase as phase
from winnow.figures.perceptron_curves import perceptron_curves
from winnow.theory.perceptron import solve
from winnow.theory.simulation import simulate
from winnow.theory.strategies import best_strategy, crossover, envelope

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def curves():
    return perceptron_curves((1.0, 0.5), (0.0, 20.0), n_parameters=20, repeats=2, seed=3, points=9)


def test_lines_are_the_theory(curves):
    for axes, angle in zip(curves.axes, (0, 20), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for r in (1.0, 0.5):
            kept = lines[f"r = {r:g}"].get_xdata()
            error = solve(kept / r, r, probe_angle=angle).error
            np.testing.assert_allclose(lines[f"r = {r:g}"].get_ydata(), error)
        lowest = lines["lowest"]
        expected = envelope(lowest.get_xdata()[::4], probe_angle=angle, least=0.5).error
        np.testing.assert_allclose(lowest.get_ydata()[::4], expected)


def test_points_are_the_simulation(curves):
    (bars,) = [bars for bars in curves.axes[1].containers if bars.get_label() == "simulation, r = 0.5"]
    kept, error = bars.lines[0].get_data()
    found = simulate(kept[2] / 0.5, 0.5, probe_angle=20, n_parameters=20, repeats=2, seed=3)
    assert (kept[2], error[2]) == (found.n_kept / 20, found.error)
    low, high = bars.lines[2][0].get_segments()[2][:, 1]
    assert high - low == pytest.approx(2 * found.error_se)


def test_curves_have_titles_legend_and_no_points_where_none_are_asked_for(curves):
    assert [axes.get_title(loc="left") for axes in curves.axes] == ["perfect probe", "probe at 20° to the teacher"]
    (legend,) = curves.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1", "0.5", "lowest over\nfractions"]
    bare = perceptron_curves((0.5,), (0.0,), repeats=0, points=5)
    assert not bare.axes[0].containers


def test_the_map_is_the_best_strategy():
    (angle, columns, lines) = (20.0, 24, 16)
    alpha, r, errors = phase._errors(angle, columns, lines)
    best = np.array(list(errors))[np.argmin(list(errors.values()), axis=0)]
    some = np.ix_(np.arange(20, r.size, 120), np.arange(15, alpha.size, 90))
    expected = best_strategy(alpha[some[1]], r[some[0]], probe_angle=angle)
    assert (best[some] == expected.keep).all()
    for keep in errors:
        np.testing.assert_allclose(np.exp(errors[keep][some]), expected.error[keep], rtol=0.06)


def test_the_drawn_boundary_is_the_crossover():
    figure = phase.perceptron_phase((0.0,), columns=24, lines=14)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    mesh = axes.collections[0]
    row = np.asarray(mesh.get_array()).reshape(phase.FINE)[
        np.argmin(np.abs(np.linspace(*phase.KEPT, phase.FINE[0]) - 0.5))
    ]
    drawn = np.geomspace(*phase.DATA, phase.FINE[1])[np.flatnonzero(np.diff(row))]
    assert drawn == pytest.approx(crossover([0.5]), rel=0.02)
    colours = {keep: to_rgba(colour) for keep, colour in phase.COLOURS.items()}
    assert {tuple(mesh.cmap(mesh.norm(value))) for value in np.unique(row)} == {colours["easiest"], colours["hardest"]}


def test_the_script_needs_no_data(tmp_path):
    script = REPOSITORY / "scripts" / "figures.py"
    overrides = (
        "figure=perceptron_curves",
        "figure.fractions=[1]",
        "figure.probe_angles=[0]",
        "figure.repeats=0",
        "figure.points=9",
    )
    done = subprocess.run([sys.executable, script, *overrides], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "outputs/figures/perceptron_curves.png\n"), done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["perceptron_curves.png"]
