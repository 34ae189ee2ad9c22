"""The demo as it is: slow, so it is left out of `make test`."""

from pathlib import Path

import pytest

from helpers.scripts import run_script
from winnow.scaling import grid


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_shows_what_its_yaml_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "-m", "experiment=demo", capsys=capsys)
    assert ended.code == 0, ended.err
    curves = grid.summarise(grid.read("outputs/demo/grid.csv"))
    assert set(curves["seeds"]) == {3}
    error = curves.pivot(index="rule", columns="r", values="test_error_mean")
    for r in (0.05, 0.1):
        assert error.at["el2n hardest", r] > 2 * error.at["random", r]
        assert error.at["el2n exact 0.5", r] < error.at["el2n hardest", r] / 2
    assert error[1.0].nunique() == 1
