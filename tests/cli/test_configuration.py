"""A user's own yaml files count beside the package's, wherever their names are asked for."""

from pathlib import Path

import pytest

from helpers.scripts import TINY, run_script
from winnow.cli.configuration import options
from winnow.store import results


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a rule of the user's and one of a name that the package has."""
    folder = tmp_path / "own" / "selector"
    folder.mkdir(parents=True)
    for name in ("mine", "threshold"):
        (folder / f"{name}.yaml").write_text("_target_: winnow.selectors.threshold.Threshold\nkeep: easiest\n")
    return folder.parent


def test_the_packages_options_are_found_without_a_command() -> None:
    found = options("selector")
    assert found["threshold"].name == "threshold.yaml"
    assert "mine" not in found


def test_a_rule_of_ones_own_may_choose_the_signal(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = ["selector=calibrated", "selector.signal=mine,threshold", "alpha.value=0.5", "compression.r=0.5"]
    given = [f"--config-dir={own}", *TINY, "trainer=cpu", *cells, "hydra.sweep.dir=swept"]
    ended = run_script("run.py", "-m", *given, capsys=capsys)
    assert ended.code == 0, ended.err
    rules = [results.load_row(f"swept/{cell}").rule for cell in range(2)]
    assert rules[0] != rules[1], "the package's threshold keeps the hardest"


def test_a_misspelt_signal_names_ones_own_too(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [f"--config-dir={own}", *TINY, "selector=calibrated", "selector.signal=mien"]
    ended = run_script("run.py", *given, capsys=capsys)
    assert ended.code == 1
    assert "mine" in ended.err
