"""`winnow grid --import` on made-up rows: what it says, what it refuses, and the folder beside it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.rows import make_row
from winnow.cli import grid as command
from winnow.core.types import Row
from winnow.scaling import grid
from winnow.store import results
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import make_key
from winnow.training import precision

Call = Callable[..., str]
ROWS = [make_row(error=0.25, seed=seed, key=make_key("blobs-random", seed)) for seed in range(3)]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command in an empty folder; what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: False)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["winnow grid", *arguments])
        command.main()
        return capsys.readouterr().out

    return call


def write(name: str, rows: list[Row]) -> None:
    grid.table(rows).to_csv(name, index=False)


def test_rows_are_counted_and_go_where_they_are_told_to(call: Call) -> None:
    write("rows.csv", ROWS[:2])
    assert call("--import", "rows.csv") == "imported 2 rows of rows.csv into artifacts: 2 new, 0 were there\n"
    write("more.csv", ROWS)
    told = "imported 3 rows of rows.csv, more.csv into artifacts: 1 new, 2 were there\n"
    assert call("--import", "rows.csv", "--import", "more.csv") == told
    assert call("--import", "more.csv", "--artifacts", "other").endswith("into other: 3 new, 0 were there\n")
    assert ArtifactStore("artifacts").keys("row") == ArtifactStore("other").keys("row") == sorted(r.key for r in ROWS)


def test_other_test_errors_are_told_with_a_key(call: Call) -> None:
    write("rows.csv", ROWS)
    call("--import", "rows.csv")
    write("other.csv", [replace(row, test_error=0.5) for row in ROWS[:2]])
    counted, twice = call("--import", "rows.csv", "other.csv").splitlines()
    assert counted.endswith("0 new, 3 were there")
    assert twice.startswith("warning: 2 rows came again with another test error, and the first counts: ")
    assert all(f"{row.key} (0.25, not 0.5)" in twice for row in ROWS[:2])
    _, differing = call("--import", "other.csv").splitlines()
    assert differing.startswith(
        "warning: 2 rows were there with another test error, which stays, such as blobs-random-"
    )


def test_a_folder_is_reported_too(call: Call) -> None:
    write("rows.csv", ROWS)
    results.save_row("sweep/0", ROWS[0])
    printed = call("sweep", "--import", "rows.csv")
    assert printed.startswith("imported 3 rows")
    assert printed.splitlines()[-1] == "sweep/scaling_curves.png"
    assert grid.rows(grid.read("sweep/grid.csv")) == ROWS[:1]


def test_a_precision_that_auto_is_not_here_is_told(call: Call) -> None:
    write("rows.csv", [replace(ROWS[0], precision="bfloat16"), replace(ROWS[1], precision="float32"), ROWS[2]])
    _, told = call("--import", "rows.csv").splitlines()
    assert told.startswith("1 row was trained in bfloat16, and recipe.precision=auto is float32 on this machine")
    assert "recipe.precision=bfloat16 makes them count" in told


def test_mistakes_end_in_one_line_and_leave_no_store(call: Call) -> None:
    write("rows.csv", ROWS)
    lines = Path("rows.csv").read_text().splitlines()
    Path("other.csv").write_text("a,b\n1,2\n")
    Path("no_key.csv").write_text("\n".join(line.replace(",key,", ",name,") for line in lines))
    Path("half.csv").write_text("\n".join([*lines[:2], lines[2][:40]]))
    Path("up.csv").write_text("\n".join(lines).replace("blobs-random-", "../up-"))
    Path("error.csv").write_text("\n".join(lines).replace("0.25", "25"))
    Path("bytes.csv").write_bytes(b"\x89PNG\x00\xff")
    Path("some.txt").write_text("")
    Path("folder").mkdir()
    problems = {
        "absent.csv": "there is no file absent.csv; write a grid with scripts/grid.py DIR.",
        "other.csv": "other.csv is not a grid: it has no column rule",
        "no_key.csv": "no_key.csv is not a grid: it has no column key",
        "half.csv": "half.csv is not a grid",
        "up.csv": "up.csv has a row with the key '../up-",
        "error.csv": "error.csv, line 2 is no row: row.test_error=25.0 must be",
        "bytes.csv": "bytes.csv is not a grid",
        "some.txt": "some.txt is not a grid",
        "folder": "folder is a folder; give it before --import",
    }
    for file, problem in problems.items():
        with pytest.raises(SystemExit) as ended:
            call("--import", "rows.csv", file)
        assert str(ended.value.code).startswith(f"error: {problem}"), file
        assert str(ended.value.code).count("\n") == 0
    assert not Path("artifacts").exists()
    (Path("folder") / "mine").touch()
    with pytest.raises(SystemExit, match="error: folder is no store"):
        call("--import", "rows.csv", "--artifacts", "folder")


@pytest.mark.parametrize("arguments", [[], ["--fit", "--import", "rows.csv"], ["sweep", "--artifacts", "store"]])
def test_what_does_not_go_together(arguments: list[str], call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 2
    assert "usage: winnow grid" in capsys.readouterr().err
