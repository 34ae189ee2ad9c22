"""What is saved comes back bit for bit."""

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.core.errors import DatasetError
from winnow.core.types import Scores, Subset, Trajectory
from winnow.store import records
from winnow.store.artifacts import ArtifactStore

AWKWARD = np.array([0.1, 1 / 3, -0.0, 5e-324, -1.7976931348623157e308, np.nextafter(1, 2), 2.0**53 + 2])
FILES = tuple(f"train/ä/{i}.png" for i in range(AWKWARD.size))


@pytest.fixture
def kept(tmp_path):
    """Saves by one function and loads from disk by the other."""

    def save_and_load(save, load):
        store = ArtifactStore(tmp_path)
        store.fetch("scores", "key", write=save, inputs=None)
        artifact = store.load("scores", "key")
        return load(artifact), artifact

    return save_and_load


def same_bits(one, other) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.mark.parametrize("files", [None, FILES])
def test_scores(kept, files):
    scores = Scores(AWKWARD, metric="el2n[epoch=4]", dataset="made-01")
    labels = np.arange(AWKWARD.size) % 3
    columns = {"label": labels} | ({"file": files} if files else {})
    loaded, artifact = kept(lambda draft: records.save_scores(draft, scores, columns), records.load_scores)
    assert same_bits(loaded.values, scores.values)
    assert (loaded.metric, loaded.dataset, loaded.content_hash) == (scores.metric, scores.dataset, scores.content_hash)
    table = artifact.table("scores")
    assert list(table.columns) == ["index", "score", "label"] + (["file"] if files else [])
    assert table["index"].tolist() == list(range(scores.n))
    assert table["label"].tolist() == labels.tolist()
    assert not files or table["file"].tolist() == list(FILES)


@pytest.mark.parametrize("files", [None, FILES])
def test_subset(kept, files):
    weights = np.array([1 / 3, 5e-324, np.nextafter(1, 2)])
    subset = Subset(np.array([0, 2, 5]), weights, np.array([True, False, True]), AWKWARD.size)
    columns = {"file": files} if files else {}
    loaded, artifact = kept(lambda draft: records.save_subset(draft, subset, columns), records.load_subset)
    assert all(same_bits(getattr(loaded, name), getattr(subset, name)) for name in ("indices", "weights", "is_signal"))
    assert (loaded.n, loaded.content_hash) == (subset.n, subset.content_hash)
    table = artifact.table("subset")
    assert list(table.columns) == ["index", "weight", "is_signal"] + (["file"] if files else [])
    assert not files or table["file"].tolist() == [FILES[0], FILES[2], FILES[5]]


@pytest.mark.parametrize("shape", [(4, 6), (2, 4, 6)])
@pytest.mark.parametrize("changes", [True, False])
def test_trajectory(kept, shape, changes):
    rng = np.random.default_rng(0)
    arrays = {field.name: rng.standard_normal(shape).astype(np.float32) for field in fields(Trajectory)}
    arrays["loss"][..., 1] = np.nan
    arrays["correct"] = rng.integers(-1, 2, shape).astype(np.int8)
    if not changes:
        del arrays["change_kl"], arrays["change_abs"]
    trajectory = Trajectory(**arrays)
    loaded, _ = kept(lambda draft: records.save_trajectory(draft, trajectory), records.load_trajectory)
    assert loaded.arrays().keys() == arrays.keys()
    assert all(same_bits(getattr(loaded, name), arrays[name]) for name in arrays)


def test_row(kept):
    row = make_row("el2n exact 0.5", r=0.1 + 0.2, error=1 / 3, test_loss=5e-324, alpha=1.0, git="0123-dirty", model="ä")
    loaded, _ = kept(lambda draft: records.save_row(draft, row), records.load_row)
    assert loaded == row
    assert {name: type(value) for name, value in asdict(loaded).items()} == {
        name: type(value) for name, value in asdict(row).items()
    }


def test_listed_indices_are_read_from_text_and_from_tables(tmp_path):
    (tmp_path / "targets.txt").write_text("4\n0\n12\n")
    (tmp_path / "one.txt").write_text("4\n")
    pd.DataFrame({"index": [4, 0, 12], "score": [0.5, 1.0, 2.0]}).to_parquet(tmp_path / "targets.parquet")
    assert records.read_indices(tmp_path / "targets.txt") == (4, 0, 12)
    assert records.read_indices(str(tmp_path / "targets.parquet")) == (4, 0, 12)
    assert records.read_indices(tmp_path / "one.txt") == (4,)


@pytest.mark.parametrize("text", ["cat\n", "0.5\n", "1 2\n3 4\n", None])
def test_what_is_no_list_of_indices_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "targets.txt").write_text(text)
    with pytest.raises(DatasetError, match="one index a line"):
        records.read_indices(tmp_path / "targets.txt")


def test_tables_without_indices_are_refused(tmp_path):
    for table in (pd.DataFrame({"score": [1.0]}), pd.DataFrame({"index": [0.5]})):
        table.to_parquet(tmp_path / "targets.parquet")
        with pytest.raises(DatasetError, match="column named index"):
            records.read_indices(tmp_path / "targets.parquet")
    (tmp_path / "targets.parquet").write_text("no table")
    with pytest.raises(DatasetError, match="column named index"):
        records.read_indices(tmp_path / "targets.parquet")
