import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from helpers.scripts import run_script
from winnow.core.errors import OptionError, WinnowError
from winnow.figures.scaling_curves import from_grid, scaling_curves
from winnow.figures.style import rule_looks, save
from winnow.scaling import grid

RULES = ("random", "el2n hardest", "el2n exact 0.5", "forgetting hardest", "forgetting exact 0.5")


def curves(axes):
    """Rule -> (the line of its means, its error bars)."""
    return {bars.get_label(): (bars.lines[0], bars.lines[2][0]) for bars in axes.containers}


def make_table(rules=RULES, fractions=(0.05, 0.2, 0.5, 1.0), seeds=3, **kwargs):
    points = itertools.product(enumerate(rules), fractions, range(seeds))
    return grid.table(
        make_row(rule, r, 0.02 * (1 + i / 20 + s / 10) / r**0.6, s, **kwargs) for (i, rule), r, s in points
    )


def segments(bars):
    """Those error bars that are drawn: [k, 2 ends, (x, y)]."""
    return np.array([ends for ends in bars.get_segments() if np.isfinite(ends).all() and len(ends)])


def test_lines_are_the_summarised_means():
    table = make_table()
    (axes,) = scaling_curves(table).axes
    drawn = curves(axes)
    assert set(drawn) == set(RULES)
    for rule, line in grid.summarise(table).groupby("rule"):
        np.testing.assert_array_equal(drawn[rule][0].get_xdata(), line["n_kept"])
        np.testing.assert_array_equal(drawn[rule][0].get_ydata(), line["test_error_mean"])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title(loc="left") == "blobs, mlp"


def test_the_worst_class_is_drawn_and_named():
    rows = [make_row(r=r, error=0.1, seed=s, worst_class_error=0.2 / r + s / 100) for r in (0.5, 1.0) for s in range(3)]
    drawing = scaling_curves(grid.table(rows), error="worst_class")
    (axes,) = drawing.axes
    ((line, _),) = curves(axes).values()
    np.testing.assert_allclose(line.get_ydata(), [0.41, 0.21])
    assert axes.get_ylabel() == "test error of the worst class"
    assert "all 1,000 examples: 21%" in [text.get_text() for text in axes.texts]
    assert {"worst_class_error_mean", "worst_class_error_se"} <= set(drawing.table)
    assert scaling_curves(grid.table(rows)).axes[0].get_ylabel() == "test error"


def test_rows_that_have_no_worst_class_are_left_out_and_not_all_may_lack_it():
    old, new = make_row(r=0.1, error=0.3), make_row(r=0.5, error=0.1, worst_class_error=0.25)
    ((line, _),) = curves(scaling_curves(grid.table([old, new]), error="worst_class").axes[0]).values()
    assert line.get_xdata().tolist() == [500]
    with pytest.raises(WinnowError, match="no row of the grid has worst_class_error"):
        scaling_curves(grid.table([old]), error="worst_class")
    with pytest.raises(OptionError, match=r"figure\.error=best is not known; choose one of: mean, worst_class"):
        scaling_curves(grid.table([new]), error="best")


def test_bars_are_one_standard_error_either_way():
    table = grid.table([make_row(r=0.1, error=error, seed=seed) for seed, error in enumerate((0.1, 0.2, 0.3))])
    ((_, bars),) = curves(scaling_curves(table).axes[0]).values()
    half = 0.1 / np.sqrt(3)
    np.testing.assert_allclose(segments(bars), [[[100, 0.2 - half], [100, 0.2 + half]]])


def test_bars_need_three_seeds():
    three = [make_row(r=0.1, error=0.1 + s / 10, seed=s) for s in range(3)]
    two = [make_row(r=0.5, error=0.1 + s / 10, seed=s) for s in range(2)]
    ((_, bars),) = curves(scaling_curves(grid.table([*three, *two])).axes[0]).values()
    assert {x for ends in segments(bars) for x, _ in ends} == {100}


def test_bars_that_would_reach_zero_are_of_the_logarithm():
    # mean 0.1 and standard error 0.1: one standard error down is zero, which has no place on the axis
    table = grid.table([make_row(r=0.1, error=error, seed=seed) for seed, error in enumerate((0.0, 0.0, 0.3))])
    ((_, bars),) = curves(scaling_curves(table).axes[0]).values()
    np.testing.assert_allclose(segments(bars), [[[100, 0.1 / np.e], [100, 0.2]]])


def test_one_ensemble_has_no_bars_and_the_legend_says_why():
    table = make_table(rules=("random", "el2n hardest"), fractions=(0.05, 0.2))
    pinned = table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0))
    for rows, bars, told in ((table, 2, False), (pinned, 0, True)):
        figure = scaling_curves(rows)
        assert len(segments(curves(figure.axes[0])["el2n hardest"][1])) == bars
        assert ("no bars: one probe ensemble" in figure.legends[0].get_title().get_text()) == told
        assert len(segments(curves(figure.axes[0])["random"][1])) == 2


def test_no_errors_are_drawn_as_half_an_error():
    table = grid.table([make_row(r=0.1, error=0.2), make_row(r=0.5, error=0.0, n_test=999)])
    ((line, _),) = curves(scaling_curves(table).axes[0]).values()
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.5 / 1000])


def test_the_full_level_is_a_labelled_dashed_line():
    rows = [
        make_row(error=0.5),
        make_row(r=1.0, error=0.1),
        make_row("el2n hardest", 1.0, 0.1),
        make_row(r=1.0, error=0.3, seed=1),
    ]
    (axes,) = scaling_curves(grid.table(rows)).axes
    (level,) = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    np.testing.assert_allclose(level.get_ydata(), 0.2)
    assert level.is_dashed()
    assert [text.get_text() for text in axes.texts] == ["all 1,000 examples: 20%"]


def test_without_the_full_data_there_is_no_level():
    (axes,) = scaling_curves(grid.table([make_row(r=0.5)])).axes
    assert not axes.texts


@pytest.mark.parametrize("fractions", [(0.01, 1.0), (0.05, 0.2, 0.5, 1.0), (0.3, 0.5), (0.5,)])
def test_ticks_are_plain_numbers_where_they_stand(fractions):
    figure = scaling_curves(make_table(fractions=fractions, n=50_000))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    for axis, unit in ((axes.xaxis, 1), (axes.yaxis, 100)):
        low, high = axis.get_view_interval()
        ticks = [(tick.get_loc(), tick.label1.get_text()) for tick in axis.get_major_ticks()]
        seen = [(place, text) for place, text in ticks if low <= place <= high]
        assert len(seen) >= 3
        for place, text in seen:
            assert float(text.replace(",", "").rstrip("%")) == pytest.approx(unit * place)
            assert text.endswith("%") == (unit == 100)
        assert not axis.get_minor_ticks()


def test_all_that_is_drawn_lies_inside_its_limits():
    rows = [make_row(r=0.1, error=error, seed=s) for s, error in enumerate((0.0, 0.0, 0.3))] + [
        make_row(r=1.0, error=0.01)
    ]
    (axes,) = scaling_curves(grid.table(rows)).axes
    bottom, top = axes.get_ylim()
    assert 0 < bottom < 0.01
    assert top > 0.1 + 0.1


def test_each_data_set_model_and_recipe_has_a_panel():
    rows = [make_row(error=0.1), make_row(error=0.2, dataset="digits"), make_row(error=0.3, model="cnn")]
    rows += [make_row(error=0.4, model="cnn", recipe="long"), make_row(error=0.5, model="vit")]
    figure = scaling_curves(grid.table(rows))
    found = {axes.get_title(loc="left"): curves(axes)["random"][0].get_ydata().tolist() for axes in figure.axes}
    assert found == {
        "blobs, mlp": [0.1],
        "blobs, cnn, short": [0.3],
        "blobs, cnn, long": [0.4],
        "blobs, vit": [0.5],
        "digits, mlp": [0.2],
    }


def test_the_legend_lists_each_rule_once_and_covers_no_panel():
    table = grid.table([*(make_row(rule) for rule in RULES), make_row(dataset="digits")])
    figure = scaling_curves(table)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == grid.rule_order(RULES)
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert box.x1 <= figure.bbox.x1


def test_looks_are_distinct_and_stable():
    rules = [
        f"{metric} {selector}"
        for metric in ("el2n", "aum", "new", "newer")
        for selector in ("hardest", "exact 0.2", "exact 0.5")
    ]
    looks = rule_looks(["random", *rules])
    shape = ("marker", "linestyle", "fillstyle")  # which must do without the hue
    assert len({tuple(str(look.get(name)) for name in shape) for look in looks.values()}) == len(looks)
    assert looks["random"]["color"] == "black"
    for metric in ("el2n", "aum", "new", "newer"):
        assert len({look["color"] for rule, look in looks.items() if rule.startswith(f"{metric} ")}) == 1
    assert len({looks[f"{metric} hardest"]["color"] for metric in ("el2n", "aum", "new", "newer")}) == 4
    assert rule_looks(["el2n hardest", "loss easiest"])["el2n hardest"] == looks["el2n hardest"]


def test_reading_and_saving_name_what_is_wrong(tmp_path):
    make_table().to_csv(tmp_path / "grid.csv", index=False)
    figure = from_grid(tmp_path / "grid.csv")
    assert save(figure, tmp_path / "new" / "curves.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(OptionError, match=r"curves\.word"):
        save(figure, tmp_path / "curves.word")
    with pytest.raises(WinnowError, match="there is no file"):
        from_grid(tmp_path / "absent.csv")


def test_the_script_draws_the_named_figure_and_leaves_its_numbers_beside_it(tmp_path, monkeypatch, capsys):
    make_table(seeds=1).to_csv(tmp_path / "grid.csv", index=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*overrides):
        return run_script("figures.py", *overrides, capsys=capsys)

    done = run("figure=scaling_curves", "figure.grid=../grid.csv", "out=sub/curves.png")
    assert (done.code, done.out) == (0, "sub/curves.png\n"), done.err
    assert {path.name for path in work.rglob("*")} == {"sub", "curves.png", "curves.csv", "curves.provenance.json"}
    written = pd.read_csv(work / "sub" / "curves.csv")
    means = grid.summarise(grid.read(tmp_path / "grid.csv"))["test_error_mean"]
    np.testing.assert_allclose(written["test_error_mean"], means, rtol=1e-6)
    assert run("figure.grid=../grid.csv").out == "../scaling_curves.png\n"
    grid.table([make_row(r=r, worst_class_error=0.5) for r in (0.1, 0.5)]).to_csv(tmp_path / "new.csv", index=False)
    worst = run("figure.grid=../new.csv", "figure.error=worst_class")
    assert worst.out == "../scaling_curves_worst_class.png\n"
    for overrides, message in (((), "needs figure.grid"), (("figure.grid=none.csv",), "there is no file none.csv")):
        failed = run(*overrides)
        assert failed.code == 1
        assert message in failed.err
        assert failed.err.count("\n") == 1


def test_a_figure_that_fails_leaves_nothing_where_the_user_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ended = run_script("figures.py", "figure=scaling_curves", "figure.grid=none.csv", capsys=capsys)
    assert ended.code == 1
    assert list(tmp_path.iterdir()) == []
