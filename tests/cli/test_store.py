"""What `winnow store` prints of a made-up store, and that only --yes removes."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.rows import make_row
from winnow.cli import store as command
from winnow.store import layout, results
from winnow.store.artifacts import ArtifactStore, Draft


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Calls the command in a folder with a store of two rows, each with a model; the first is in the folder "kept"."""
    monkeypatch.chdir(tmp_path)
    store = ArtifactStore()
    for name in ("one", "two"):
        store.fetch("model", f"model-of-{name}", write=lambda draft: draft.put_json("result", {}), inputs={})

        def write(draft: Draft, name: str = name) -> None:
            draft.put_json("upstream", {"model": f"model-of-{name}", "scores": None})

        store.fetch("row", name, write=write, inputs={"dataset": "digits-0123456789ab"})
    results.save_row("kept", make_row(key="one"))

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["winnow store", *arguments])
        command.store()
        return capsys.readouterr().out

    return call


def _there() -> set[str]:
    return {each.key for each in layout.folders(Path("artifacts")) if each.kind == "artifact"}


def test_it_lists_what_there_is(call) -> None:
    draft = layout.draft(Path("artifacts"), "probe", "killed")
    draft.mkdir(parents=True)
    printed = call()
    lines = [line.split() for line in printed.splitlines()]
    listed = {line[1]: line for line in lines if len(line) > 5}
    assert {"one", "two", "model-of-one", "model-of-two"} <= set(listed)
    assert listed["one"][0] == "row"
    assert Path("artifacts").owner() in listed["one"]
    assert "model: 2," in printed
    assert "all: 4," in printed
    assert f"{draft} (a process was killed" in printed
    assert call(str(Path("artifacts").absolute())).count("model-of-") == 2


def test_what_a_folder_needs(call) -> None:
    printed = call("--needs", "kept")
    assert "model-of-one" in printed
    assert "two" not in printed
    assert "all: 2," in printed


def test_only_yes_removes(call) -> None:
    everything = _there()
    printed = call("--keep", "kept")
    assert "2 artifacts are needed" in printed
    assert "2 artifacts and 0 leftovers would go" in printed
    assert "model-of-two" in printed
    assert "model-of-one" not in printed
    assert _there() == everything
    assert "removed 2 of 2: 2 artifacts and 0 leftovers" in call("--keep", "kept", "--yes")
    assert _there() == {"one", "model-of-one"}
    assert "0 artifacts and 0 leftovers would go" in call("--keep", "kept")


def test_leftovers_alone(call) -> None:
    draft = layout.draft(Path("artifacts"), "probe", "killed")
    draft.mkdir(parents=True)
    everything = _there()
    assert "1 leftovers would go" in call("--leftovers")
    assert draft.is_dir()
    with FileLock(layout.lock(Path("artifacts"), "probe", "killed")):
        printed = call("--leftovers", "--yes")
    assert f"left, for a process uses it: {draft}" in printed
    call("--leftovers", "--yes")
    assert not draft.exists()
    assert _there() == everything


def test_what_a_process_makes_keeps_all_that_is_finished(call, capsys: pytest.CaptureFixture) -> None:
    everything = _there()
    lock = FileLock(layout.lock(Path("artifacts"), "row", "made-now"))
    with lock, pytest.raises(SystemExit, match="processes work in this store \\(row made-now\\)"):
        call("--keep", "kept", "--yes")
    assert _there() == everything


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "there is no store nowhere"),
        (["--keep", "nothing"], "there is no folder nothing"),
        (["--needs", "artifacts"], "artifacts holds no result"),
        (["photos"], "photos is no store; give the folder"),
    ],
)
def test_a_mistake_ends_in_one_line(call, arguments: list[str], told: str) -> None:
    Path("photos").mkdir()
    Path("photos/one.jpg").touch()
    with pytest.raises(SystemExit, match=f"error: {told}"):
        call(*arguments)


def test_yes_needs_something_to_remove(call, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        call("--yes")
    assert stop.value.code == 2
    assert "--keep or --leftovers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ago", "told"), [({"days": 3}, "3 d"), ({"hours": 5}, "5 h"), ({"minutes": 2}, "2 min"), ({"seconds": 0}, "0 s")]
)
def test_ages(ago: dict[str, float], told: str) -> None:
    assert command._age(timedelta(**ago).total_seconds()) == told
