"""What an export leaves is what the subset keeps, and what cannot be exported is refused before anything is written."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from torchvision.datasets import ImageFolder as TorchFolder

from helpers.config import composed, options
from helpers.photos import grey, make_photos
from winnow.core.errors import MismatchError, OptionError
from winnow.core.types import Subset
from winnow.datasets import torch_subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.imagefolder import ImageFolder
from winnow.datasets.synthetic import Synthetic
from winnow.exports.base import Export
from winnow.exports.files import Files
from winnow.exports.links import Links
from winnow.exports.table import Table
from winnow.store.artifacts import ArtifactStore


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


def load(photos: Path, **changes: float) -> ImageDataset:
    return ImageFolder(root=str(photos), size=8, **changes).load(ArtifactStore(photos.parent / "artifacts"))


def subset_of(dataset: ImageDataset, *indices: int) -> Subset:
    return Subset(np.array(indices), np.linspace(0.5, 1.5, len(indices)), np.zeros(len(indices), dtype=bool), dataset.n)


@pytest.mark.parametrize("path", options("export"), ids=lambda path: path.stem)
def test_every_yaml_makes_an_export(path: Path, tmp_path: Path, photos: Path) -> None:
    export: Export = instantiate(composed(path) | {"to": str(tmp_path / "kept")})
    dataset = load(photos)
    export.write(dataset, subset_of(dataset, 1, 20))
    assert any((tmp_path / "kept").iterdir())


def test_a_folder_of_links_reads_as_the_subset(photos: Path, tmp_path: Path) -> None:
    dataset = load(photos)
    subset = subset_of(dataset, 1, 9, 10, 12, 23, 24, 27)  # img2, img10, img11 | img1, img12 | img1, img4
    Links(to=str(tmp_path / "kept")).write(dataset, subset)
    read = TorchFolder(tmp_path / "kept")
    assert read.classes == ["cat", "dog", "emu"]
    read_files = {(os.path.realpath(path), label) for path, label in read.samples}
    kept = {(str(photos / dataset.train_files[i]), int(dataset.train_labels[i])) for i in subset.indices}
    assert read_files == kept
    assert len(read) == subset.m
    weights = pd.read_csv(tmp_path / "kept" / "weights.csv")
    assert list(weights["file"]) == [dataset.train_files[i].removeprefix("train/") for i in subset.indices]
    assert all((tmp_path / "kept" / file).is_symlink() for file in weights["file"])
    np.testing.assert_allclose(weights["weight"], subset.weights)
    assert list(weights["class"]) == ["cat"] * 3 + ["dog"] * 2 + ["emu"] * 2
    assert list(weights["label"]) == [0, 0, 0, 1, 1, 2, 2]


def test_links_are_absolute_and_survive_a_move_of_their_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = ImageFolder(root="photos", size=8).load(ArtifactStore("artifacts"))
    Links(to="kept").write(dataset, subset_of(dataset, 0))
    (tmp_path / "far" / "away").mkdir(parents=True)
    moved = (tmp_path / "kept").rename(tmp_path / "far" / "away" / "kept")
    assert (moved / "cat" / "img1.png").read_bytes() == (photos / "train" / "cat" / "img1.png").read_bytes()


def test_the_table_gives_links_their_weights(photos: Path, tmp_path: Path) -> None:
    dataset = load(photos)
    subset = subset_of(dataset, 1, 9, 13, 25)
    Links(to=str(tmp_path / "kept")).write(dataset, subset)
    Table(to=str(tmp_path / "table")).write(dataset, subset)
    kept = torch_subset(TorchFolder(tmp_path / "kept"), tmp_path / "table" / "subset.parquet", weighted=True)
    files = [kept.dataset.samples[position][0].rpartition("/kept/")[2] for position in kept.indices]
    named = dict(zip(files, kept.weights.tolist(), strict=True))
    weights = pd.read_csv(tmp_path / "kept" / "weights.csv").set_index("file")["weight"]
    assert named == pytest.approx(weights.to_dict())


def test_folders_below_a_class_are_kept(photos: Path, tmp_path: Path) -> None:
    grey(photos / "train" / "cat" / "kittens" / "img1.png", 99)
    dataset = load(photos)
    both = [i for i, file in enumerate(dataset.train_files) if file.startswith("train/cat/") and "img1.png" in file]
    assert len(both) == 2
    Links(to=str(tmp_path / "kept")).write(dataset, subset_of(dataset, *both))
    read = TorchFolder(tmp_path / "kept", allow_empty=True)
    assert sorted(os.path.realpath(path) for path, _ in read.samples) == sorted(
        str(photos / dataset.train_files[i]) for i in both
    )


def test_a_class_of_which_nothing_is_kept_holds_its_number(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load(photos)
    Links(to=str(tmp_path / "kept")).write(dataset, subset_of(dataset, 0, 25))
    assert "nothing is kept of 1 of 3 classes (dog)" in caplog.text
    read = TorchFolder(tmp_path / "kept", allow_empty=True)
    assert read.class_to_idx == TorchFolder(photos / "test").class_to_idx
    assert read.targets == [0, 2]


def test_a_list_of_files_names_the_subset(photos: Path, tmp_path: Path) -> None:
    dataset = load(photos)
    subset = subset_of(dataset, 1, 9, 12)
    Files(to=str(tmp_path / "kept")).write(dataset, subset)
    files = (tmp_path / "kept" / "files.txt").read_text().splitlines()
    assert files == [str(photos / "train" / file) for file in ("cat/img2.png", "cat/img10.png", "dog/img1.png")]
    weights = pd.read_csv(tmp_path / "kept" / "weights.csv")
    assert list(weights["file"]) == files
    np.testing.assert_allclose(weights["weight"], [0.5, 1.0, 1.5])


@pytest.mark.parametrize("kind", [Files, Table])
def test_limit_and_label_noise_name_the_right_files_and_the_moved_labels(
    kind: type[Export], photos: Path, tmp_path: Path
) -> None:
    dataset = load(photos, limit=15, label_noise=0.4)
    subset = subset_of(dataset, *range(0, 15, 2))
    kind(to=str(tmp_path / "kept")).write(dataset, subset)
    name, read = ("weights.csv", pd.read_csv) if kind is Files else ("subset.parquet", pd.read_parquet)
    table = read(tmp_path / "kept" / name)
    files = [str(photos / file) if kind is Table else file for file in table["file"]]
    for file, label, index in zip(files, table["label"], subset.indices, strict=True):
        level = dataset.train_images[index, 0, 0, 0]
        grey(tmp_path / "same.png", level)
        assert Path(file).read_bytes() == (tmp_path / "same.png").read_bytes()
        assert label == dataset.train_labels[index]


def test_a_table_is_of_any_data_set_and_needs_no_folder(tmp_path: Path) -> None:
    dataset = Synthetic(n=50, n_test=10).load(ArtifactStore(tmp_path / "artifacts"))
    Table(to=str(tmp_path / "kept")).write(dataset, subset_of(dataset, 3, 30))
    table = pd.read_parquet(tmp_path / "kept" / "subset.parquet")
    assert (list(table["index"]), table.attrs["n"]) == ([3, 30], 50)
    before = sorted(tmp_path.iterdir())
    Table().write(dataset, subset_of(dataset, 3))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", [Files, Links])
def test_data_without_files_are_refused_with_the_way_out(kind: type[Export], tmp_path: Path) -> None:
    dataset = Synthetic(n=50, n_test=10).load(ArtifactStore(tmp_path / "artifacts"))
    with pytest.raises(OptionError, match=r"no image files of its own.*export=table"):
        kind(to=str(tmp_path / "kept")).check(dataset)


@pytest.mark.parametrize("kind", [Files, Links])
def test_a_missing_folder_name_is_refused(kind: type[Export], photos: Path) -> None:
    with pytest.raises(OptionError, match=r"export\.to is not given"):
        kind().check(load(photos))


@pytest.mark.parametrize("kind", [Files, Links, Table])
def test_a_folder_that_is_not_empty_is_left_as_it_is(kind: type[Export], photos: Path, tmp_path: Path) -> None:
    dataset = load(photos)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").write_text("precious")
    for taken in (tmp_path / "kept", tmp_path / "kept" / "mine"):
        with pytest.raises(OptionError, match="not an empty folder; name a new one"):
            kind(to=str(taken)).write(dataset, subset_of(dataset, 0))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine"]
    assert (tmp_path / "kept" / "mine").read_text() == "precious"


def test_a_folder_inside_the_training_set_is_refused(photos: Path) -> None:
    with pytest.raises(OptionError, match="inside the data set itself"):
        Links(to=str(photos / "train" / "kept")).check(load(photos))
    Links(to=str(photos / "kept")).check(load(photos))


def test_links_of_moved_labels_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"label_noise moved; take export=files"):
        Links(to=str(tmp_path / "kept")).check(load(photos, label_noise=0.1))


def test_an_error_halfway_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, real = load(photos), Path.symlink_to

    def only_cats(self: Path, target: Path) -> None:
        if "dog" in str(target):
            raise PermissionError(1, "Operation not permitted")
        real(self, target)

    monkeypatch.setattr(Path, "symlink_to", only_cats)
    with pytest.raises(OptionError, match=r"Operation not permitted.*take export=files"):
        Links(to=str(tmp_path / "kept")).write(dataset, Subset.full(dataset.n))
    assert list((tmp_path / "kept").iterdir()) == []
    assert all(path.exists() for path in (photos / "train").rglob("*.png"))


def test_a_subset_of_another_data_set_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="subset of 5 examples"):
        Files(to=str(tmp_path / "kept")).write(load(photos), Subset.full(5))
