"""One shared stage of a cell, as a user or a launcher asks for it."""

import json
from pathlib import Path

import pytest

from helpers.scripts import TINY, finished_artifacts, run_script


def test_a_member_alone_and_then_the_cell_trains_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", *TINY, "only=probe:1", "hydra.run.dir=out", capsys=capsys)
    assert ended.code == 0, ended.err
    made = [Path(ended.out.splitlines()[-1])]
    assert [tmp_path / path for path in made] == finished_artifacts(tmp_path / "artifacts")
    assert not (tmp_path / "out" / "row.json").exists()
    before = (made[0] / "provenance.json").stat().st_mtime_ns

    ended = run_script("run.py", *TINY, "hydra.run.dir=out", capsys=capsys)
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "out" / "row.json").read_text())["rule"] == "el2n hardest"
    assert len(finished_artifacts(tmp_path / "artifacts", "probe")) == 2
    assert (made[0] / "provenance.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("script", "overrides", "told"),
    [
        ("run.py", ["only=probe:2"], "only=probe:2 is not known; choose one of: probe:0, probe:1, scores."),
        ("run.py", ["only=scores", "selector=random"], "random reads nothing that is shared"),
        ("run.py", ["only=scores", "compression.r=0"], "r=0"),
        ("run.py", ["-m", "only=scores", "seed=0,1"], "leave out -m"),
        ("score.py", ["only=probe:0"], "only=probe:0 belongs to scripts/run.py"),
        ("select.py", ["only=probe:0"], "only=probe:0 belongs to scripts/run.py"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(
    script: str,
    overrides: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script(script, *overrides, *TINY, capsys=capsys)
    assert ended.code == 1
    assert told in ended.err + ended.out
    assert "Traceback" not in ended.err
    assert finished_artifacts(tmp_path / "artifacts") == []
