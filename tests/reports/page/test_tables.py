import numpy as np
import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.reports.page import numbers, tables
from winnow.scaling import grid


def texts(table):
    return [[cell.text for cell in line] for line in table.lines]


def class_errors(rows, of_class):
    """of_class: the error of a class, by rule, n_kept, seed and class."""
    lines = [
        {"key": row.key, "class": label, "name": f"class {label}", "n_test": 50, "test_error": of_class(row, label)}
        for row in rows
        for label in range(2)
    ]
    return pd.DataFrame(lines)


def test_classes_have_their_own_means_beside_all_data_which_count_once():
    rules = ("random", "el2n hardest")
    rows = [make_row(rule, r, 0.2, seed) for rule in rules for r in (0.1, 0.5, 1.0) for seed in range(3)]
    base = {("random", 100): 0.2, ("el2n hardest", 100): 0.6}
    errors = class_errors(
        rows, lambda row, label: base.get((row.rule, row.n_kept), 0.1) + label / 10 + row.train_seed / 50
    )
    (found,) = tables.class_lines(grid.table(rows), errors)
    assert [column.head for column in found.columns] == ["class", "tested", "all data", "random", "el2n hardest"]
    se = 100 * np.std([0, 0.02, 0.04], ddof=1) / np.sqrt(3)
    assert texts(found) == [
        ["class 0", "50", f"12.0 ± {se:.1f}", f"22.0 ± {se:.1f}", f"62.0 ± {se:.1f}"],
        ["class 1", "50", f"22.0 ± {se:.1f}", f"32.0 ± {se:.1f}", f"72.0 ± {se:.1f}"],
    ]
    assert [cell.strong for cell in found.lines[0]] == [False, False, False, False, True]
    assert "r = 0.1 (100 kept)" in found.title


def test_a_plan_stands_beside_what_came_of_it():
    """Rules that keep all share one training, which counts once."""
    rows = [make_row(rule, r, 0.2, seed) for rule in ("random", "el2n hardest") for r in (0.1, 1.0) for seed in (0, 1)]
    table = grid.table(rows)
    plan = {"cells": 8, "to_run": 8, "trainings": 6, "at_most": True, "examples": 4000, "seconds": None, "device": "X"}
    made = tables.plan_lines(table, plan)
    once = table.drop_duplicates(["n_kept", "train_seed", "test_loss", "seconds"])
    assert texts(made)[0] == ["trainings", "at most 6", str(len(once))]
    assert texts(made)[1] == ["examples shown in them", "at most 4,000", f"{once['examples_seen'].sum():,}"]
    assert texts(made)[2][1] == "unknown"
    assert made.notes == ["Planned when 8 of 8 cells were to run, on X."]


def test_of_many_classes_the_worst_are_shown_and_that_is_said(monkeypatch):
    monkeypatch.setattr(tables, "CLASSES", 1)
    rows = [make_row("random", 0.1, 0.2, seed) for seed in range(3)]
    (found,) = tables.class_lines(grid.table(rows), class_errors(rows, lambda row, label: label / 2))
    assert texts(found) == [["class 1", "50", "50.0 ± 0.0"]]
    assert any(note.startswith("1 of 2 classes") for note in found.notes)


def test_the_lowest_of_each_size_is_strong_but_not_of_all_data_and_gaps_are_dashes():
    rows = [
        make_row("random", 0.1, 0.2),
        make_row("a b", 0.1, 0.3),
        make_row("random", 0.5, 0.1),
        make_row("a b", 1.0, 0.05),
    ]
    (found,) = tables.matrix(grid.table(rows))
    assert texts(found) == [["random", "20.0 ± ?", "10.0 ± ?", "–"], ["a b", "30.0 ± ?", "–", "5.0 ± ?"]]
    assert [[cell.strong for cell in line] for line in found.lines] == [[False, True, True, False], [False] * 4]
    assert found.notes == [
        "± ?: random, a b: there is one replicate (draw new probes with each replicate, as seed=0,1,2 does)."
    ]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (numbers.signed(-0.004), "−0.4"),
        (numbers.signed(0.0004), "0.0"),
        (numbers.signed(0.012), "+1.2"),
        (numbers.interval(-0.019, 0.011), "−1.9 to 1.1"),
        (numbers.interval(-0.0001, 0.011), "0.0 to 1.1"),
        (numbers.with_se(0.082, float("nan")), "8.2 ± ?"),
        (numbers.chance(0.0004), "p < 0.001"),
        (numbers.chance(0.042), "p = 0.042"),
        (numbers.large(2.35e9), "2.35 G"),
        (numbers.large(12.0), "12"),
        (numbers.large(float("nan")), "–"),
        (numbers.clock(3.21), "3.2 s"),
        (numbers.clock(250), "4 min 10 s"),
        (numbers.clock(7500), "2 h 5 min"),
        (numbers.counted(1, "cell"), "1 cell"),
        (numbers.counted(1200, "cell"), "1,200 cells"),
        (numbers.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_as_they_are_written(shown, text):
    assert shown == text
