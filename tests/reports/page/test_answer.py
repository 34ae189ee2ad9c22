"""The sentences of the page, on grids made by hand."""

import itertools
import re

import pytest

from helpers.rows import make_row
from winnow.reports.page.answer import answers
from winnow.scaling import grid
from winnow.scaling.fits import fit_rules
from winnow.scaling.paired import differences

JITTER = (-0.004, 0.001, 0.003)
"""Of three replicates, whose spread says how sure a mean is."""


def rows_of(rule, r, mean, spread=1.0, **fields):
    return [make_row(rule, r, mean + spread * own, seed, **fields) for seed, own in enumerate(JITTER)]


def told(rows, *, also=()):
    """The sentences of the only group, or those of the first."""
    table = grid.table([*rows, *also])
    compared = differences(table) if (table["rule"] == "random").any() else None
    return answers(table, fit_rules(table, ("power",)), compared)[0].sentences


def test_a_clear_win_names_rule_size_difference_interval_and_correction():
    rows = [
        *rows_of("random", 0.1, 0.3),
        *rows_of("el2n hardest", 0.1, 0.1, spread=2),
        *rows_of("aum hardest", 0.1, 0.301),
    ]
    first, _ = told(rows)
    line = differences(grid.table(rows)).set_index("rule").loc["el2n hardest"]
    low, high = -100 * line["high"], -100 * line["low"]
    assert first.startswith(
        "At r = 0.1 (100 of 1,000 examples kept) el2n hardest beats random by 20.0 points (95% interval "
    )
    assert f"interval {low:.1f} to {high:.1f}, p < 0.001" in first
    assert 0 < low < 20 < high


def test_other_rules_that_win_are_named_without_numbers():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("a b", 0.1, 0.1, spread=2), *rows_of("c d", 0.1, 0.2, spread=2)]
    assert told(rows)[0].endswith("; so does c d.")


def test_where_nothing_is_shown_the_best_mean_is_given_with_its_doubt():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("el2n hardest", 0.1, 0.296, spread=-1)]
    (first, *_) = told(rows)
    line = differences(grid.table(rows)).iloc[0]
    assert line["low"] < 0 < line["high"]
    assert "no rule is shown to beat random: the best, el2n hardest, differs by −0.4 points (95% interval −" in first
    assert "Holm" not in first, "a single comparison is not corrected"


def test_correction_counts_every_comparison_of_the_grid_and_is_told_once():
    rules, fractions = ("random", "el2n hardest", "aum hardest"), (0.1, 0.2)
    rows = [
        row
        for i, (rule, r) in enumerate(itertools.product(rules, fractions))
        for row in rows_of(rule, r, 0.3 - i / 500, i)
    ]
    text = " ".join(
        told(rows, also=rows_of("random", 0.1, 0.2, model="z") + rows_of("el2n hardest", 0.1, 0.25, 2, model="z"))
    )
    assert text.count("after Holm's correction over 5 comparisons") == 1


def test_a_rule_that_loses_everywhere_is_told():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("random", 0.5, 0.2)]
    rows += [*rows_of("el2n hardest", 0.1, 0.5, spread=2), *rows_of("el2n hardest", 0.5, 0.22, spread=2)]
    first, second, _ = told(rows)
    assert "every rule does worse than random, el2n hardest least, by 20.0 points (95% interval 1" in first
    assert "2 of 2 comparisons are shown to be worse, most of all el2n hardest at r = 0.1, by 20.0 points" in second


def test_a_win_at_a_larger_size_alone():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("random", 0.5, 0.2)]
    rows += [*rows_of("el2n hardest", 0.1, 0.301, spread=-2), *rows_of("el2n hardest", 0.5, 0.1, spread=2)]
    first, second, _ = told(rows)
    assert "no rule is shown to beat random" in first
    assert second.startswith(
        "Of the larger sizes only one shows a rule to beat random: el2n hardest at r = 0.5, by 10.0"
    )


def test_one_ensemble_gives_no_number_but_the_remedy():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("el2n hardest", 0.1, 0.1, probe_seed=7)]
    first = told(rows)[0]
    assert "no interval exists, as all runs share one probe ensemble (draw new probes with each replicate" in first
    assert "points" not in first


def test_one_replicate_gives_no_number_either():
    first = told([make_row("random", 0.1, 0.3), make_row("el2n hardest", 0.1, 0.1)])[0]
    assert "no interval exists, as there is one replicate (" in first
    assert "points" not in first


def test_a_rule_with_one_ensemble_beside_one_with_three():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("a b", 0.1, 0.1, 2), *rows_of("c d", 0.1, 0.01, probe_seed=7)]
    first = told(rows)[0]
    assert "a b beats random" in first
    assert "; of c d no interval exists, as all runs share one probe ensemble" in first


def test_a_rule_that_is_random_by_another_name():
    rows = [*rows_of("random", 0.1, 0.3), *rows_of("el2n exact 0", 0.1, 0.3)]
    assert told(rows)[0].endswith("no interval exists, as all replicates differ by the same.")


@pytest.mark.parametrize("rule", ["random", "el2n hardest"])
def test_a_single_cell_says_what_is_lacking(rule):
    sentences = told([make_row(rule, 0.1, 0.3)])
    assert ("No rule was run on the same seeds" if rule == "random" else "no rows of the rule random") in sentences[0]
    assert sentences[-1].startswith(f"How the error of {rule} scales is not told: power has 2 parameters and needs")


def test_how_the_error_scales_comes_with_its_interval_and_the_error_of_all_data():
    rows = [row for r in (0.1, 0.2, 0.4, 0.7, 1.0) for row in rows_of("random", r, 0.05 * r**-0.5)]
    table = grid.table(rows)
    (fitted,) = fit_rules(table, ("power",))
    low, high = fitted.best.intervals["b"]
    last = told(rows)[-1]
    assert f"b = {fitted.best.parameters['b']:.3g} (95% interval {low:.3g} to {high:.3g})" in last
    assert last.endswith("all 1,000 examples give an error of 5.0 ± 0.2 percent (one standard error).")


def test_each_data_set_has_an_answer_of_its_own():
    table = grid.table([make_row(), make_row(dataset="digits")])
    found = answers(table, fit_rules(table, ("power",)), differences(table))
    assert [answer.question for answer in found] == [
        f"Which part of {name} does mlp need, and how does its test error scale once the rest is gone?"
        for name in ("blobs", "digits")
    ]


def test_every_number_of_points_is_one_of_the_library():
    means = {("random", 0.1): 0.3, ("random", 0.3): 0.2, ("a b", 0.1): 0.31, ("a b", 0.3): 0.21, ("c d", 0.1): 0.5}
    rows = [row for i, ((rule, r), mean) in enumerate(means.items()) for row in rows_of(rule, r, mean, i)]
    compared = differences(grid.table(rows))
    known = {f"{abs(100 * value):.1f}" for name in ("difference", "low", "high") for value in compared[name]}
    said = re.findall(r"([\d.]+) points \(95% interval −?([\d.]+) to −?([\d.]+),", " ".join(told(rows)))
    assert len(said) == 3
    assert {number for numbers in said for number in numbers} <= known
