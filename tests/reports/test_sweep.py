import io
import json

import pytest
from rich.console import Console

from helpers.rows import make_row
from helpers.scripts import run_script
from winnow.core.errors import WinnowError
from winnow.reports.sweep import _print_table, report
from winnow.scaling import grid
from winnow.store import results
from winnow.store.results import SweepCell

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def save_rows(folder, rows):
    for number, row in enumerate(rows):
        results.save_row(folder / str(number), row)


def printed(folder, *, width=200, terminal=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    summary = report(folder, console)
    return console.file.getvalue(), summary


def cells_of(text, rule):
    """What the lines of a rule show, in order, with the spaces between cells taken as separators."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith(rule + "  ")]
    return [cell.strip() for line in lines for cell in line.removeprefix(rule).split("   ") if cell.strip()]


def test_the_table_shows_means_and_errors_in_percent_and_random_first(tmp_path):
    rows = [make_row("aum hardest", 0.1, error, seed) for seed, error in enumerate((0.1, 0.2, 0.6))]
    save_rows(tmp_path, [*rows, make_row("random", 0.1, 0.25), make_row("random", 0.5, 0.0125)])
    text, _ = printed(tmp_path)
    assert cells_of(text, "aum hardest") == ["30.0 ± 15.3", "–"]
    assert cells_of(text, "random") == ["25.0", "1.2"]
    assert text.index("random") < text.index("aum hardest")


def test_one_ensemble_has_no_error_and_the_remedy_is_told_once(tmp_path):
    rows = [
        make_row("aum hardest", r, error, s, probe_seed=7)
        for s, error in enumerate((0.1, 0.2, 0.6))
        for r in (0.1, 0.2)
    ]
    rows += [make_row("random", r, 0.2 + s / 10, s) for s in range(3) for r in (0.1, 0.2)]
    save_rows(tmp_path, rows)
    text, summary = printed(tmp_path)
    assert cells_of(text, "aum hardest") == ["30.0", "30.0"]
    assert cells_of(text, "random") == ["30.0 ± 5.8", "30.0 ± 5.8"]
    assert text.count("one probe ensemble, so no ±: aum hardest.") == text.count("seed=0,1,2") == 1
    notes = {(line["rule"], line["note"], line["test_error_se"] is None) for line in summary["curves"]}
    assert notes == {("aum hardest", "one probe ensemble", True), ("random", None, False)}


def test_the_best_of_each_column_is_bold(tmp_path):
    save_rows(tmp_path, [make_row("random", 0.1, 0.25), make_row("aum hardest", 0.1, 0.75)])
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    report(tmp_path, console)
    text = console.file.getvalue()
    assert "\x1b[1m25.0\x1b[0m" in text
    assert "\x1b[1m75.0" not in text


def test_it_writes_the_grid_the_figure_and_the_summary(tmp_path):
    save_rows(tmp_path, [make_row("random", r, 0.1 / r) for r in (0.2, 0.5, 1.0)])
    text, summary = printed(tmp_path)
    assert list(grid.read(tmp_path / "grid.csv")["test_error"]) == [0.5, 0.2, 0.1]
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["training"]["device"] == ["CPU"]
    assert made["cells"]["done"] == 3
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "scaling_curves.png").read_bytes().startswith(b"\x89PNG")
    assert text.splitlines()[-2:] == [str(tmp_path / "grid.csv"), str(tmp_path / "scaling_curves.png")]
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_failed_and_missing_cells_are_told_in_full(tmp_path):
    results.save_sweep(tmp_path, [SweepCell(str(i), [f"seed={i}", "metric.epochs=[1,2]"]) for i in range(4)])
    results.save_row(tmp_path / "0", make_row())
    message = "ValueError: [red] " + 40 * "a long message "
    results.save_failure(tmp_path / "1", f"Traceback\n{message}")
    text, summary = printed(tmp_path, width=80)
    assert f"failed: 1 (seed=1 metric.epochs=[1,2]): {message.strip()}\n" in text
    assert "2 more cells of the sweep have not finished" in text
    assert summary["cells"] == {"done": 1, "distinct": 1, "failed": 1, "missing": 2}
    assert len(grid.read(tmp_path / "grid.csv")) == 1


def test_without_a_finished_cell_it_tells_the_failures_and_raises(tmp_path):
    results.save_sweep(tmp_path, [SweepCell("0", []), SweepCell("1", [])])
    results.save_failure(tmp_path / "0", "ValueError: no such data")
    console = Console(file=io.StringIO(), width=100)
    with pytest.raises(WinnowError, match=r"no finished cell in .* \(1 failed, 1 not finished\)"):
        report(tmp_path, console)
    assert "failed: 0: ValueError: no such data" in console.file.getvalue()
    results.save_failure(tmp_path / "1", "ValueError: no such data")
    with pytest.raises(WinnowError, match="all 2 failed"):
        report(tmp_path, console)
    assert not (tmp_path / "grid.csv").exists()


def test_cells_that_cannot_be_told_apart_are_warned_of(tmp_path):
    save_rows(tmp_path, [make_row(seed=0), make_row(seed=0)])
    text, _ = printed(tmp_path)
    assert "warning: 2 cells differ only in settings that a row does not name" in " ".join(text.split())


def test_each_data_set_has_its_table(tmp_path):
    save_rows(tmp_path, [make_row(error=0.25), make_row(error=0.5, dataset="digits")])
    text, _ = printed(tmp_path)
    first, second = text.split("test error in percent: digits, mlp, short")
    assert "test error in percent: blobs, mlp, short" in first
    assert (cells_of(first, "random"), cells_of(second, "random")) == (["25.0"], ["50.0"])


def test_a_console_of_any_width_shows_every_number_whole(tmp_path):
    rules = ("random", "forgetting exact 0.5")
    save_rows(
        tmp_path, [make_row(rule, r, 0.1 + seed / 50, seed) for rule in rules for r in FRACTIONS for seed in range(3)]
    )
    text, _ = printed(tmp_path, width=60, terminal=True)
    curves = grid.summarise(grid.read(tmp_path / "grid.csv"))
    for width in (60, 80, 100, 200):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        _print_table(console, curves, title="blobs, mlp, short")
        table = console.file.getvalue()
        assert max(map(len, table.splitlines())) <= width
        for rule in rules:
            assert cells_of(table, rule) == len(FRACTIONS) * ["12.0 ± 1.2"]
        assert (width == 60) == text.startswith(table)


def test_the_script_works_in_a_pipe(tmp_path, capsys):
    save_rows(tmp_path, [make_row("forgetting exact 0.5", r, 0.1, seed) for r in FRACTIONS for seed in range(3)])
    done = run_script("grid.py", str(tmp_path), capsys=capsys)
    assert (done.code, done.err) == (0, "")
    assert cells_of(done.out, "forgetting exact 0.5") == len(FRACTIONS) * ["10.0 ± 0.0"]
    assert "\x1b" not in done.out
    assert done.out.splitlines()[-1] == str(tmp_path / "scaling_curves.png")


def test_the_script_ends_with_one_line_for_a_folder_without_rows(tmp_path, capsys):
    done = run_script("grid.py", str(tmp_path), capsys=capsys)
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("error: no finished cell in")
    assert done.err.count("\n") == 1
