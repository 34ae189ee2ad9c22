"""Selectors that read embeddings, from the command to the row."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import TINY, finished_artifacts, run_script

GEOMETRIC = ["facility_location", "herding", "k_center", "moderate"]


def embeddings(root: Path) -> list[Path]:
    """The embeddings that were kept below a folder."""
    return [path for folder in finished_artifacts(root / "artifacts", "pass") for path in folder.glob("features.npy")]


def test_one_pass_over_one_probe_serves_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = [f"selector={','.join(GEOMETRIC)}", "compression.r=0.2", "hydra.sweep.dir=grid"]
    ended = run_script("run.py", "-m", *TINY, *sweep, capsys=capsys)
    assert ended.code == 0, ended.err
    grid = pd.read_csv("grid/grid.csv")
    assert sorted(grid.rule) == [*GEOMETRIC[:-1], "moderate[class]"]
    assert set(grid.n_kept) == {24}
    assert set(grid.probe_examples) == {2 * 120 * (2 + 1) + 120}  # the probes, and one pass over the data
    assert len(embeddings(tmp_path)) == 1
    assert finished_artifacts(tmp_path / "artifacts", "scores") == []


def test_select_keeps_what_the_rule_keeps_of_the_embeddings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("select.py", *TINY, "selector=k_center", "compression.r=0.1", capsys=capsys)
    assert ended.code == 0, ended.err
    kept = pd.read_parquet(ended.out.splitlines()[-1])["index"].to_numpy()
    (path,) = embeddings(tmp_path)
    points = np.load(path).astype(np.float64)
    between = np.linalg.norm(points[:, None] - points[kept], axis=2)
    # Of a greedy cover: every dropped example is nearer to a kept one than any two kept ones are to each other.
    apart = between[kept][~np.eye(len(kept), dtype=bool)].min()
    assert between.min(axis=1).max() <= apart * (1 + 1e-4)


def test_a_calibrated_cell_with_a_geometric_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rule = ["selector=calibrated", "selector.signal=herding", "alpha.value=0.5", "compression.r=0.5"]
    ended = run_script("run.py", *TINY, *rule, capsys=capsys)
    assert ended.code == 0, ended.err
    row = json.loads(Path(ended.out.splitlines()[-1]).read_text())
    assert (row["rule"], row["metric"], row["n_kept"]) == ("herding exact 0.5", None, 60)
