"""The figures of experiments by paper, from made-up grids whose answers are known."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import ttest_1samp

from helpers.rows import make_row
from winnow.core.errors import FitError, OptionError, WinnowError
from winnow.figures.easy_vs_hard import easy_vs_hard
from winnow.figures.error_against_option import error_against_option
from winnow.figures.keep_half import keep_half
from winnow.figures.metric_ranking import metric_ranking
from winnow.figures.published import plain_rule, points, published_of
from winnow.figures.scaling_curves import scaling_curves
from winnow.figures.style import Drawing, log_bars
from winnow.scaling import grid
from winnow.scaling.paired import holm


def made(cells: Any, **fields: Any) -> pd.DataFrame:
    """A grid of (rule, r, error) with five replicates, whose errors differ by what the seed and the rule make."""
    rows = []
    for (rule, r, error), seed in itertools.product(cells, range(5)):
        own = 0.001 * np.sin(7 * seed + sum(map(ord, rule)) + 10 * r)
        rows.append(make_row(rule, r, error + 0.002 * seed + (own if r < 1 else 0), seed, **fields))
    return grid.table(rows)


def drawn(drawing: Drawing) -> Drawing:
    """It can be drawn, and nothing that is written in it lies outside."""
    FigureCanvasAgg(drawing).draw()
    for axes in drawing.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert box.x0 > -1
        assert box.x1 < drawing.bbox.x1 + 1
    return drawing


def kept_half() -> pd.DataFrame:
    rules = {"random": 0.02, "el2n hardest": 0.0, "grand hardest": 0.004}
    cells = [(rule, r, 0.05 + loss * (1 - r) * 2) for rule, loss in rules.items() for r in (0.3, 0.5, 0.7, 1.0)]
    return made(cells)


def test_half_of_the_data_is_as_good_as_all_where_a_one_sided_test_says_so() -> None:
    table = kept_half()
    numbers = drawn(keep_half(table, margin=0.005)).table
    line = numbers[(numbers["rule"] == "el2n hardest") & (numbers["r"] == 0.5)].iloc[0]
    errors = table[table["rule"] == "el2n hardest"].pivot_table(index="train_seed", columns="r", values="test_error")
    differences = errors[0.5] - errors[1.0]
    assert line["difference"] == pytest.approx(differences.mean())
    above = ttest_1samp(differences, -0.005, alternative="greater").pvalue
    below = ttest_1samp(differences, 0.005, alternative="less").pvalue
    assert line["p_no_loss"] == pytest.approx(below)
    assert line["p_equivalent"] == pytest.approx(max(above, below))
    interval = ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high))
    equal = numbers[numbers["p_no_loss_holm"] < 0.05]
    assert set(equal["rule"]) == {"el2n hardest", "grand hardest"}
    np.testing.assert_allclose(numbers["p_no_loss_holm"], holm(numbers["p_no_loss"].to_numpy()))
    assert 1.0 not in set(numbers["r"])


def test_what_keep_half_cannot_say() -> None:
    with pytest.raises(OptionError, match=r"figure\.margin=0 must be positive"):
        keep_half(kept_half(), margin=0)
    with pytest.raises(FitError, match=r"compression\.r=1"):
        keep_half(made([("random", 0.5, 0.1)]))
    alone = drawn(keep_half(kept_half().assign(probe_seed=0), margin=0.005)).table
    assert alone["p_no_loss"].isna().all()


@pytest.mark.parametrize(
    ("option", "rules", "values"),
    [
        ("skip", ["el2n window 0", "el2n window 0.05", "el2n window 0.1"], [0, 0.05, 0.1]),
        ("epoch", ["el2n[epoch=1] hardest", "el2n[epoch=12] hardest"], [1, 12]),
    ],
)
def test_an_option_in_the_names_of_rules_is_an_axis(option: str, rules: list[str], values: list[float]) -> None:
    cells = [(rule, 0.4, 0.2 - 0.03 * place) for place, rule in enumerate(rules)]
    table = made([*cells, ("random", 0.4, 0.15), ("random", 1.0, 0.05), (rules[0], 1.0, 0.05)])
    drawing = drawn(error_against_option(table, option=option))
    swept = drawing.table[drawing.table["value"].notna()]
    assert swept["value"].tolist() == values
    assert set(swept["rule"]) == {"el2n window" if option == "skip" else "el2n hardest"}
    (axes,) = drawing.axes
    bars = axes.containers[0].lines[0]
    np.testing.assert_allclose(bars.get_xdata(orig=False), values)
    np.testing.assert_allclose(bars.get_ydata(orig=False), 100 * swept["test_error_mean"])
    assert {line.get_label() for line in axes.lines} >= {"random", "all data"}
    with pytest.raises(FitError, match=f"two values of {option}"):
        error_against_option(made([(rules[0], 0.4, 0.2), ("random", 0.4, 0.1)]), option=option)


def test_the_hard_win_where_there_is_much_data() -> None:
    sign = {200: 0.1, 1600: -0.1}
    parts = []
    for n, r in itertools.product(sign, (0.1, 0.3)):
        cells = [("el2n hardest", r, 0.3 + sign[n]), ("el2n easiest", r, 0.3), ("random", r, 0.25)]
        parts.append(made(cells, dataset=f"digits-limit{n}", n=n))
    table = pd.concat(parts, ignore_index=True)
    numbers = drawn(easy_vs_hard(table)).table
    first = numbers[numbers["second"] == "el2n easiest"]
    assert (np.sign(first["difference"]) == first["n"].map(lambda n: np.sign(sign[n]))).all()
    assert len(numbers) == 3 * 4
    assert (first["p_holm"] < 0.05).all()
    without = table[table["rule"] != "random"]
    assert len(easy_vs_hard(without).axes) == 2, "one map and its colours"
    with pytest.raises(FitError, match="selector=threshold,easiest"):
        easy_vs_hard(table[table["rule"] != "el2n easiest"])


def test_metrics_are_ranked_by_what_they_keep() -> None:
    metrics = {"el2n": 0.3, "forgetting": 0.08, "aum": 0.1, "ssp": 0.2}
    rules = {f"{name} hardest": error for name, error in metrics.items()} | {"random": 0.1}
    cells = [(rule, r, error) for rule, error in rules.items() for r in (0.1, 0.3)]
    drawing = drawn(metric_ranking(made([*cells, ("random", 1.0, 0.02)])))
    left, _ = drawing.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["forgetting", "aum", "ssp", "el2n"]
    with pytest.raises(FitError, match="no rows of the rule 'random'"):
        metric_ranking(made([("el2n hardest", 0.1, 0.3)]))


def costly(error: float, r: float, rule: str, seed: int) -> Any:
    adds = {"multiply_adds": 1000, "probe_multiply_adds": None if rule == "random" else 500}
    return make_row(rule, r, error, seed, **adds)


def test_curves_against_all_that_is_computed() -> None:
    rows = [
        costly(0.2 - 0.1 * r, r, rule, s) for rule in ("random", "el2n hardest") for r in (0.1, 0.5, 1) for s in (0, 1)
    ]
    drawing = drawn(scaling_curves(grid.table(rows), x="total_cost"))
    (axes,) = drawing.axes
    assert axes.get_xlabel() == "multiply-adds, scoring included"
    costs = drawing.table.set_index(["rule", "n_kept"])["total_cost"]
    assert costs["random", 100] == 10 * 100 * 1000
    assert costs["el2n hardest", 500] == 10 * 500 * 1000 + 5 * 1000 * 500
    assert ("random", 1000) in costs.index
    assert ("el2n hardest", 1000) not in costs.index, "nobody scores to keep everything"
    with pytest.raises(WinnowError, match="multiply-adds"):
        scaling_curves(grid.table([make_row()]), x="total_cost")


def test_published_points_lie_beside_ours_with_their_source() -> None:
    cells = [(rule, r, 0.2) for rule in ("random", "el2n[window] hardest", "loss hardest") for r in (0.1, 1.0)]
    (axes,) = drawn(scaling_curves(made(cells, dataset="cifar10-jpeg", n=50_000), published=True)).axes
    hollow = {tuple(np.round(line.get_ydata(), 4)): line for line in axes.lines if line.get_fillstyle() == "none"}
    random, el2n = ((0.057, 0.066, 0.091, 0.12, 0.21), (0.046, 0.054, 0.125, 0.297, 0.777))
    assert set(hollow) == {random, el2n}
    np.testing.assert_allclose(hollow[random].get_xdata(), [35_000, 25_000, 15_000, 10_000, 5_000])
    label = " ".join(axes.get_xlabel().split())
    assert "Zheng et al. 2023, Table 1 (ResNet-18; 40,000 steps at every r; window variant)" in label
    (other,) = scaling_curves(made(cells, dataset="digits"), published=True).axes
    assert other.get_xlabel() == "examples kept"
    with pytest.raises(OptionError, match=r"leave out figure\.x"):
        scaling_curves(made(cells), x="total_cost", published=True)


def test_published_points_are_of_their_data_set() -> None:
    assert points().notna().all(axis=None)
    assert points()["accuracy"].between(0, 100).all()
    assert plain_rule("aum[probability] ccs[aum] cifar10 strata=20") == "aum ccs"
    assert published_of("cifar100", ["random"]).empty
    assert len(published_of("cifar10-limit500", ["random", "random x"])) == 5


def test_bars_on_a_logarithmic_axis_never_reach_zero() -> None:
    mean, se = np.array([0.2, 0.1, 0.1, 0.1]), np.array([0.05, 0.1, 0.09995, np.nan])
    down, up = log_bars(mean, se, 0.0005)
    np.testing.assert_allclose(mean[:3] - down[:3], [0.15, 0.1 / np.e, 0.1 * np.exp(-0.9995)])
    assert np.isnan([down[3], up[3]]).all()
