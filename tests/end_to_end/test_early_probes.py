"""Probes with a recipe of their own that stop early, as a user asks for them."""

import json
from pathlib import Path

import pytest

from helpers.scripts import TINY, finished_artifacts, run_script


def test_rates_of_the_probes_are_swept_and_their_trainings_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    early = [*TINY, "probe.members=1", "probe.epochs=3", "logger=none"]
    stopped, rates = ["probe.stop_after=1", "probe.evaluate_at=null"], "probe.recipe.lr=0.05,0.1"
    ended = run_script("run.py", "-m", *early, *stopped, rates, "hydra.sweep.dir=grid", capsys=capsys)
    assert ended.code == 0, ended.err
    for folder in finished_artifacts(tmp_path / "artifacts", "model"):
        assert json.loads((folder / "provenance.json").read_text())["inputs"]["recipe"]["lr"] == 0.2
    probes = [
        json.loads((path / "provenance.json").read_text())["inputs"]
        for path in finished_artifacts(tmp_path / "artifacts", "probe")
    ]
    assert sorted((each["recipe"]["lr"], each["stop_after"]) for each in probes) == [(0.05, 1), (0.1, 1)]
    ended = run_script("score.py", *early, "probe.recipe.lr=0.1", capsys=capsys)
    assert ended.code == 0, ended.err
    assert "going on from synthetic" in ended.out + ended.err
    ended = run_script("score.py", *early, *stopped, "metric.epoch=3", capsys=capsys)
    assert ended.code == 1
    assert "stop after epoch 1; set probe.stop_after to at least 3" in ended.err
    ended = run_script("score.py", *early, "probe.recipe.rate=1", capsys=capsys)
    assert "Known in probe.recipe: augmentation, batch_size" in ended.err
