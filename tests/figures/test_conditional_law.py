import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.figures.conditional_law import conditional_law, from_grid
from winnow.scaling import grid
from winnow.scaling.joint import fit_families

WIDTHS = (4, 8, 16)


def make_table(widths=WIDTHS, **fields):
    return grid.table(
        make_row(
            rule,
            r,
            (3 * (1000 * r) ** -b + width**-1.5 + 0.01) * (1 + 0.03 * np.sin(100 * r + 9 * seed + width)),
            seed,
            **{"model": f"conv-w{width}", "family": "conv", "width": width, "multiply_adds": width**2}
            | {"probe_multiply_adds": None if rule == "random" else width**2}
            | fields,
        )
        for rule, b in {"random": 0.5, "el2n hardest": 0.9}.items()
        for width in widths
        for r in (0.05, 0.1, 0.2, 0.4, 0.7)
        for seed in range(3)
    )


@pytest.fixture(scope="module")
def family():
    (family,) = fit_families(make_table())
    return family


@pytest.fixture(scope="module")
def figure(family):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("winnow.figures.conditional_law.fit_families", lambda table: [family])
        return conditional_law(make_table())


def test_curves_are_the_joint_law_and_panels_follow_the_allocation(figure, family):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["random", "el2n hardest", "expected test error", "chosen examples kept", "chosen width"]
    for axes, rule in zip(figure.axes, family.fit.rules, strict=False):
        curves = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "None"]
        for width, curve in zip(WIDTHS, [line for line in curves if len(line.get_xdata()) > 50], strict=True):
            np.testing.assert_allclose(curve.get_ydata(), family.fit.predict(curve.get_xdata(), rule, width))
    errors = np.concatenate([line.get_ydata() for line in figure.axes[2].lines])
    assert errors.size == 40
    widths = np.concatenate([line.get_ydata() for line in figure.axes[4].lines if line.get_linestyle() == "None"])
    assert set(widths) <= set(range(4, 17))
    below = figure.table[figure.table["panel"] == "allocation"]
    assert set(below["width"]) == set(widths)
    above = figure.table[figure.table["panel"] == "error"]
    assert len(above) == 2 * len(WIDTHS) * 5
    first = above.iloc[0]
    assert first["law"] == family.fit.predict(first["n_kept"], first["rule"], first["width"])


def test_labels_stay_on_the_figure(figure):
    FigureCanvasAgg(figure).draw()
    for part in figure.subfigs:
        (legend,) = part.legends
        box = legend.get_window_extent()
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(axes.get_window_extent()) for axes in part.axes)
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == ["width 4", "width 8", "width 16"]


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(FitError, match="one width and one depth; sweep"):
        conditional_law(make_table(widths=(8,)))
    with pytest.raises(FitError, match=r"several families of models \(blobs, conv, short; digits, conv, short\)"):
        conditional_law(pd.concat([make_table(), make_table(dataset="digits")], ignore_index=True))
    make_table(widths=(8,)).to_csv(tmp_path / "grid.csv", index=False)
    with pytest.raises(FitError, match="one width and one depth"):
        from_grid(tmp_path / "grid.csv")
