import json
from dataclasses import asdict

import pytest

from helpers.rows import make_row
from winnow.core.errors import WinnowError
from winnow.store import results
from winnow.store.results import FailedCell, SweepCell


def test_a_row_comes_back_as_it_was_saved(tmp_path):
    row = make_row("el2n exact 0.5", r=0.25, error=0.125, seed=3, protocol="exact", git="0123456789ab")
    path = results.save_row(tmp_path / "cell", row)
    assert path == tmp_path / "cell" / "row.json"
    assert results.load_row(tmp_path / "cell") == row


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: "{",
        lambda record: "[]",
        lambda record: json.dumps({k: v for k, v in record.items() if k != "rule"}),
        lambda record: json.dumps(record | {"n_kept": "100"}),
        lambda record: json.dumps(record | {"test_error": 20.0}),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_that_names_its_file(tmp_path, damage):
    path = results.save_row(tmp_path / "7", make_row())
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(WinnowError, match=r"7/row\.json .*run the cell again"):
        results.collect(tmp_path)


def test_a_row_of_a_version_that_recorded_less_is_read(tmp_path):
    row = make_row()
    path = results.save_row(tmp_path, row)
    later = ("family", "width", "depth", "multiply_adds", "probe_multiply_adds", "worst_class_error")
    path.write_text(json.dumps({name: value for name, value in asdict(row).items() if name not in later}))
    assert results.load_row(tmp_path) == row


@pytest.mark.parametrize(("written", "read"), [(1, 1.0), (0.25, 0.25), (None, None)])
def test_the_worst_class_of_a_row_comes_back(tmp_path, written, read):
    path = results.save_row(tmp_path, make_row())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worst_class_error": written}))
    found = results.load_row(tmp_path).worst_class_error
    assert (found, type(found)) == (read, type(read))


def test_a_worst_class_that_is_no_fraction_is_refused(tmp_path):
    path = results.save_row(tmp_path, make_row())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worst_class_error": 1.5}))
    with pytest.raises(WinnowError, match="worst_class_error"):
        results.load_row(tmp_path)


def test_a_sweep_counts_its_own_cells_and_no_leftovers(tmp_path):
    cells = [SweepCell(str(i), [f"seed={i}"]) for i in range(4)]
    results.save_sweep(tmp_path, cells)
    done = [make_row(seed=0), make_row(seed=1)]
    results.save_row(tmp_path / "0", done[0])
    results.save_row(tmp_path / "1", done[1])
    results.save_failure(tmp_path / "2", "Traceback (most recent call last):\n  ...\nValueError: r is too small\n\n")
    results.save_row(tmp_path / "9", make_row(seed=9))
    results.save_failure(tmp_path / "10", "ValueError: of last week")

    found = results.collect(tmp_path)
    assert found.rows == done
    assert found.failed == [FailedCell("2", ["seed=2"], "ValueError: r is too small")]
    assert found.missing == 1


def test_a_sweep_begun_again_keeps_the_rows_of_the_same_cells(tmp_path):
    cells = [SweepCell(str(i), [f"seed={i}"]) for i in range(4)]
    results.begin_sweep(tmp_path, cells, "python scripts/run.py -m seed=0,1,2,3")
    rows = [make_row(seed=i) for i in range(3)]
    for i, row in enumerate(rows):
        results.save_row(tmp_path / str(i), row)
    results.save_failure(tmp_path / "3", "ValueError: of the first time")
    results.begin_sweep(tmp_path, [cells[0], SweepCell("1", ["seed=7"]), *cells[2:]])
    found = results.collect(tmp_path)
    assert found.rows == [rows[0], rows[2]]
    assert (found.failed, found.missing) == ([], 2)


def test_cells_that_a_search_adds_leave_those_before_as_they_are(tmp_path):
    cells = [SweepCell(str(i), [f"seed={i}"]) for i in range(3)]
    results.begin_sweep(tmp_path, cells[:2])
    results.save_row(tmp_path / "0", make_row(seed=0))
    results.save_failure(tmp_path / "1", "ValueError: of this search")
    results.save_row(tmp_path / "2", make_row(seed=9))
    results.begin_sweep(tmp_path, cells, begun=2)
    found = results.collect(tmp_path)
    assert (len(found.rows), [each.message for each in found.failed], found.missing) == (
        1,
        ["ValueError: of this search"],
        1,
    )


def test_a_row_that_is_there_is_not_written_again(tmp_path):
    row, other = make_row(seed=1), make_row(seed=2)
    results.keep_row(tmp_path, row)
    written = (tmp_path / "row.json").stat().st_mtime_ns
    results.keep_row(tmp_path, row)
    assert (tmp_path / "row.json").stat().st_mtime_ns == written
    results.save_failure(tmp_path, "ValueError: of an earlier run")
    results.keep_row(tmp_path, other)
    assert results.load_row(tmp_path) == other
    assert results.failure_message(tmp_path) is None


def test_without_a_list_of_cells_every_row_below_counts(tmp_path):
    rows = [make_row(seed=seed) for seed in range(3)]
    for row, folder in zip(rows, (".", "a", "a/b/c"), strict=True):
        results.save_row(tmp_path / folder, row)
    results.save_failure(tmp_path / "d" / "e", "KeyError: x")
    found = results.collect(tmp_path)
    assert found.rows == rows
    assert found.failed == [FailedCell("d/e", [], "KeyError: x")]
    assert found.missing == 0


def test_a_folder_of_sweeps_counts_the_cells_of_each(tmp_path):
    for sweep in ("monday", "tuesday"):
        results.save_sweep(tmp_path / sweep, [SweepCell("0", []), SweepCell("1", [])])
        results.save_row(tmp_path / sweep / "0", make_row())
        results.save_row(tmp_path / sweep / "5", make_row())
    found = results.collect(tmp_path)
    assert len(found.rows) == 2
    assert found.missing == 2


def test_a_cleared_cell_is_missing_again(tmp_path):
    results.save_sweep(tmp_path, [SweepCell("0", [])])
    results.save_row(tmp_path / "0", make_row())
    results.save_failure(tmp_path / "0", "ValueError: after the row")
    results.clear_result(tmp_path / "0")
    assert results.collect(tmp_path) == results.Collected([], [], 1)


def test_errors_name_the_folder_or_the_damaged_list(tmp_path):
    with pytest.raises(WinnowError, match=r"there is no folder .*nowhere"):
        results.collect(tmp_path / "nowhere")
    (tmp_path / "sweep.json").write_text('{"cells": [1]}')
    with pytest.raises(WinnowError, match=r"sweep\.json is not a list of cells"):
        results.collect(tmp_path)
