"""Rows of another store count as finished, stay what they were, and whoever looks for more finds that there is none."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.rows import make_row
from winnow.core.errors import MissingEvidenceError, WinnowError
from winnow.core.types import Row, Scores
from winnow.pipeline.stages import load_class_errors, load_recorded
from winnow.reports.page.kept import look_up
from winnow.scaling import grid
from winnow.store import cleaning, inventory, records, results
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.imports import import_rows
from winnow.store.keys import make_key


def row_of(number: int, **fields: Any) -> Row:
    return make_row(key=make_key("blobs-random", {"number": number}), **fields)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What rows are said to be from."""
    (tmp_path / "rows.csv").write_text("anything")
    return tmp_path / "rows.csv"


def test_a_row_comes_back_to_the_bit_and_its_provenance_is_its_own(store: ArtifactStore, file: Path) -> None:
    row = row_of(0, test_loss=math.nextafter(1 / 3, 1), seconds=1e-17, device="NVIDIA H100", git="0123456789ab")
    found = import_rows([(row, file)], store=store)
    assert (found.new, found.rows, found.differing, found.twice) == (1, [row], [], [])
    artifact = store.load("row", row.key)
    assert artifact is not None
    assert records.load_row(artifact) == row
    told = artifact.json("provenance")
    assert told["imported"] == {"file": str(file), "sha256": hashlib.sha256(b"anything").hexdigest()}
    assert (told["device"], told["git"], told["packages"]) == ("NVIDIA H100", "0123456789ab", None)
    (entry,) = inventory.entries(store)
    assert (entry.device, entry.git, entry.names) == ("NVIDIA H100", "0123456789ab", frozenset())


def test_what_is_there_stays_and_what_differs_is_told(store: ArtifactStore, file: Path) -> None:
    first, other, third = (row_of(number, error=0.25) for number in range(3))
    import_rows([(first, file), (other, file)], store=store)
    before = {path: path.stat().st_mtime_ns for path in store.root.glob("row/*/*")}
    slower, worse = replace(first, seconds=99.0), replace(other, test_error=0.5)
    found = import_rows([(slower, file), (worse, file), (third, file)], store=store)
    assert (len(found.rows), found.new) == (3, 1)
    assert found.differing == [(other.key, 0.25, 0.5)]
    assert before.items() <= {path: path.stat().st_mtime_ns for path in store.root.glob("row/*/*")}.items()


def test_of_a_row_that_comes_twice_the_first_counts(store: ArtifactStore, file: Path, tmp_path: Path) -> None:
    row, again, worse = row_of(0, error=0.25), row_of(0, error=0.25), row_of(0, error=0.75)
    found = import_rows([(row, file), (again, file), (worse, file)], store=store)
    assert (found.rows, found.new) == ([row], 1)
    assert found.twice == [(row.key, 0.25, 0.75)]
    assert records.load_row(store.load("row", row.key)) == row  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key", ["../up-0123456789abcdef", "a/b-0123456789abcdef", "..", "cell-0", "a-0123456789abcdef\n"]
)
def test_what_is_no_key_is_refused_before_anything_is_written(key: str, store: ArtifactStore, file: Path) -> None:
    with pytest.raises(WinnowError, match=r"rows\.csv has a row with the key .* no key of a cell"):
        import_rows([(row_of(0), file), (make_row(key=key), file)], store=store)
    assert not store.root.exists()


def test_a_damaged_row_is_made_anew(store: ArtifactStore, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = row_of(0)
    import_rows([(row, file)], store=store)
    (store.path("row", row.key) / "row.json").write_text("{}")
    assert import_rows([(row, file)], store=store).new == 1
    assert "is damaged" in caplog.text
    assert records.load_row(store.load("row", row.key)) == row  # type: ignore[arg-type]


def test_a_sweep_of_imported_rows_needs_them_and_nothing_else(store: ArtifactStore, file: Path, tmp_path: Path) -> None:
    row, other = row_of(0), row_of(1)
    import_rows([(row, file), (other, file)], store=store)
    results.save_row(tmp_path / "sweep", row)
    assert [entry.key for entry in cleaning.needs(store, [tmp_path / "sweep"])] == [row.key]
    plan = cleaning.cleaning(store, [tmp_path / "sweep"])
    assert [entry.key for entry in plan.unneeded] == [other.key]
    assert cleaning.remove(store, cleaning.downstream_first(plan.unneeded)) == []
    assert store.keys("row") == [row.key]


def test_it_has_no_model_and_the_remedy_is_told(store: ArtifactStore, file: Path) -> None:
    row = row_of(0)
    import_rows([(row, file)], store=store)
    assert records.trained_model(row.key, store) is None
    for load in (load_class_errors, load_recorded):
        with pytest.raises(MissingEvidenceError, match=f"remove .*{row.key} and run its cell again"):
            load(row.key, store=store)


def test_the_page_shows_what_the_other_rows_have(store: ArtifactStore, file: Path) -> None:
    imported = make_row("el2n hardest", key=make_key("blobs-el2n", 0), seed=0)
    made = make_row("el2n hardest", key="made-here", seed=1)
    import_rows([(imported, file)], store=store)
    scores = Scores(np.arange(3.0), metric="el2n", dataset="blobs-0")

    def write(draft: Draft) -> None:
        records.save_row(draft, made)
        records.save_upstream(draft, scores="scores-here", alpha=None, subset=None, model="removed")

    store.fetch("scores", "scores-here", write=lambda draft: records.save_scores(draft, scores, {}), inputs={})
    store.fetch("row", made.key, write=write, inputs={})
    kept = look_up(grid.table([imported, made]), store)
    assert list(kept.scores) == [("blobs", "el2n")]
    assert kept.notes == ["Errors by class: 2 of 2 models are not in the store, or tell none."]
    assert look_up(grid.table([imported]), store).scores == {}
