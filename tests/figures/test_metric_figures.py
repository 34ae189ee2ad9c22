import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from winnow.core.errors import WinnowError
from winnow.diagnostics.metric_properties import hardest_overlap, kendall, spearman
from winnow.figures.label_noise import label_noise
from winnow.figures.metric_comparison import metric_comparison
from winnow.figures.probe_agreement import probe_agreement


def make_table(n=200):
    rng = np.random.default_rng(0)
    base = rng.normal(size=n)
    scores = {"near": base + 0.1 * rng.normal(size=n), "far": rng.normal(size=n), "base": base, "flat": np.zeros(n)}
    return pd.DataFrame({"index": np.arange(n), "label": np.arange(n) % 4, **scores})


def test_heat_maps_are_the_matrices_in_the_order_of_the_tree():
    table = make_table()
    figure = metric_comparison(table)
    FigureCanvasAgg(figure).draw()
    _, left, right = figure.axes[:3]
    names = [label.get_text() for label in left.get_yticklabels()]
    assert sorted(names) == ["base", "far", "flat", "near"]
    assert abs(names.index("base") - names.index("near")) == 1
    scores = table[names].to_numpy().T
    np.testing.assert_allclose(left.images[0].get_array(), spearman(scores))
    np.testing.assert_allclose(right.images[0].get_array(), hardest_overlap(scores))
    assert [label.get_text() for label in right.get_xticklabels()] == names
    numbers = figure.table.set_index(["metric", "other"])
    assert len(numbers) == 10
    tau = kendall(table[["near", "base"]].to_numpy().T)[0, 1]
    assert numbers.loc[("near", "base"), "kendall_tau_b"] == pytest.approx(tau)
    with pytest.raises(WinnowError, match="two metrics"):
        metric_comparison(table[["index", "label", "near"]])


def test_dots_are_measured_and_the_line_goes_through_the_last():
    agreement = pd.DataFrame(
        {
            "metric": ["a", "a", "b", "b", "c"],
            "probes": [1, 2, 1, 2, 1],
            "members": 4,
            "correlation": [0.5, 0.6, -0.1, -0.2, np.nan],
        }
    )
    figure = probe_agreement(agreement)
    FigureCanvasAgg(figure).draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b"]
    _, line, dots = figure.axes[0].lines
    np.testing.assert_array_equal(dots.get_ydata(), [0.5, 0.6])
    assert line.get_ydata()[-1] == pytest.approx(0.75)
    assert np.interp(2, line.get_xdata(), line.get_ydata()) == pytest.approx(0.6, abs=1e-3)
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"0.95 takes 26", "never 0.95"}
    assert figure.table["spearman_brown"].iloc[0] == pytest.approx(0.5 * 0.6 / (1 - 0.5 * 0.6))
    with pytest.raises(WinnowError, match="raise probe"):
        probe_agreement(agreement[agreement["metric"] == "c"])


def test_a_marker_a_data_set_where_its_number_is():
    auc = [0.9, 0.6, 0.8, np.nan]
    table = pd.DataFrame({"dataset": ["x", "x", "y", "y"], "metric": ["a", "b", "a", "b"], "flip_auc": auc})
    figure = label_noise(table)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    drawn = {line.get_label(): dict(zip(line.get_ydata(), line.get_xdata(), strict=True)) for line in axes.lines[1:]}
    assert drawn == {"x": {1: 0.9, 0: 0.6}, "y": {1: 0.8}}
    assert figure.table is table
    with pytest.raises(WinnowError, match="label_noise"):
        label_noise(table.assign(flip_auc=np.nan))
