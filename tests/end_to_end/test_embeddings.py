"""Sources of embeddings, from the command to the table."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import TINY, run_script

RUN = ["embedding.epochs=1", "embedding.batch_size=40", "probe.members=1"]


def test_self_supervised_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    paths = []
    for choice in ("probe=simclr", "embedding=simclr"):
        ended = run_script("score.py", *TINY, "metric=ssp", choice, *RUN, capsys=capsys)
        assert ended.code == 0, ended.err
        paths.append(ended.out.strip().splitlines()[-1])
    assert paths[0] == paths[1]
    assert len(pd.read_parquet(paths[0])) == 120
    runs = [path.name for path in (tmp_path / "artifacts" / "probe").iterdir()]
    assert len(runs) == 1
    assert "simclr" in runs[0]


def test_a_row_by_the_users_own_embeddings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32))
    chosen = ["metric=ssp", "selector=threshold", "compression.r=0.5", "embedding=npy", "embedding.path=vectors.npy"]
    ended = run_script("run.py", *TINY, *chosen, capsys=capsys)
    assert ended.code == 0, ended.err
    assert not logging.getLogger("faiss.loader").isEnabledFor(logging.INFO)  # its search for a build reads like errors
    row = json.loads(Path(ended.out.strip().splitlines()[-1]).read_text())
    assert (row["rule"], row["probe_examples"]) == ("ssp hardest", 0)
    assert not (tmp_path / "artifacts" / "probe").exists()
