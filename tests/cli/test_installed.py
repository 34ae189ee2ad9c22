"""The package as it is installed: a wheel in some folder, and commands from another, far from the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.scripts import TINY
from winnow.store import results

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
OFFLINE = ["--no-deps", "--no-index"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation from a wheel."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "egg").mkdir()
    # Else setuptools leaves what it builds in the checkout, and takes it up again when the files are gone there.
    (folder / "build.cfg").write_text(
        f"[build]\nbuild_base={folder / 'build'}\n[egg_info]\negg_base={folder / 'egg'}\n"
    )
    building = os.environ | {"DIST_EXTRA_CONFIG": str(folder / "build.cfg")}
    wheel = [*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(wheel, env=building, check=True)
    (built,) = folder.glob("*.whl")
    subprocess.run([*PIP, "install", *OFFLINE, "--target", str(folder / "site"), str(built)], check=True)
    return folder / "site"


def _call(*command: str | Path, installed: Path, folder: Path) -> str:
    """What a command prints in a folder."""
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("launcher", ["sequential", pytest.param("pool", marks=pytest.mark.slow)])
def test_an_installed_sweep_in_an_empty_folder_with_a_yaml_of_ones_own(
    launcher: str, installed: Path, tmp_path: Path
) -> None:
    own, empty = tmp_path / "own", tmp_path / "empty"
    (own / "selector").mkdir(parents=True)
    (own / "selector" / "mine.yaml").write_text("_target_: winnow.selectors.threshold.Threshold\nkeep: easiest\n")
    empty.mkdir()
    given = ["-m", f"--config-dir={own}", *TINY, "trainer=cpu", "selector=random,mine", f"hydra/launcher={launcher}"]
    where = {"installed": installed, "folder": empty}
    _call(installed / "bin" / "winnow", "run", *given, "compression.r=0.5", "hydra.sweep.dir=swept", **where)
    assert (empty / "swept" / results.GRID).exists()
    assert {path.name for path in empty.iterdir()} == {"swept", "artifacts"}
    rows = [results.load_row(empty / "swept" / cell) for cell in ("0", "1")]
    assert [row.rule for row in rows] == ["random", "el2n easiest"]
    assert [row.git for row in rows] == [None, None]
    command = results.sweep_command(empty / "swept")
    assert command is not None
    assert command.startswith(f"winnow run -m --config-dir={own} dataset=synthetic")
    # The cells were told where the sweep found its configurations, by the pool in processes of their own.
    composed = (empty / "swept" / "1" / ".hydra" / "hydra.yaml").read_text()
    assert f"path: {installed / 'winnow' / 'conf'}\n" in composed
    assert f"path: {own}\n" in composed


def test_a_wheel_holds_every_configuration_and_the_launchers(installed: Path) -> None:
    def below(folder: Path, kind: str) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob(f"*.{kind}")}

    assert below(installed / "winnow" / "conf", "yaml") == below(ROOT / "conf", "yaml")
    for package in ("winnow", "hydra_plugins"):
        for kind in ("py", "pyi", "html", "css", "js"):
            assert below(installed / package, kind) == below(ROOT / "src" / package, kind)


def test_what_runs_is_what_is_installed(installed: Path, tmp_path: Path) -> None:
    told = "import winnow, winnow.cli.main; print(winnow.__file__, winnow.cli.main.__file__, sep='\\n')"
    found = _call(sys.executable, "-c", told, installed=installed, folder=tmp_path).split()
    assert found == [str(installed / "winnow" / name) for name in ("__init__.py", "cli/main.py")]
