"""The map of alpha by r, on grids whose differences are known."""

import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.core.errors import FitError, OptionError
from winnow.figures.alpha_map import alpha_map
from winnow.scaling import grid

SEEDS = range(4)


def made(errors: dict[tuple[float, float | str], float], protocol: str = "exact", metric: str = "el2n") -> list:
    """Rows of (r, alpha) -> test error, each seed a little off; random at (r, "random")."""
    rows = []
    for (r, alpha), error in errors.items():
        for seed in SEEDS:
            own = {"r": r, "n_kept": round(1000 * r), "selection_seed": seed, "train_seed": seed}
            off = 0.001 * seed
            if alpha == "random":
                rows.append(make_row(rule="random", probe_seed=None, test_error=error + off, **own))
                continue
            chosen = 0.1 * seed if isinstance(alpha, str) else alpha
            noise = off + (0.0004 if seed % 2 else -0.0004)
            rows.append(
                make_row(
                    rule=f"{metric} {protocol} {alpha}", metric=metric, selector="calibrated", protocol=protocol,
                    alpha=chosen, probe_seed=seed, test_error=error + noise, **own,
                )
            )  # fmt: skip
    return rows


RANDOM = {(0.1, "random"): 0.4, (0.3, "random"): 0.2}


def test_differences_from_random_and_the_best_alpha() -> None:
    rows = made(RANDOM)
    rows += made({(0.1, 0.25): 0.41, (0.1, 0.5): 0.45, (0.3, 0.25): 0.18, (0.3, 0.5): 0.15})
    rows += made({(0.1, "auto"): 0.4, (0.3, "auto by validation"): 0.19})
    drawing = alpha_map(grid.table(rows))
    numbers = drawing.table.set_index(["r", "label"])
    assert numbers.loc[(0.3, "0.5"), "difference"] == pytest.approx(-0.05)
    assert numbers.loc[(0.1, "auto"), "alpha"] == pytest.approx(0.15), "auto has the mean of what it chose"
    assert set(numbers[numbers["best"]].index) == {(0.3, "0.5")}, "no box where every alpha is worse than random"
    assert numbers.loc[(0.3, "0.5"), "p_holm"] < 0.05
    assert numbers.loc[(0.3, "0.5"), "p_holm"] >= 6 * numbers["p"].min(), "corrected over all squares"
    (axes, *_) = drawing.axes
    texts = [text.get_text() for text in axes.texts]
    assert "−5.0•" in texts
    assert len(axes.patches) == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == ["auto", "auto by validation", "0.5", "0.25"]


def test_a_panel_for_each_score_and_protocol() -> None:
    rows = made(RANDOM) + made({(0.1, 0.25): 0.3}) + made({(0.1, 0.25): 0.5}, metric="aum", protocol="approximate")
    drawing = alpha_map(grid.table(rows))
    shown = [axes.get_title(loc="left").split("\n")[0] for axes in drawing.axes if axes.axison]
    assert {"el2n, exact", "aum, approximate"} <= set(shown)
    assert len(drawing.table) == 2


def test_what_it_cannot_draw() -> None:
    with pytest.raises(FitError, match="beside random"):
        alpha_map(grid.table(made(RANDOM)))
    with pytest.raises(FitError, match="beside random"):
        alpha_map(grid.table(made({(0.1, 0.5): 0.3})))
    with pytest.raises(OptionError, match="limit"):
        alpha_map(pd.DataFrame(), limit=0)
