import numpy as np
import pytest

from helpers.rows import make_row
from winnow.core.errors import WinnowError
from winnow.figures.error_against_cost import error_against_cost, from_grid
from winnow.scaling import grid
from winnow.scaling.costs import total

SCORED = {"multiply_adds": 1000, "probe_multiply_adds": 400}


def rows(**fields):
    scores = {"random": {"multiply_adds": 1000}, "el2n hardest": SCORED}
    return [
        make_row(rule, r, 0.05 / r + seed / 50, seed, **(scores[rule] | fields))
        for rule in scores
        for r in (0.1, 0.5, 1.0)
        for seed in range(3)
    ]


def test_the_total_is_that_of_training_and_of_the_scores_that_were_read():
    table = grid.table(
        [make_row("random", 0.1, multiply_adds=1000), make_row("el2n hardest", 0.1, **SCORED), make_row("old")]
    )
    costs = dict(zip(table["rule"], total(table), strict=True))
    assert costs["random"] == 1000 * 1000
    assert costs["el2n hardest"] == 1000 * 1000 + 5000 * 400
    assert np.isnan(costs["old"])


def test_lines_are_means_against_what_they_cost_without_scoring_to_keep_all():
    table = grid.table(rows())
    (axes,) = error_against_cost(table).axes
    drawn = {bars.get_label(): bars.lines[0] for bars in axes.containers}
    np.testing.assert_allclose(drawn["random"].get_xdata(), [1, 5, 10])  # millions
    np.testing.assert_allclose(drawn["el2n hardest"].get_xdata(), [3, 7])
    np.testing.assert_allclose(drawn["el2n hardest"].get_ydata(), [0.52, 0.12])
    assert axes.get_xlabel().endswith("in millions")


def test_a_panel_for_each_group_and_none_for_rows_that_tell_no_cost(tmp_path):
    table = grid.table([*rows(), *rows(dataset="digits"), make_row(dataset="older")])
    table.to_csv(tmp_path / "grid.csv", index=False)
    drawing = from_grid(tmp_path / "grid.csv")
    assert [axes.get_title(loc="left") for axes in drawing.axes] == ["blobs, mlp", "digits, mlp"]
    assert set(drawing.table["dataset"]) == {"blobs", "digits"}
    with pytest.raises(WinnowError, match="no row of the grid tells its multiply-adds"):
        error_against_cost(grid.table([make_row()]))
