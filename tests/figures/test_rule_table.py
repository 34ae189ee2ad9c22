"""The table of rules beside random, from made-up grids whose differences are known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from winnow.core.errors import FitError, OptionError, WinnowError
from winnow.figures.rule_table import rule_table
from winnow.figures.style import Drawing
from winnow.scaling import grid
from winnow.scaling.paired import differences, holm

SHIFTS = {"random": 0.0, "el2n hardest": 0.3, "aum exact 0.5": -0.02, "zeta[first=30] ccs[aum] strata=20": 0.01}


def made(seeds: int = 5, **fields) -> pd.DataFrame:
    """Two data sets of two sizes; the hardest is far worse, on the second of them the more so."""
    rng, rows = np.random.default_rng(0), []
    for (place, dataset), (rule, shift), seed in itertools.product(
        enumerate(("digits", "digits-noise0.2")), SHIFTS.items(), range(seeds)
    ):
        for r in (0.1, 0.5, 1.0):
            own = 0 if rule == "random" or r == 1 else shift * (1 + place) + rng.normal(0, 0.0005)
            error = 0.1 + 0.01 * seed + own
            rows.append(
                make_row(rule, r, error, seed, dataset=dataset, worst_class_error=min(1, 1.5 * error), **fields)
            )
    return grid.table(rows)


def words(drawing: Drawing, panel: int = 0) -> dict[tuple[float, float], str]:
    """What is written in a panel, by column and row."""
    return {tuple(text.get_position()): text.get_text() for text in drawing.axes[panel].texts}


def rules_of(drawing: Drawing) -> list[str]:
    return [label.get_text() for label in drawing.axes[0].get_yticklabels()]


def test_squares_hold_the_paired_differences_best_first_and_one_correction_for_all() -> None:
    table = made()
    drawing = rule_table(table)
    assert rules_of(drawing) == ["random", "aum exact 0.5", "zeta[first=30] ccs[aum] strata=20", "el2n hardest"]
    assert [axes.get_title(loc="left") for axes in drawing.axes[:2]] == [
        "digits\nmlp\nall 1,000: 12.0 ± 0.7%", "digits-noise0.2\nmlp\nall 1,000: 12.0 ± 0.7%",
    ]  # fmt: skip
    assert [label.get_text() for label in drawing.axes[0].get_xticklabels()] == ["0.1", "0.5"]
    written = words(drawing)
    assert written[0, 0] == "12.0"
    assert written[0, 3].startswith("+30.")
    assert written[0, 3].endswith("•")
    assert written[1, 1].startswith(("−2.0", "−1.9", "−2.1"))
    assert words(drawing, 1)[0, 3].startswith(("+60.", "+59."))
    numbers = drawing.table[drawing.table["rule"] != "random"]
    assert len(numbers) == 2 * 2 * 3
    np.testing.assert_allclose(numbers["p_holm"], holm(numbers["p"].to_numpy()))
    assert ((numbers["low"] < numbers["difference"]) & (numbers["difference"] < numbers["high"])).all()
    assert set(numbers["seeds"]) == set(numbers["clusters"]) == {5}
    beside = numbers.merge(differences(table), on=["dataset", "rule", "n_kept"])
    np.testing.assert_allclose(beside["difference_x"], beside["difference_y"])
    assert rules_of(rule_table(table, order="name"))[1:] == sorted(set(SHIFTS) - {"random"})
    FigureCanvasAgg(drawing).draw()
    for axes in drawing.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert box.x0 > -1, "names of rules are not cut"
        assert box.x1 < drawing.bbox.x1 + 1
        assert box.y0 > -1
        assert box.y1 < drawing.bbox.y1 + 1


def test_panels_that_do_not_fill_the_last_line() -> None:
    table = made(seeds=2)
    both = pd.concat([table, table.assign(model="resnet8")], ignore_index=True)
    titles = [axes.get_title(loc="left").split("\n")[:2] for axes in rule_table(both).axes[:4]]
    assert titles == [[name, model] for name in ("digits", "digits-noise0.2") for model in ("mlp", "resnet8")]


def test_colours_end_at_the_limit() -> None:
    table = made(seeds=2)
    assert rule_table(table).axes[0].images[0].get_clim() == (-20, 20)
    assert rule_table(table, limit=5.0).axes[0].images[0].get_clim() == (-5, 5)
    small = table[table["rule"] != "el2n hardest"]
    assert rule_table(small).axes[0].images[0].get_clim()[1] == pytest.approx(4, abs=0.2)


def test_any_rule_can_be_the_one_beside_and_any_error() -> None:
    table = made(seeds=3)
    drawing = rule_table(table, baseline="aum exact 0.5")
    assert rules_of(drawing)[:2] == ["aum exact 0.5", "random"]
    assert words(drawing)[0, 1].startswith("+2.") or words(drawing)[0, 1].startswith("+1.9")
    worst = rule_table(table, error="worst_class")
    assert words(worst)[0, 0] == "16.5"
    assert words(worst)[0, 3].startswith(("+45.", "+44."))
    named = " ".join(worst.axes[-1].get_ylabel().split())
    assert named == "test error of the worst class − that of random, points"
    with pytest.raises(WinnowError, match="no row of the grid has worst_class_error"):
        rule_table(table.assign(worst_class_error=np.nan), error="worst_class")


def test_rows_say_their_replicates_and_rules_of_one_ensemble_have_no_test() -> None:
    table = made()
    shared = table.assign(probe_seed=table["probe_seed"].where(table["rule"] != "el2n hardest", 0))
    drawing = rule_table(shared)
    written = words(drawing)
    assert [text for (x, y), text in written.items() if x not in (0, 1)] == ["5", "5/1", "5"]
    assert not written[0, 3].endswith("•")
    assert said(drawing).endswith("or runs/clusters; no test where that is /1, one probe ensemble")
    assert "over 12 squares; at the end of a row: replicates" in said(rule_table(table))
    alone = rule_table(table.assign(probe_seed=table["probe_seed"].where(table["probe_seed"].isna(), 0)))
    assert said(alone).endswith("one probe ensemble: no test")
    assert "Holm" not in said(alone)
    assert said(rule_table(table[table["train_seed"] == 0])).endswith("one replicate: no test")


def said(drawing: Drawing) -> str:
    return " ".join(str(drawing.get_supxlabel()).split())


def test_a_rule_that_was_run_without_a_pair_is_not_taken_for_one_that_was_not_run() -> None:
    rows = [make_row("aum exact 0.5 drop=0.1 by aum", 0.1, 0.2, seed, dataset="digits", n_kept=90) for seed in (0, 1)]
    drawing = rule_table(pd.concat([made(seeds=2), grid.table(rows)], ignore_index=True))
    written, row = words(drawing), rules_of(drawing).index("aum exact 0.5 drop=0.1 by aum")
    assert row == 4, "what has no difference comes last"
    assert written[0, row] == "–"
    assert (1, row) not in written
    assert "digits-noise0.2" in drawing.axes[1].get_title(loc="left")


def test_a_rule_that_keeps_more_of_fewer_stands_under_the_r_of_as_many_examples() -> None:
    rows = [
        make_row("aum hardest drop=0.1 by aum", r / 0.9, 0.2, seed, dataset="digits", n_kept=round(1000 * r))
        for seed in (0, 1)
        for r in (0.1, 0.5)
    ]
    table = pd.concat([made(seeds=2), grid.table(rows)], ignore_index=True)
    own = rule_table(table).table.query("rule == 'aum hardest drop=0.1 by aum'")
    assert list(own["r"]) == [0.1, 0.5]
    assert own["difference"].notna().all()


def test_what_cannot_be_drawn() -> None:
    table = made(seeds=1)
    with pytest.raises(OptionError, match=r"figure\.limit=0 must be positive"):
        rule_table(table, limit=0)
    with pytest.raises(OptionError, match=r"figure\.order=best is not known"):
        rule_table(table, order="best")
    with pytest.raises(FitError, match="no rows of the rule 'el2n easiest'"):
        rule_table(table, baseline="el2n easiest")
    with pytest.raises(FitError, match="no rule has a run beside 'random'"):
        rule_table(table[table["rule"] == "random"])
