"""What a subset does to the distribution, from the command line to the figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import TINY, finished_artifacts, run_script


def test_a_sweep_of_reports_leaves_one_table_and_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [*TINY, "diagnose=shift", "diagnose.permutations=9", "diagnose.projections=4", "hydra.sweep.dir=out"]
    rules = ["selector=random,calibrated", "compression.r=0.2"]
    ended = run_script("select.py", "-m", *small, *rules, capsys=capsys)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "out/shifts.csv"
    parts = run_script("select.py", "-m", *small, *rules, "diagnose.n=50", capsys=capsys)
    assert parts.code == 0, parts.err
    table = pd.read_csv("out/shifts.csv")
    assert set(zip(table["rule"], table["n"], table["of"], table["n_kept"], table["weighted"], strict=True)) == {
        (rule, n, 120, n // 5, weighted)
        for n in (120, 50)
        for rule, weighted in (("random", True), ("el2n exact 0.5", True), ("el2n exact 0.5", False))
    }
    np.testing.assert_allclose(table.filter(regex="decile").mean(axis=1), 0.2)
    assert len(finished_artifacts(tmp_path / "artifacts", "probe")) == 2
    exact = table.query("rule == 'el2n exact 0.5' and n == 120 and weighted").iloc[0]
    subset = pd.read_parquet(tmp_path / "artifacts" / "subset" / exact["subset"] / "subset.parquet")
    assert exact["effective_sample_size"] == pytest.approx(subset["weight"].sum() ** 2 / (subset["weight"] ** 2).sum())

    again = run_script("select.py", "-m", *small, *rules, capsys=capsys)
    assert again.code == 0
    assert len(pd.read_csv("out/shifts.csv")) == len(table)
    assert len(finished_artifacts(tmp_path / "artifacts", "shift")) == 4
    for figure in ("shift", "shift_against_n", "shift_map"):
        drawn = run_script(
            "figures.py", f"figure={figure}", "figure.table=out/shifts.csv", "figure.r=0.2", capsys=capsys
        )
        assert (drawn.code, drawn.out) == (0, f"out/{figure}.png\n"), drawn.err


def test_a_report_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    many = run_script("select.py", *TINY, "selector=random", "diagnose=shift", "diagnose.n=500", capsys=capsys)
    assert many.code == 1
    assert "there are 120" in many.err
    none = run_script("select.py", *TINY, "selector=random", "diagnose=shift", "diagnose.seed=a", capsys=capsys)
    assert none.code == 1
    assert none.err.startswith("error: diagnose.seed=a")
