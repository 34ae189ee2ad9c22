from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from winnow.core.errors import FitError, MissingEvidenceError, ShapeError
from winnow.figures.alpha_curve import alpha_curve, from_choices
from winnow.figures.error_against_alpha import error_against_alpha, from_grid
from winnow.scaling import grid
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import save_alpha

ALPHAS = (0.0, 0.5, 0.9)
ABOUT = {"alpha": 0.5, "criterion": "gradient", "rule": "el2n exact auto", "r": 0.1}
CURVE = pd.DataFrame({"alpha": [0, 0.5, 1], "signal": [0, 5, 10], "bias2": [0, 1, 9.0], "variance": [4, 1, 0.0]})
GRADIENT = CURVE.assign(criterion=CURVE["bias2"] + CURVE["variance"])
VALIDATION = pd.DataFrame({"alpha": [0, 1], "error": [0.3, 0.2], "loss": [1.0, 2], "criterion": [0.3, 0.2]})


def make_table(seeds=4):
    rows = [make_row(r=r, seed=seed, error=0.2) for r in (0.1, 0.2) for seed in range(seeds)]
    for protocol in ("exact", "approximate"):
        for r in (0.1, 0.2):
            for seed in range(seeds):
                where = {"r": r, "seed": seed, "selector": "calibrated", "protocol": protocol}
                rows += [
                    make_row(f"el2n {protocol} {a:g}", alpha=a, error=0.1 + a * r + 0.01 * seed, **where)
                    for a in ALPHAS
                ]
                rows.append(make_row(f"el2n {protocol} auto", alpha=0.1 * seed, error=0.15, **where))
    return grid.table(rows)


def drawn(axes):
    return {bars.get_label(): bars.lines[0] for bars in axes.containers}


def test_errors_are_means_against_alpha_and_auto_is_marked():
    table = make_table()
    figure = error_against_alpha(table)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 2
    for r, axes in zip((0.1, 0.2), figure.axes, strict=True):
        lines = drawn(axes)
        for protocol in ("exact", "approximate"):
            here = table[(table["r"] == r) & (table["protocol"] == protocol) & ~table["rule"].str.contains("auto")]
            means = here.groupby("alpha")["test_error"].mean()
            np.testing.assert_allclose(lines[protocol].get_xydata(), np.column_stack([ALPHAS, 100 * means]))
            np.testing.assert_allclose(lines[f"{protocol}, auto"].get_xydata(), [[0.15, 15]])
        (random,) = [line for line in axes.lines if line.get_label() == "random"]
        np.testing.assert_allclose(random.get_ydata(), 20)
        assert "exact, auto: 3.5" in axes.texts[0].get_text()  # 15% less the 11.5% at alpha = 0


def test_bars_are_standard_errors_over_ensembles_and_one_ensemble_has_none():
    table = make_table()
    figure = error_against_alpha(table)
    exact = next(bars for bars in figure.axes[0].containers if bars.get_label() == "exact")
    lengths = [np.diff(ends[:, 1]) for ends in exact.lines[2][0].get_segments()]
    # errors 0.01 apart over four replicates
    np.testing.assert_allclose(lengths, 3 * [[200 * 0.01 * np.sqrt(5 / 3) / 2]])
    assert "bars ± 1 standard error" in figure.legends[0].get_title().get_text()
    alone = error_against_alpha(table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0)))
    assert "one probe ensemble: no bars" in alone.legends[0].get_title().get_text()
    assert "one probe ensemble" in alone.axes[0].texts[0].get_text()
    assert " to " not in alone.axes[0].texts[0].get_text()


def test_a_sweep_without_auto_is_drawn_and_one_alpha_is_not_a_sweep(tmp_path: Path):
    table = make_table()
    swept = table[~table["rule"].str.contains("auto")]
    swept.to_csv(tmp_path / "grid.csv", index=False)
    assert len(drawn(from_grid(tmp_path / "grid.csv").axes[0])) == 2
    for part in (swept[swept["alpha"] == 0.5], table[table["rule"] == "random"]):
        with pytest.raises(FitError, match=r"alpha\.value"):
            error_against_alpha(part)


def test_curves_are_relative_to_random():
    figure = alpha_curve([(GRADIENT, ABOUT), (VALIDATION, ABOUT | {"criterion": "validation"})])
    FigureCanvasAgg(figure).draw()
    left, right = figure.axes
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in left.lines}
    np.testing.assert_allclose(lines["sum"], [1, 0.5, 2.25])
    np.testing.assert_allclose(lines["bias²"], [0, 0.25, 2.25])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[0, 30], [1, 20]])
    assert "chosen: 0.5" in lines
    assert left.get_title(loc="left") == "el2n exact auto, r = 0.1"


def test_both_criteria_are_drawn_one_above_the_other():
    tried = pd.DataFrame({"error": [0.3, np.nan, 0.2], "loss": 1.0, "excess_se": [0.02, np.nan, 0]})
    both = GRADIENT.join(tried), ABOUT | {"choices": {"gradient": 0.5, "validation": 1.0}}
    figure = alpha_curve([both, (VALIDATION, ABOUT | {"criterion": "validation"})])
    FigureCanvasAgg(figure).draw()
    (above, other), (below, absent) = np.reshape(figure.axes, (2, 2))
    assert not absent.get_visible()
    assert [other.get_title(loc="left"), below.get_title(loc="left")] == ["el2n exact auto, r = 0.1", ""]
    (bars,) = below.containers
    np.testing.assert_allclose(bars.lines[0].get_xydata(), [[0, 30], [1, 20]])
    labels = {line.get_label(): line.get_xdata()[0] for line in (*above.lines, *below.lines)}
    assert (labels["chosen: 0.5"], labels["would choose: 1"]) == (0.5, 1)


def test_choices_are_read_from_their_folders(tmp_path: Path):
    made = ArtifactStore(tmp_path).fetch(
        "alpha", "key", write=lambda draft: save_alpha(draft, GRADIENT, ABOUT), inputs={}
    )
    assert len(from_choices([made.folder]).axes) == 1
    with pytest.raises(MissingEvidenceError, match="there is no folder"):
        from_choices([tmp_path / "absent"])
    with pytest.raises(ShapeError, match="at least one"):
        alpha_curve([])
