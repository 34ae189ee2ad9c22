"""Of a store, exactly what the results in the kept folders need stays, and nothing that a process uses goes."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from helpers.rows import make_row
from helpers.scripts import TINY, finished_artifacts, run_script
from winnow.core.errors import WinnowError
from winnow.store import cleaning, inventory, layout, results
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.cleaning import Cleaning
from winnow.store.layout import Found

# Scores by a pass and by embeddings, alpha chosen from the data, and r=1, whose model rules share.
CELLS = ["selector=threshold,moderate", "metric=grand", "compression.r=0.5,1", "probe.members=1"]
OTHER = ["selector=threshold", "metric=grand", "compression.r=0.5", "probe.members=1", "seed=1"]
AUTO = ["selector=calibrated", "alpha=auto", "compression.r=0.5"]
COMMON = [*TINY, "trainer=cpu", "logger=none"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[Path]]:
    """A folder with the sweeps a, other and auto in one store, and the artifacts of a."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        unread: Any = SimpleNamespace(readouterr=lambda: ("", ""))
        of_a: set[Path] = set()
        for name, cells in (("a", CELLS), ("other", OTHER), ("auto", [*AUTO, "seed=2"])):
            ended = run_script("run.py", "-m", *COMMON, *cells, f"hydra.sweep.dir={name}", capsys=unread)
            assert ended.code == 0
            of_a = of_a or _artifacts(folder)
    return folder, of_a


@pytest.fixture
def there(made: tuple[Path, set[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, set[Path]]:
    """A copy of it that is the current folder."""
    folder, of_a = made
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy", of_a


def _artifacts(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in finished_artifacts(folder / "artifacts")}


def _paths(folder: Path, found: Sequence[inventory.Entry]) -> set[Path]:
    return {(folder / entry.path).relative_to(folder) for entry in found}


STORE = ArtifactStore(Path("artifacts"))


def test_exactly_what_a_sweep_made_is_what_it_needs(there: tuple[Path, set[Path]]) -> None:
    folder, of_a = there
    assert _paths(folder, cleaning.needs(STORE, ["a"])) == of_a
    assert {path.parent.name for path in of_a} == {"probe", "pass", "scores", "subset", "model", "row"}
    everything = _artifacts(folder)
    assert of_a < everything
    assert _paths(folder, cleaning.needs(STORE, ["a", "other", "auto"])) == everything
    assert {"alpha"} < {entry.stage for entry in cleaning.needs(STORE, ["auto"])}


def test_what_no_kept_folder_needs_goes_and_the_kept_sweep_trains_nothing_again(
    there: tuple[Path, set[Path]], capsys: pytest.CaptureFixture
) -> None:
    folder, of_a = there
    plan = cleaning.cleaning(STORE, ["a"])
    assert _artifacts(folder) > of_a, "nothing is removed by looking"
    assert cleaning.remove(STORE, cleaning.downstream_first(plan.unneeded)) == []
    assert _artifacts(folder) == of_a
    assert {path.stem for path in Path("artifacts/locks").iterdir()} == {f"{p.parent.name}-{p.name}" for p in of_a}
    written = {path: path.stat().st_mtime_ns for path in folder.glob("artifacts/*/*/*")}
    before = Path("a", results.GRID).read_text()
    ended = run_script("run.py", "-m", *COMMON, *CELLS, "hydra.sweep.dir=a", capsys=capsys)
    assert ended.code == 0
    assert "cells 4/4: 0 done, 4 cached, 0 failed" in ended.out
    assert {path: path.stat().st_mtime_ns for path in folder.glob("artifacts/*/*/*")} == written
    assert Path("a", results.GRID).read_text() == before
    assert cleaning.cleaning(STORE, ["a"]).unneeded == []


def test_rows_go_before_what_they_came_from(there: tuple[Path, set[Path]]) -> None:
    stages = [each.stage for each in cleaning.downstream_first(cleaning.cleaning(STORE, ["a"]).unneeded)]
    assert stages == sorted(stages, key=lambda stage: -layout.STAGES.index(stage))
    assert stages[0] == "row"


def test_while_a_process_makes_anything_every_finished_artifact_stays(there: tuple[Path, set[Path]]) -> None:
    with FileLock(layout.lock(STORE.root, "row", "made-now")):
        plan = cleaning.cleaning(STORE, ["a"])
        assert plan.used == ["row made-now"]
        assert plan.unneeded == []
    assert cleaning.cleaning(STORE, ["a"]).used == []


def test_while_a_sweep_runs_every_finished_artifact_stays(
    there: tuple[Path, set[Path]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    seen: list[Cleaning] = []
    keep_row = results.keep_row  # which a sweep calls between its cells, when it holds no lock of an artifact

    def looks(*given: Any) -> None:
        seen.append(cleaning.cleaning(STORE, ["a"]))
        keep_row(*given)

    monkeypatch.setattr(results, "keep_row", looks)
    assert run_script("run.py", "-m", *COMMON, *OTHER, "hydra.sweep.dir=other", capsys=capsys).code == 0
    assert [(plan.used, plan.unneeded) for plan in seen] == [(["a sweep"], [])]
    assert cleaning.cleaning(STORE, ["a"]).used == []
    assert layout.works(STORE.root) == []


def test_the_lock_of_a_sweep_that_was_killed_keeps_nothing(there: tuple[Path, set[Path]]) -> None:
    killed = layout.work(STORE.root)
    killed.touch()
    assert cleaning.cleaning(STORE, ["a"]).used == []
    assert not killed.exists()


def test_what_is_used_by_the_time_it_should_go_stays(there: tuple[Path, set[Path]]) -> None:
    first, *_ = going = cleaning.downstream_first(cleaning.cleaning(STORE, ["a"]).unneeded)
    with FileLock(layout.lock(STORE.root, first.stage, first.key)):
        assert cleaning.remove(STORE, going) == [first]
    assert first.path.is_dir()
    assert STORE.load(first.stage, first.key) is not None


def test_a_sweep_with_cells_to_come_is_refused(there: tuple[Path, set[Path]]) -> None:
    Path("a", "0", results.ROW).unlink()
    with pytest.raises(WinnowError, match=r"1 cells of a have no result and no error"):
        cleaning.needs(STORE, ["a"])
    results.save_failure("a/0", "ValueError: it diverged")
    assert cleaning.cleaning(STORE, ["a"]).failed == 1


def test_results_of_another_store_are_refused(there: tuple[Path, set[Path]], tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    with pytest.raises(WinnowError, match=r"a has 4 results that are not in the store .*another"):
        cleaning.needs(ArtifactStore(tmp_path / "another"), ["a"])
    with pytest.raises(WinnowError, match=r"there is no store .*nowhere"):
        cleaning.needs(ArtifactStore(tmp_path / "nowhere"), ["a"])


def test_folders_without_a_row_are_refused(there: tuple[Path, set[Path]]) -> None:
    Path("empty").mkdir()
    with pytest.raises(WinnowError, match="empty holds no result"):
        cleaning.needs(STORE, ["a", "empty"])
    with pytest.raises(WinnowError, match="no folder nowhere"):
        cleaning.needs(STORE, ["nowhere"])


@pytest.mark.parametrize("stage", ["row", "scores"])
def test_where_a_provenance_cannot_be_read_nothing_is_guessed(there: tuple[Path, set[Path]], stage: str) -> None:
    folder, of_a = there
    damaged = next(folder / path for path in sorted(of_a) if path.parent.name == stage)
    (damaged / "provenance.json").write_text("{")
    with pytest.raises(WinnowError, match=rf"{damaged.name} cannot be read"):
        cleaning.needs(STORE, ["a"])


def test_a_shift_report_needs_its_scores_and_features(
    there: tuple[Path, set[Path]], capsys: pytest.CaptureFixture
) -> None:
    folder, of_a = there
    asked = ["diagnose=shift", "metric=loss", "selector=threshold", "compression.r=0.3", "hydra.run.dir=shift"]
    assert run_script("select.py", *COMMON, *asked, capsys=capsys).code == 0
    of_shift = cleaning.needs(STORE, ["shift"])
    assert {entry.stage for entry in of_shift} == {"probe", "pass", "scores", "subset", "shift"}
    assert ["loss" in entry.key for entry in of_shift if entry.stage == "scores"] == [True]
    assert _paths(folder, cleaning.needs(STORE, ["a"])) >= of_a


def test_a_sweep_of_scores_needs_the_scores_of_its_tables(
    there: tuple[Path, set[Path]], capsys: pytest.CaptureFixture
) -> None:
    folder, of_a = there
    asked = ["metric=grand,forgetting", "probe.members=1", "hydra.sweep.dir=scored"]
    assert run_script("score.py", "-m", *COMMON, *asked, capsys=capsys).code == 0
    of_scored = _paths(folder, cleaning.needs(STORE, ["scored"]))
    scored = {path.name for path in of_scored if path.parent.name in ("scores", "agreement")}
    assert len(scored) == 2
    assert {path.parent.name for path in of_scored} == {"probe", "pass", "scores", "agreement"}
    assert {path for path in of_scored if path.parent.name == "probe"} < of_a, "of one seed's probes"
    Path("scored", "1", results.SCORES).unlink()
    with pytest.raises(WinnowError, match="1 cells of scored have no result"):
        cleaning.needs(STORE, ["scored"])


def test_what_killed_processes_left(there: tuple[Path, set[Path]]) -> None:
    folder, of_a = there
    finished = next(path for path in sorted(of_a) if path.parent.name == "probe")
    draft, aside = layout.draft(STORE.root, "probe", "killed"), layout.aside(STORE.root, "pass", "r0.3-broken")
    for path in (draft, aside):
        path.mkdir()
        (path / "logits.npy").write_bytes(bytes(1000))
    checkpoints = [layout.checkpoint(STORE.root, "probe", key) for key in (finished.name, "interrupted")]
    checkpoints[0].parent.mkdir(exist_ok=True)
    broken = checkpoints[0].with_name("model-x.damaged-01234567")
    for path in (*checkpoints, broken):
        path.write_bytes(bytes(10))
    lock = layout.lock(STORE.root, "subset", "gone")
    lock.touch()
    strange = [Path("artifacts/probe/notes.txt"), Path("artifacts/unfinished/notes.txt"), Path("artifacts/mine")]
    strange[0].write_text("")
    strange[1].write_text("")
    strange[2].mkdir()

    left = inventory.leftovers(STORE)
    assert {each.found.path for each in left} == {draft, aside, checkpoints[0], broken, lock}
    assert sum(each.size for each in left) == 2020
    assert [each.found.path for each in inventory.unfinished(STORE)] == [checkpoints[1]]
    assert {each.found.path for each in cleaning.cleaning(STORE, ["a"]).leftovers} == {
        draft, aside, *checkpoints, broken, lock
    }  # fmt: skip

    with FileLock(layout.lock(STORE.root, "probe", "killed")):  # it was not killed
        stayed = cleaning.remove(STORE, [each.found for each in left])
    assert [each.path for each in stayed] == [draft]
    assert draft.is_dir()
    assert not any(path.exists() for path in (aside, checkpoints[0], broken, lock))
    assert checkpoints[1].exists()
    assert all(path.exists() for path in strange)
    assert of_a <= _artifacts(folder)


def _write(store: ArtifactStore, stage: layout.Stage, key: str, **inputs: object) -> None:
    def write(draft: Draft) -> None:
        if stage == "row":
            draft.put_json("upstream", {})
        if "fingerprint" in inputs:
            draft.put_json("index", {"fingerprint": inputs["fingerprint"]})

    store.fetch(stage, key, write=write, inputs=inputs)


@pytest.mark.parametrize(
    ("dataset", "kept"),
    [
        ("photos-0123456789ab", ["photos"]),  # the data of the images as they are
        ("digits-0123456789ab", []),  # other data, which are made of no images
        ("photos-limit100-0123456789ab", ["photos", "pets"]),  # may be of either: a data set can be given any name
        ("mine-noise0.1-0123456789ab", ["photos", "pets"]),
    ],
)
def test_images_stay_unless_no_needed_data_can_be_made_of_them(tmp_path: Path, dataset: str, kept: list[str]) -> None:
    store = ArtifactStore(tmp_path)
    _write(store, "images", "photos", fingerprint="photos-0123456789ab")
    _write(store, "images", "pets", fingerprint="pets-0123456789ab")
    _write(store, "row", "one", dataset=dataset)
    cell = tmp_path / "run"
    cell.mkdir()
    results.save_row(cell, make_row(key="one"))
    found = cleaning.needs(store, [cell])
    assert sorted(entry.key for entry in found if entry.stage == "images") == sorted(kept)


def test_names_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    keys = {"images": "imagefolder-a.b", "subset_run": "x-part-12", "subset": "run-r0.3", "row": "el2n-exact-0.5"}
    for stage, key in keys.items():
        for path in (layout.artifact(tmp_path, stage, key), layout.draft(tmp_path, stage, key)):  # type: ignore[arg-type]
            path.mkdir(parents=True)
        for path in (layout.checkpoint(tmp_path, stage, key), layout.lock(tmp_path, stage, key)):  # type: ignore[arg-type]
            path.parent.mkdir(exist_ok=True)
            path.touch()
    found = [*layout.folders(tmp_path), *layout.loose(tmp_path)]
    assert sorted((each.kind, each.stage, each.key) for each in found) == sorted(
        (kind, stage, key) for stage, key in keys.items() for kind in ("artifact", "draft", "checkpoint", "lock")
    )
    assert all(isinstance(each, Found) and each.path.exists() for each in found)
