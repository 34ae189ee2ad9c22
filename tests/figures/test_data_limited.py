"""The verdict about data and training, from made-up errors."""

import itertools
from collections.abc import Mapping

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import ttest_1samp

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.figures.data_limited import data_limited
from winnow.figures.style import Drawing
from winnow.scaling import grid

Errors = Mapping[tuple[int, float], float]
LIMITED = {(100, 1.0): 0.05, (100, 0.3): 0.15, (100, 0.1): 0.3, (200, 1.0): 0.048, (200, 0.3): 0.14, (200, 0.1): 0.303}


def made(errors: Errors, seeds: int = 4, **fields) -> pd.DataFrame:
    """By (steps, r), of seeds that move together but for a little; one name for recipes of all lengths."""
    rows = []
    for ((steps, r), error), seed in itertools.product(errors.items(), range(seeds)):
        own = error + 0.01 * seed + 0.001 * ((7 * seed + steps // 100 + round(10 * r)) % 3)
        rows.append(make_row("random", r, own, seed, steps=steps, examples_seen=80 * steps, **fields))
    return grid.table(rows)


def text(drawing: Drawing, panel: int = 0) -> str:
    FigureCanvasAgg(drawing).draw()
    box = drawing.axes[panel].get_tightbbox()
    assert box is not None
    assert box.x0 > -1, "the verdict is not cut"
    assert box.y0 > -1
    return " ".join(drawing.axes[panel].get_xlabel().split()).replace("\N{NO-BREAK SPACE}", " ")


def at(drawing: Drawing, steps: int, r: float) -> pd.Series:
    numbers = drawing.table
    return numbers[(numbers["steps"] == steps) & (numbers["r"] == r)].iloc[0]


def test_the_verdict_and_its_numbers() -> None:
    table = made(LIMITED)
    drawing = data_limited(table)
    wide = table.pivot_table(index="train_seed", columns=["steps", "r"], values="test_error")
    changes, lost = wide[200, 0.1] - wide[100, 0.1], wide[100, 0.3] - wide[100, 1.0]
    for differences, name, r in ((changes, "doubled", 0.1), (lost, "lost", 0.3)):
        line, interval = at(drawing, 100, r), ttest_1samp(differences, 0).confidence_interval(0.95)
        assert line[name] == pytest.approx(differences.mean())
        assert (line[f"{name}_low"], line[f"{name}_high"]) == pytest.approx((interval.low, interval.high))
    assert at(drawing, 100, 0.1)["test_error_mean"] == pytest.approx(wide[100, 0.1].mean()), "lengths are not averaged"
    assert drawing.table["data_limited"].tolist() == [True] * 3 + [pd.NA] * 3
    said = text(drawing)
    assert "8 epochs' steps (100): doubling changes r = 1 by −0." in said
    assert "; r = 0.3 loses 10." in said
    assert "): data-limited. 16 epochs' steps (200): r = 0.3 loses 9." in said
    (axes,) = drawing.axes
    assert [container.get_label() for container in axes.containers] == ["r = 1", "r = 0.3", "r = 0.1"]
    assert list(axes.containers[2].lines[0].get_xdata()) == [100, 200]
    named = table.assign(recipe="fast" + table["steps"].astype(str))
    pd.testing.assert_frame_equal(data_limited(named).table, drawing.table)


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        ({(200, 1.0): 0.03}, "not data-limited (r = 1 still changes)"),
        ({(200, 0.1): 0.25}, "not data-limited (r = 0.1 still changes)"),
        ({(100, 0.3): 0.07}, "not data-limited (less than 3 are lost)"),
        ({(200, 1.0): 0.03, (100, 0.3): 0.07}, "not data-limited (r = 1 still changes, less than 3 are lost)"),
    ],
)
def test_what_is_not_data_limited_says_why(errors: Errors, why: str) -> None:
    drawing = data_limited(made({**LIMITED, **errors}))
    assert why in text(drawing)
    assert not at(drawing, 100, 1.0)["data_limited"]


def test_a_verdict_that_rests_on_a_wide_interval_says_so() -> None:
    table = made(LIMITED, seeds=2)
    wild = (table["steps"] == 200) & (table["r"] == 0.1) & (table["train_seed"] == 0)
    drawing = data_limited(table.assign(test_error=table["test_error"].where(~wild, 0.2)))
    assert at(drawing, 100, 0.1)["data_limited"]
    assert "data-limited, but r = 0.1 only as the interval holds zero" in text(drawing)


def test_one_replicate_has_no_interval_and_only_small_changes_count() -> None:
    said = text(data_limited(made(LIMITED, seeds=1)))
    assert " to " not in said
    assert said.count("data-limited") == 1
    assert "not data-limited (r = 1 still changes)" in text(data_limited(made({**LIMITED, (200, 1.0): 0.03}, seeds=1)))


def test_less_than_twice_the_steps_is_not_told_and_panels_are_of_data_sets() -> None:
    longer = {(300, r): LIMITED[200, r] for r in (1.0, 0.3, 0.1)}
    other = {(2 * steps, r): error for (steps, r), error in LIMITED.items()}
    table = pd.concat([made({**LIMITED, **longer}), made(other, dataset="digits")], ignore_index=True)
    drawing = data_limited(table)
    assert "1.5 times as many changes r = 1 by" in text(drawing)
    assert "not told" in text(drawing)
    assert [axes.get_title(loc="left") for axes in drawing.axes] == ["blobs, mlp", "digits, mlp"]
    blobs = drawing.table[drawing.table["dataset"] == "blobs"].groupby("steps")["data_limited"].first()
    assert blobs.isna().tolist() == [False, True, True]


def test_lengths_without_a_seed_in_common_are_not_told() -> None:
    table = made(LIMITED, seeds=2)
    own = table["train_seed"] + 5 * (table["steps"] == 200)
    drawing = data_limited(table.assign(train_seed=own, selection_seed=own))
    assert "doubling changes r = 1 by an unknown amount" in text(drawing)
    assert drawing.table["data_limited"].isna().all()


def test_what_cannot_be_judged() -> None:
    table = made(LIMITED)
    for lacking in (table["steps"] == 100, table["r"] == 0.1, table["r"] == 0.3, table["r"] == 1.0):
        with pytest.raises(FitError, match=r"blobs, mlp has no two lengths .* recipe\.budget=steps"):
            data_limited(table[~lacking])
    with pytest.raises(FitError, match=r"run selector=random\."):
        data_limited(table.assign(rule="el2n hardest"))
    with pytest.raises(FitError, match="several recipes take 100 steps"):
        data_limited(pd.concat([table, made(LIMITED, recipe="other")], ignore_index=True))
