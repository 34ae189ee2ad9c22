"""A store or an output folder that cannot be written: one line, exit code 1, nothing half done; then on it goes."""

import json
from pathlib import Path

import pytest

from helpers.disk import files_up_to
from helpers.scripts import TINY, Ended, finished_artifacts, run_script


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        return run_script("run.py", *arguments, capsys=capsys)

    return run


def the_line(ended: Ended) -> str:
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line and not line.startswith("cells ")]
    assert line.startswith("error: ")
    assert line.endswith("The same command then goes on.")
    return line


def half_done(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]
    return [path for path in found if path.name != ".hydra"]


def test_no_room_in_the_store(run, tmp_path: Path) -> None:
    command = [*TINY, "model.width=16", "hydra.run.dir=out"]
    with files_up_to(12_000):  # Hydra's own files and all arrays are smaller, the weights of the first probe are not
        line = the_line(run(*command))
    assert "artifacts/probe/" in line
    assert ".safetensors cannot be written: there is no room left for it; make room, or choose another place" in line
    assert finished_artifacts(tmp_path / "artifacts") == half_done(tmp_path) == []
    assert not Path("out/row.json").exists()
    assert run(*command).code == 0
    assert json.loads(Path("out/row.json").read_text())["rule"] == "el2n hardest"
    assert half_done(tmp_path) == []


def test_no_room_in_the_store_ends_a_sweep_at_once(run, tmp_path: Path) -> None:
    command = ["-m", *TINY, "model.width=16", "seed=0,1", "hydra.sweep.dir=sweep"]
    with files_up_to(12_000):
        line = the_line(run(*command))
    assert "artifacts/probe/" in line
    assert not Path("sweep/1").exists()
    assert finished_artifacts(tmp_path / "artifacts") == half_done(tmp_path) == []


def test_no_room_for_the_run(run, tmp_path: Path) -> None:
    with files_up_to(100):
        line = the_line(run(*TINY, "hydra.run.dir=out"))
    assert line.startswith("error: out cannot be written: there is no room left")
    assert "(hydra.run.dir=DIR, of a sweep hydra.sweep.dir=DIR)" in line
    assert not Path("artifacts").exists()


IN_THE_WAY = {
    "the store": ("artifacts", [], "artifacts is a file where a folder is needed"),
    "the folder of the run": ("out", [], "out is a file where a folder is needed"),
    "the folder of a sweep": ("file", ["-m", "hydra.sweep.dir=file"], "file is a file where a folder is needed"),
    "the folder of a cell": ("sweep/0", ["-m", "hydra.sweep.dir=sweep"], "sweep/0 is a file where a folder is needed"),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_a_file_in_the_way(run, case: str, tmp_path: Path) -> None:
    path, overrides, told = IN_THE_WAY[case]
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("mine")
    mode = [each for each in overrides if each == "-m"]
    line = the_line(run(*mode, *TINY, "hydra.run.dir=out", *(each for each in overrides if each != "-m")))
    assert told in line
    assert "; move it away, or choose another place" in line
    assert (tmp_path / path).read_text() == "mine"


def test_a_log_that_is_a_folder(run) -> None:
    Path("out/winnow.log").mkdir(parents=True)
    line = the_line(run(*TINY, "hydra.run.dir=out"))
    assert "winnow.log cannot be written: a folder is where a file is needed" in line
