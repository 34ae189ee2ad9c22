import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from winnow.core.errors import MissingEvidenceError, OptionError, WinnowError
from winnow.core.types import Subset
from winnow.figures.shift import from_table, shift
from winnow.figures.shift_against_n import shift_against_n
from winnow.figures.shift_map import from_table as map_from_table
from winnow.figures.shift_map import projected, shift_map
from winnow.store.shifts import add_shifts


def table():
    """Made lines: two rules, one with weights, three fractions of all 1,000 and one of parts, two or three seeds."""
    lines, rng = [], np.random.default_rng(0)
    for rule, forms in (("random", [True]), ("el2n exact 0.5", [True, False])):
        for n, fractions, seeds in ((1000, (0.1, 0.3, 1.0), 2), (200, (0.1,), 3)):
            for r in fractions:
                for seed in range(seeds):
                    for weighted in forms:
                        line = {"dataset": "d", "metric": "el2n", "rule": rule, "r": r, "n": n, "of": 1000}
                        line |= {"n_kept": round(r * n), "selection_seed": seed, "weighted": weighted}
                        line |= {"effective_sample_size": r * n * (0.6 if weighted else 1), "coverage": 1 - r / 2}
                        for name in ("energy", "sliced_wasserstein", "class_tv"):
                            line |= {name: rng.uniform(1, 2), f"{name}_null_median": 1.0, f"{name}_null_high": 1.5}
                        line |= {f"decile_{i}": r * i for i in range(1, 11)}
                        lines.append(line | {"key": f"{rule}{n}{r}{seed}", "subset": "s", "features": "f"})
    return pd.DataFrame(lines)


def drawn(axes):
    return [bars.lines[0].get_xydata() for bars in axes.containers]


def test_curves_are_means_over_seeds_of_the_whole_data():
    figure = shift(table(), r=0.3)
    FigureCanvasAgg(figure).draw()
    part = table().query("n == of and n_kept < n")
    means = part.groupby(["rule", "weighted", "r"])[["energy", "coverage"]].mean()
    exact_bare, exact, random = drawn(figure.axes[0])
    for line, key in (
        (exact_bare, ("el2n exact 0.5", False)),
        (exact, ("el2n exact 0.5", True)),
        (random, ("random", True)),
    ):
        np.testing.assert_array_equal(line[:, 0], [0.1, 0.3])
        np.testing.assert_allclose(line[:, 1], means.loc[key]["energy"])
    assert len(drawn(figure.axes[3])) == 2  # coverage knows no weights
    for line in figure.axes[5].lines:
        np.testing.assert_allclose(line.get_ydata(), 0.3 * np.arange(1, 11))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(shift(table(), r=0.1, n=200).axes[0].containers) == 3
    assert labels[:3] == ["random", "el2n exact 0.5", "el2n exact 0.5, weights left out"]


def test_against_n_has_means_and_standard_errors_at_one_fraction():
    figure = shift_against_n(table(), r=0.1)
    FigureCanvasAgg(figure).draw()
    part = table().query("r == 0.1 and rule == 'random'").groupby("n")["energy"]
    bars = figure.axes[0].containers[-1]
    np.testing.assert_allclose(bars.lines[0].get_xydata(), part.mean().reset_index())
    segments = bars.lines[2][0].get_segments()
    ends = np.array(segments[0])
    assert (ends[1, 1] - ends[0, 1]) / 2 == pytest.approx(part.sem().loc[200])
    assert np.isnan(segments[1]).all()  # two seeds say little of a spread
    with pytest.raises(OptionError, match="two sizes"):
        shift_against_n(table(), r=0.3)


def test_the_map_shows_each_example_once():
    rng = np.random.default_rng(0)
    subset = Subset(np.array([3, 5]), np.array([0.5, 1.5]), np.zeros(2, bool), 30)
    plane = rng.standard_normal((30, 2))
    figure = shift_map(plane, {"rule": subset, "all": Subset.full(30)}, names=("x", "y"), r=0.1)
    FigureCanvasAgg(figure).draw()
    dropped, kept = figure.axes[0].collections
    np.testing.assert_array_equal(kept.get_offsets(), plane[[3, 5]])
    assert kept.get_sizes()[1] == pytest.approx(3 * kept.get_sizes()[0])
    assert len(dropped.get_offsets()) == 28
    assert len(figure.axes[1].collections[0].get_offsets()) == 0
    few = shift_map(plane, {"all": Subset.full(30)}, names=("x", "y"), r=1.0, points=7)
    assert len(few.axes[0].collections[1].get_offsets()) == 7


def test_the_plane_is_that_of_most_variance(monkeypatch):
    rng = np.random.default_rng(0)
    flat = np.zeros((50, 5), np.float32)
    flat[:, 1], flat[:, 3] = 9 * rng.standard_normal(50), 2 * rng.standard_normal(50)
    plane, names = projected(flat)
    centred = flat - flat.mean(axis=0)
    assert np.abs(np.corrcoef(plane[:, 0], centred[:, 1])[0, 1]) > 0.99
    np.testing.assert_allclose((plane**2).sum(axis=1), (centred**2).sum(axis=1), rtol=1e-4)
    shares = [int(name.split("(")[1].split("%")[0]) for name in names]
    assert sum(shares) == 100
    with pytest.raises(OptionError, match="pca, umap"):
        projected(flat, "tsne")
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(OptionError, match="umap-learn"):
        projected(flat, "umap")


def test_tables_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(WinnowError, match="there is no file"):
        from_table(tmp_path / "shifts.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(WinnowError, match="no column energy"):
        from_table(tmp_path / "other.csv")
    with pytest.raises(OptionError, match=r"0\.1, 0\.3, 1"):
        shift(table(), r=0.2)
    with pytest.raises(OptionError, match="more than one metric"):
        shift(table().assign(metric=[f"metric{i}" for i in range(len(table()))]))
    path = add_shifts(tmp_path, table().to_dict("records"))
    with pytest.raises(MissingEvidenceError, match="there is no subset s"):
        map_from_table(path, artifacts=tmp_path)
    with pytest.raises(OptionError, match="0 embeddings"):
        map_from_table(path, r=0.2)


def test_a_table_keeps_the_latest_line_of_each_report(tmp_path):
    made = table().to_dict("records")
    add_shifts(tmp_path, made)
    path = add_shifts(tmp_path, [made[-1] | {"energy": 7.0}])
    again = pd.read_csv(path)
    assert len(again) == len(made)
    assert (again["energy"] == 7).sum() == 1
