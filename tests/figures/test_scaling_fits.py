import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from winnow.figures.scaling_fits import from_grid, scaling_fits
from winnow.scaling import grid
from winnow.scaling.fits import fit_rules

RULES = {"random": 0.5, "el2n hardest": 0.9}


def make_table(fractions=(0.05, 0.1, 0.2, 0.4, 0.7), seeds=3, **fields):
    return grid.table(
        make_row(rule, r, 0.3 * (20 * r) ** -b * (1 + 0.03 * np.sin(100 * r + 9 * s)), s, **fields)
        for rule, b in RULES.items()
        for r in fractions
        for s in range(seeds)
    )


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_markers_are_means_and_lines_are_the_best_law():
    table = make_table()
    fits = fit_rules(table)
    figure = scaling_fits(table, fits)
    (axes,) = figure.axes
    markers = {line.get_label(): line for line in axes.lines if line.get_linestyle() == "None"}
    curves = [line for line in axes.lines if line.get_linestyle() != "None"]
    for (rule, means), fitted, curve in zip(
        sorted(grid.summarise(table).groupby("rule"), key=lambda each: each[0] != "random"), fits, curves, strict=True
    ):
        np.testing.assert_array_equal(markers[rule].get_ydata(), means["test_error_mean"])
        np.testing.assert_allclose(curve.get_ydata(), fitted.best.predict(curve.get_xdata()))
        numbers = figure.table[figure.table["rule"] == rule]
        np.testing.assert_array_equal(numbers[numbers["kind"] == "measured"]["test_error"], means["test_error_mean"])
        np.testing.assert_array_equal(numbers[numbers["kind"] == "power"]["test_error"], curve.get_ydata())
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title(loc="left") == "blobs, mlp"


def test_each_fit_has_a_band_around_its_curve():
    (axes,) = scaling_fits(make_table()).axes
    assert len(axes.collections) == 2
    (axes,) = scaling_fits(make_table(seeds=1)).axes
    assert len(axes.collections) == 0


def test_the_legend_tells_law_and_exponent_below_the_panel():
    figure = scaling_fits(make_table())
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    random, hardest = legend_of(axes)
    assert random.startswith("random: power, b = 0.49 (0.43 to 0.56)")
    assert hardest.startswith("el2n hardest: power, b = 0.89 (0.82 to 0.96)")
    box = axes.get_legend().get_window_extent()
    assert not box.overlaps(axes.get_window_extent())
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_one_ensemble_has_a_curve_without_band_and_interval():
    table = make_table()
    (axes,) = scaling_fits(table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0))).axes
    assert len(axes.collections) == 1  # of random
    assert legend_of(axes)[1] == "el2n hardest: power, b = 0.89 (one probe ensemble)"


def test_too_few_sizes_leave_the_markers():
    (axes,) = scaling_fits(make_table(fractions=(0.1, 0.2, 0.4))).axes
    assert legend_of(axes) == [f"{rule}: too few sizes for a fit" for rule in RULES]
    assert all(line.get_linestyle() == "None" for line in axes.lines)


def test_each_group_has_a_panel_and_zero_errors_are_drawn():
    table = grid.table([*(make_row(r=r, error=0.0) for r in (0.1, 0.5)), make_row(dataset="digits")])
    first, second = scaling_fits(table).axes
    np.testing.assert_allclose(first.lines[0].get_ydata(), 0.5 / 1000)
    assert second.get_title(loc="left") == "digits, mlp"


def test_a_grid_is_read_from_its_file(tmp_path):
    make_table(seeds=1).to_csv(tmp_path / "grid.csv", index=False)
    assert len(from_grid(tmp_path / "grid.csv").axes) == 1
