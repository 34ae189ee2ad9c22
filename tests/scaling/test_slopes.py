"""Exponents of rules beside random's, on curves that are power laws to the last digit."""

import pytest

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.figures.slopes import slopes as drawn
from winnow.scaling import grid
from winnow.scaling.slopes import slopes

SIZES = (100, 200, 400, 1000)


def curve(rule: str, exponents: list[float], sizes: tuple[int, ...] = SIZES) -> list:
    """Rows whose seed s has the error (n / 50)^(−exponents[s])."""
    return [
        make_row(
            rule=rule, r=n / 1000, n_kept=n, selection_seed=seed, train_seed=seed,
            probe_seed=None if rule == "random" else seed, test_error=(n / 50) ** -b,
        )
        for n in sizes
        for seed, b in enumerate(exponents)
    ]  # fmt: skip


RANDOM = curve("random", [0.30, 0.32, 0.28, 0.31])


def test_the_exponent_of_each_replicate_is_found_and_paired() -> None:
    rows = RANDOM + curve("el2n hardest", [0.51, 0.52, 0.48, 0.51]) + curve("aum hardest", [0.2, 0.42, 0.3, 0.3])
    found = slopes(grid.table(rows)).set_index("rule")
    steep, flat = found.loc["el2n hardest"], found.loc["aum hardest"]
    assert steep["b"] == pytest.approx(0.505)
    assert steep["baseline_b"] == pytest.approx(0.3025)
    assert steep["difference"] == pytest.approx(0.2025), "0.21, 0.2, 0.2 and 0.2"
    assert steep["high"] - steep["low"] == pytest.approx(2 * 3.18245 * 0.005 / 2, rel=1e-4), "t of 3, sd 0.005"
    assert steep["p_holm"] == pytest.approx(2 * steep["p"])
    assert flat["low"] < 0 < flat["high"]
    assert set(found["sizes"]) == {3}, "r = 1 is every rule's"


def test_only_sizes_that_both_have_count() -> None:
    bent = [*RANDOM, *curve("random", [0.9] * 4, sizes=(50,))]
    rows = bent + curve("el2n hardest", [0.5] * 4)
    assert slopes(grid.table(rows))["baseline_b"].item() == pytest.approx(0.3025)
    with pytest.raises(FitError, match=r"3 sizes beside 'random'"):
        slopes(grid.table(RANDOM + curve("el2n hardest", [0.5] * 4, sizes=(100, 200))))


def test_the_figure_has_the_steepest_on_top_and_fills_what_is_sure() -> None:
    rows = RANDOM + curve("el2n hardest", [0.51, 0.52, 0.48, 0.51]) + curve("aum hardest", [0.2, 0.42, 0.3, 0.3])
    (axes,) = drawn(grid.table(rows)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["aum hardest", "el2n hardest"]
    full = axes.lines[-1]
    assert list(full.get_xdata()) == pytest.approx([0.2025])
    assert "random: b = 0.30" in axes.get_title(loc="left")
