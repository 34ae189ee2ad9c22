import json
import math
from dataclasses import asdict, fields

import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.core.errors import WinnowError
from winnow.core.types import Row
from winnow.scaling import grid

BLOBS = ("blobs", "mlp", "short")


def test_the_table_has_the_fields_of_row_and_is_sorted():
    rows = [
        make_row("random", 0.5, seed=1),
        make_row("el2n hardest", 0.5, probe_seed=2),
        make_row("random", 0.1, seed=2),
        make_row("el2n hardest", 0.5, probe_seed=1),
        make_row("random", 0.1, seed=1),
    ]
    table = grid.table(rows)
    assert list(table.columns) == [field.name for field in fields(Row)]
    assert list(table["key"]) == [rows[i].key for i in (3, 1, 4, 2, 0)]


def test_rows_with_equal_keys_count_once():
    visited_under_two_metrics = [make_row("random", key="random-0"), make_row("random", key="random-0")]
    assert len(grid.table([*visited_under_two_metrics, make_row("random", key="random-1")])) == 2


def test_a_table_of_no_rows_has_its_columns():
    assert list(grid.table([]).columns) == [field.name for field in fields(Row)]


def test_a_grid_comes_back_from_its_csv(tmp_path):
    rows = [make_row("random", git="123456789012"), make_row("el2n hardest", git="1e2345678901")]
    table = grid.table(rows)
    table.to_csv(tmp_path / "grid.csv", index=False)
    pd.testing.assert_frame_equal(grid.read(tmp_path / "grid.csv"), table)


def test_numbers_come_back_to_the_bit_and_names_as_they_are(tmp_path):
    awkward = [
        0.1 + 0.2,
        1 / 3,
        math.nextafter(0.5, 1),
        0.40151854621039496,
        5e-324,
        38.680640625,
        9.007199254740993e15,
    ]
    rows = [
        make_row("random", error=0.07222222222222222, seed=i, test_loss=loss, seconds=loss)
        for i, loss in enumerate(awkward)
    ]
    rows += [make_row("el2n exact 0.5", dataset="NA", model="null", git=None, width=3, worst_class_error=0.1, seed=9)]
    table = grid.table(rows)
    table.to_csv(tmp_path / "grid.csv", index=False)
    read = grid.read(tmp_path / "grid.csv")
    assert sorted(grid.rows(read), key=lambda row: row.key) == sorted(rows, key=lambda row: row.key)
    read.to_csv(tmp_path / "again.csv", index=False)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "grid.csv").read_bytes()
    assert json.loads(json.dumps([asdict(row) for row in grid.rows(read)])) == [asdict(row) for row in grid.rows(table)]


def test_a_line_that_is_no_row_is_told_by_its_number():
    table = grid.table([make_row("random", seed=0), make_row("random", seed=1)])
    for wrong, told in (
        ({"rule": None}, "has no rule"),
        ({"seconds": math.inf}, "seconds=inf"),
        ({"n_kept": 0}, "n_kept"),
    ):
        broken = table.assign(**{name: [table[name][0], value] for name, value in wrong.items()})
        with pytest.raises(WinnowError, match=f"^line 3 .*{told}"):
            grid.rows(broken)


def test_a_file_that_is_no_grid_is_a_one_line_error_that_names_it(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "words.csv").write_text("n,r\nmany,0.1\n")
    grid.table([]).to_csv(tmp_path / "empty.csv", index=False)
    problems = {"absent": "no file", "other": "no column rule", "words": "not a grid", "empty": "no rows"}
    for name, problem in problems.items():
        with pytest.raises(WinnowError, match=problem) as raised:
            grid.read(tmp_path / f"{name}.csv")
        assert f"{name}.csv" in str(raised.value)
        assert "\n" not in str(raised.value)


def test_means_and_standard_errors_over_seeds():
    # 0.10, 0.20, 0.60: mean 0.3, squares of deviations 0.04 + 0.01 + 0.09 = 0.14, variance 0.07, se sqrt(0.07 / 3)
    rows = [make_row("el2n hardest", 0.1, error, seed) for seed, error in enumerate((0.1, 0.2, 0.6))]
    rows += [make_row("random", 0.1, 0.4, effective_sample_size=80.0)]
    random, hardest = (
        grid.summarise(grid.table(rows)).set_index("rule").loc[rule] for rule in ("random", rows[0].rule)
    )
    assert hardest["test_error_mean"] == pytest.approx(0.3)
    assert hardest["test_error_se"] == pytest.approx(math.sqrt(0.07 / 3))
    assert hardest["seeds"] == 3
    assert (hardest["r"], hardest["n_kept"], hardest["examples_seen"], hardest["probe_examples"]) == (
        0.1,
        100,
        1000,
        5000,
    )
    assert random["seeds"] == 1
    assert math.isnan(random["test_error_se"])
    assert random["effective_sample_size"] == 80


def test_crossed_rows_are_not_counted_as_independent_and_one_ensemble_has_no_error():
    """Three ensembles with three seeds each, where only the ensemble matters: three draws, not nine."""
    rows = [make_row("el2n hardest", error=(p + 1) / 10, seed=s, probe_seed=p) for p in range(3) for s in range(3)]
    line = grid.summarise(grid.table(rows)).loc[0]
    assert (line["seeds"], line["clusters"], line["df"]) == (9, 3, pytest.approx(2))
    assert line["test_error_se"] == pytest.approx(0.1 / math.sqrt(3))
    assert not line["one_ensemble"]
    alone = grid.table([row for row in rows if row.probe_seed == 0])
    (line,) = grid.summary(alone, done=3)["curves"]
    assert (line["seeds"], line["clusters"], line["test_error_se"]) == (3, 1, None)
    assert line["note"] == grid.summary(alone, done=3)["best"][0]["note"] == "one probe ensemble"


def test_the_mean_is_that_of_the_ensembles():
    rows = [make_row("el2n hardest", error=0.2, seed=0), make_row("el2n hardest", error=0.3, seed=1)]
    rows += [make_row("el2n hardest", error=0.4, seed=s, probe_seed=1) for s in (2, 3, 4)]
    # ensemble 0: 0.2; ensemble 1: 0.3 and three times 0.4, on average 0.375
    line = grid.summarise(grid.table(rows)).loc[0]
    assert line["test_error_mean"] == pytest.approx((0.2 + 0.375) / 2)
    assert line["test_error_se"] == pytest.approx(0.175 / 2)


def test_another_error_can_be_summarised_and_rows_without_it_are_left_out():
    table = grid.table([make_row(seed=seed) for seed in range(3)]).assign(worst=[0.5, 0.7, math.nan])
    line = grid.summarise(table, "worst").loc[0]
    assert (line["worst_mean"], line["worst_se"], line["seeds"]) == (pytest.approx(0.6), pytest.approx(0.1), 2)
    assert "test_error_mean" not in line


def test_rows_of_the_same_three_seeds_are_one_seed():
    rows = [make_row(error=0.1, seed=0), make_row(error=0.3, seed=0), make_row(error=0.5, seed=1)]
    line = grid.summarise(grid.table(rows)).loc[0]
    assert line["seeds"] == 2
    assert line["test_error_mean"] == pytest.approx(0.35)  # mean of 0.2 and 0.5
    assert line["test_error_se"] == pytest.approx(0.15)


def test_cells_that_differ_without_a_name_for_it_are_counted():
    twice = [make_row(seed=0), make_row(seed=0), make_row(seed=1), make_row(seed=0, recipe="long")]
    assert grid.mixed_cells(grid.table(twice)) == 2
    assert grid.mixed_cells(grid.table(twice[1:])) == 0


def test_each_of_the_three_seeds_makes_a_seed():
    rows = [make_row("el2n hardest", **{name: 7}) for name in ("probe_seed", "selection_seed", "train_seed")]
    assert grid.summarise(grid.table(rows)).loc[0, "seeds"] == 3


def test_on_all_examples_only_training_seeds_are_seeds():
    rows = [make_row("el2n hardest", 1.0, 0.1 + seed / 10, seed, probe_seed=p) for seed in (0, 1) for p in (0, 1, 2)]
    line = grid.summarise(grid.table(rows)).loc[0]
    assert line["seeds"] == 2
    assert line["test_error_se"] == pytest.approx(0.05)  # |0.1 - 0.2| / 2


def test_data_sets_models_and_recipes_are_kept_apart():
    rows = [make_row(), make_row(dataset="digits"), make_row(model="cnn"), make_row(recipe="long")]
    assert len(grid.summarise(grid.table(rows))) == 4


def test_the_full_level_counts_each_training_once():
    rows = [make_row(rule, 1.0, 0.1, seed=0) for rule in ("random", "el2n hardest", "el2n exact 0.5")]
    rows += [make_row("random", 1.0, 0.2, seed=1), make_row("random", 0.5, 0.9), make_row(dataset="digits")]
    levels = grid.full_data_error(grid.table(rows))
    assert levels == {BLOBS: pytest.approx(0.15), ("digits", "mlp", "short"): None}


def test_the_summary_is_json_and_names_the_best_rule_of_each_size():
    rows = [make_row("random", 0.1, 0.3), make_row("el2n hardest", 0.1, 0.4), make_row("el2n hardest", 0.5, 0.1)]
    rows += [make_row("random", 0.5, 0.2), make_row("el2n exact 0.5", 1.0, 0.1), make_row("random", 1.0, 0.1)]
    summary = grid.summary(grid.table(rows), done=7, failed=2, missing=1)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["cells"] == {"done": 7, "distinct": 6, "failed": 2, "missing": 1}
    best = [(line["n_kept"], line["rule"]) for line in summary["best"]]
    assert best == [(100, "random"), (500, "el2n hardest"), (1000, "random")]  # the last is a tie
    assert summary["full_data"] == [{"dataset": "blobs", "model": "mlp", "recipe": "short", "test_error": 0.1}]
    assert len(summary["curves"]) == 6
    assert summary["curves"][0]["test_error_se"] is None


def test_grids_are_drawn_together_each_row_once():
    first, second = grid.table([make_row(seed=0), make_row(seed=1)]), grid.table([make_row(seed=2)])
    both = grid.together([first, second, first])
    assert list(both["key"]) == [*first["key"], *second["key"]]
    assert list(both.dtypes) == list(first.dtypes)


def test_rules_are_chosen_by_name_with_stars_and_nothing_else():
    table = pd.DataFrame({"rule": ["random", "el2n[window] hardest", "el2n hardest", "aum hardest", "el2n easiest"]})
    assert list(grid.of_rules(table, ["random", "el2n*hardest"])["rule"]) == [*table["rule"][:3]]
    assert list(grid.of_rules(table, ["el2n[window] hardest"])["rule"]) == ["el2n[window] hardest"]
    assert list(grid.of_rules(table, ["*easiest"]).index) == [0]
    with pytest.raises(WinnowError, match=r"no rule 'el2n'; it has random, aum hardest"):
        grid.of_rules(table, ["random", "el2n"])


def test_random_is_listed_first():
    assert grid.rule_order(["loss hardest", "random", "aum hardest", "random"]) == [
        "random",
        "aum hardest",
        "loss hardest",
    ]


def test_a_grid_without_the_later_columns_is_read(tmp_path):
    table = grid.table([make_row(seed=0), make_row(seed=1)])
    old = table.drop(columns=["family", "width", "depth", "multiply_adds", "probe_multiply_adds"])
    old.to_csv(tmp_path / "grid.csv", index=False)
    read = grid.read(tmp_path / "grid.csv")
    assert list(read) == list(table)
    assert read["width"].isna().all()
    assert read["family"].isna().all()
    wide = grid.table([make_row(family="smallconv", width=8, multiply_adds=100)])
    wide.to_csv(tmp_path / "wide.csv", index=False)
    pd.testing.assert_frame_equal(grid.read(tmp_path / "wide.csv"), wide)


def test_the_summary_has_the_worst_class_beside_the_mean():
    rows = [make_row("random", 0.1, 0.2, seed, worst_class_error=worst) for seed, worst in enumerate((0.3, 0.5, 0.7))]
    rows += [make_row("el2n hardest", 0.1, 0.4)]  # of a version that did not record it
    summary = grid.summary(grid.table(rows), done=4)
    hardest, random = sorted(summary["curves"], key=lambda line: line["rule"])
    assert random["worst_class_error_mean"] == pytest.approx(0.5)
    assert random["worst_class_error_se"] == pytest.approx(0.2 / math.sqrt(3))
    assert (hardest["worst_class_error_mean"], hardest["worst_class_error_se"]) == (None, None)
    (old,) = grid.summary(grid.table(rows[3:]), done=1)["curves"]
    assert old["worst_class_error_mean"] is None
