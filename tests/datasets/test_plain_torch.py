"""A subset as a torch data set: the right examples, their weights, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder as TorchFolder
from torchvision.transforms.functional import pil_to_tensor

from helpers.photos import grey, make_photos
from winnow.core.errors import DatasetError, MismatchError
from winnow.core.types import Subset
from winnow.datasets import torch_subset, weighted_sampler
from winnow.datasets.base import ImageDataset
from winnow.datasets.imagefolder import ImageFolder
from winnow.selectors.calibrated import Calibrated
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import subset_table

KEPT = Subset(np.array([1, 4, 5, 9]), np.array([0.5, 0.5, 1.0, 2.0]), np.array([True, True, False, False]), n=10)


class Labelled(TensorDataset):
    """Ten examples: the number of each, and a label; `targets` as torchvision's CIFAR10 has them."""

    def __init__(self, n: int = 10) -> None:
        self.targets = [i % 3 for i in range(n)]
        super().__init__(torch.arange(n).float(), torch.tensor(self.targets))


def table(path: Path, subset: Subset = KEPT, **columns: np.ndarray) -> Path:
    subset_table(subset, columns).to_parquet(path, index=False)
    return path


def test_items_are_those_of_the_data_set_and_weights_are_aligned() -> None:
    kept = torch_subset(Labelled(), KEPT)
    assert len(kept) == 4
    assert [(int(number), int(label)) for number, label in (kept[i] for i in range(4))] == [
        (1, 1), (4, 1), (5, 2), (9, 0),
    ]  # fmt: skip
    assert kept.weights.tolist() == [0.5, 0.5, 1.0, 2.0]
    assert kept.indices == [1, 4, 5, 9]


def test_the_path_of_a_table_does_the_same(tmp_path: Path) -> None:
    labels = np.arange(10) % 3
    for path in (table(tmp_path / "a.parquet", label=labels), str(tmp_path / "a.parquet")):
        kept = torch_subset(Labelled(), path)
        assert kept.indices == [1, 4, 5, 9]
        assert kept.weights.tolist() == [0.5, 0.5, 1.0, 2.0]


@pytest.mark.parametrize("weights", [True, False])
def test_a_data_loader_batches_them(weights: bool) -> None:
    loader = DataLoader(torch_subset(Labelled(), KEPT, weighted=weights), batch_size=3)
    first, last = loader
    assert first[0].tolist() == [1, 4, 5]
    assert last[0].tolist() == [9]
    assert len(first) == 2 + weights
    if weights:
        assert first[2].dtype == torch.float32  # a loss in float64 would be a surprise
        assert first[2].tolist() == [0.5, 0.5, 1.0]


def test_items_that_are_no_tuple_get_a_weight_too() -> None:
    class Numbers(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 10

        def __getitem__(self, i: int) -> int:
            return 10 * i

    assert [tuple(map(float, item)) for item in torch_subset(Numbers(), KEPT, weighted=True)] == [
        (10, 0.5), (40, 0.5), (50, 1), (90, 2),
    ]  # fmt: skip


def test_weighted_loss_and_resampling_have_the_expectation_of_the_full_risk() -> None:
    """Closed form over the sampler's probabilities, then what it really draws."""
    loss = torch.arange(10.0).square()
    sampler = weighted_sampler(KEPT, seed=0, num_samples=200_000)
    kept = torch_subset(TensorDataset(loss), KEPT, weighted=True)
    weighted = torch.stack([weight * value for value, weight in kept]).mean()
    assert weighted == pytest.approx((0.5 * 1 + 0.5 * 16 + 25 + 2 * 81) / 4)
    probabilities = sampler.weights / sampler.weights.sum()
    losses = loss[torch.tensor(kept.indices)].double()
    assert (probabilities * losses).sum() == pytest.approx(float(weighted))
    drawn = losses[list(sampler)]
    deviation = float(((probabilities * losses**2).sum() - weighted**2).sqrt()) / 200_000**0.5
    assert abs(float(drawn.mean() - weighted)) < 4 * deviation


def test_over_draws_of_exact_calibration_both_estimate_the_mean_of_all() -> None:
    rng = np.random.default_rng(0)
    scores, labels, values = rng.random(40), np.zeros(40, dtype=np.int64), rng.normal(size=40)
    estimates = []
    for seed in range(400):
        subset = Calibrated().select(scores, labels, r=0.3, alpha=0.5, seed=seed)
        weights = weighted_sampler(subset, seed=seed).weights.numpy()
        estimates.append((weights / weights.sum() * values[subset.indices]).sum())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - values.mean()) < 4 * error


def test_the_sampler_is_seeded_and_draws_anew_in_each_epoch() -> None:
    first, second = weighted_sampler(KEPT, seed=1), weighted_sampler(KEPT, seed=1)
    epochs = [list(first) for _ in range(20)]
    assert epochs == [list(second) for _ in range(20)]
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert {position for epoch in epochs for position in epoch} == {0, 1, 2, 3}
    assert epochs != [list(weighted_sampler(KEPT, seed=2)) for _ in range(20)]


def test_the_sampler_takes_all_three_forms_of_a_subset(tmp_path: Path) -> None:
    forms = (KEPT, table(tmp_path / "a.parquet"), torch_subset(Labelled(), KEPT))
    draws = [list(weighted_sampler(form, seed=3, num_samples=50)) for form in forms]
    assert draws[0] == draws[1] == draws[2]
    loader = DataLoader(forms[2], batch_size=4, sampler=weighted_sampler(forms[2], seed=3))
    ((numbers, _),) = loader
    assert numbers.tolist() == [[1, 4, 5, 9][i] for i in draws[0][:4]]


@pytest.mark.parametrize("size", [9, 11])
def test_another_length_is_refused(size: int, tmp_path: Path) -> None:
    for subset in (KEPT, table(tmp_path / "a.parquet")):
        with pytest.raises(MismatchError, match=f"subset of 10 examples, and the data set has {size}"):
            torch_subset(Labelled(size), subset)


def test_an_order_that_labels_give_away_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", label=np.sort(np.arange(10) % 3))
    with pytest.raises(MismatchError, match=r"3 of 4 labels differ .* at position 1"):
        torch_subset(Labelled(), path)


def test_labels_that_were_moved_are_refused_unless_the_data_set_has_them(tmp_path: Path) -> None:
    labels = np.arange(10) % 3
    labels[4] = 0
    path = table(tmp_path / "a.parquet", label=labels, flipped=np.arange(10) == 4)
    with pytest.raises(MismatchError, match=r"1 of 4 labels .*label_noise"):
        torch_subset(Labelled(), path)
    moved = Labelled()
    moved.targets[4] = 0
    assert len(torch_subset(moved, path)) == 4


def test_a_limited_selection_finds_its_place_in_the_whole(tmp_path: Path) -> None:
    source = np.array([0, 3, 4, 7])
    subset = Subset(np.array([1, 3]), np.ones(2), np.zeros(2, dtype=bool), n=4)
    path = table(tmp_path / "a.parquet", subset, label=source % 3, source_index=source)
    assert torch_subset(Labelled(), path).indices == [3, 7]
    with pytest.raises(MismatchError, match=r"dataset\.limit the path"):
        torch_subset(Labelled(), subset)
    with pytest.raises(MismatchError, match="with index 7, and the data set has 7"):
        torch_subset(Labelled(7), path)


@pytest.mark.parametrize("made", ["nothing", "text", "another table"])
def test_what_is_not_the_table_of_a_subset_is_refused(made: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    if made == "text":
        path.write_text("no table")
    if made == "another table":
        pd.DataFrame({"index": [1], "score": [0.5]}).to_parquet(path)
    with pytest.raises(DatasetError, match=r"a\.parquet .*; give the"):
        torch_subset(Labelled(), path)


class TestImageFolders:
    """torchvision's ImageFolder sorts img10 before img2, Winnow the other way round."""

    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        return make_photos(tmp_path / "photos")

    @pytest.fixture
    def dataset(self, photos: Path, tmp_path: Path) -> ImageDataset:
        return ImageFolder(root=str(photos), size=8).load(ArtifactStore(tmp_path / "artifacts"))

    @pytest.fixture
    def subset(self, dataset: ImageDataset) -> Subset:
        return Calibrated().select(np.arange(float(dataset.n)), dataset.train_labels, r=0.5, alpha=0.3, seed=0)

    @staticmethod
    def assert_same(kept: torch.utils.data.Dataset, dataset: ImageDataset, subset: Subset) -> None:
        """Each image has a grey level of its own."""
        images, labels = zip(*kept, strict=True)
        levels = [int(pil_to_tensor(image)[0, 0, 0]) for image in images]
        assert levels == dataset.train_images[subset.indices, 0, 0, 0].tolist()
        assert list(labels) == dataset.train_labels[subset.indices].tolist()

    def test_a_table_is_aligned_by_file(
        self, photos: Path, dataset: ImageDataset, subset: Subset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = table(tmp_path / "a.parquet", subset, **dataset.columns)
        monkeypatch.chdir(photos)
        for root in (photos / "train", "train", "./train/", f"{photos}//train/"):
            self.assert_same(torch_subset(TorchFolder(root), path), dataset, subset)

    def test_files_that_torchvision_reads_and_winnow_does_not_are_no_matter(
        self, photos: Path, dataset: ImageDataset, subset: Subset, tmp_path: Path
    ) -> None:
        path = table(tmp_path / "a.parquet", subset, **dataset.columns)
        grey(photos / "train" / "cat" / ".hidden.png", 255)
        self.assert_same(torch_subset(TorchFolder(photos / "train"), path), dataset, subset)

    def test_a_subset_alone_is_refused_where_the_orders_differ(
        self, photos: Path, dataset: ImageDataset, subset: Subset
    ) -> None:
        folder = TorchFolder(photos / "train")
        with pytest.raises(MismatchError, match=r"img10 before img2.*path of the table"):
            torch_subset(folder, subset)
        self.assert_same(torch_subset(folder, subset, files=dataset.train_files), dataset, subset)
        own_order = torch_subset(folder, subset, files=[path for path, _ in folder.samples])
        assert own_order.indices == subset.indices.tolist()
        with pytest.raises(MismatchError, match="files has 3 entries for a subset of 28"):
            torch_subset(folder, subset, files=["a", "b", "c"])

    def test_a_subset_alone_is_taken_where_the_orders_agree(self, photos: Path, tmp_path: Path) -> None:
        for path in photos.rglob("img?.png"):
            path.rename(path.with_name(path.name.replace("img", "img0")))
        dataset = ImageFolder(root=str(photos), size=8).load(ArtifactStore(tmp_path / "other"))
        subset = Calibrated().select(np.arange(28.0), dataset.train_labels, r=0.5, alpha=0.3, seed=0)
        self.assert_same(torch_subset(TorchFolder(photos / "train"), subset), dataset, subset)

    def test_another_folder_is_refused(
        self, photos: Path, dataset: ImageDataset, subset: Subset, tmp_path: Path
    ) -> None:
        path = table(tmp_path / "a.parquet", subset, **dataset.columns)
        with pytest.raises(MismatchError, match=r"kept files are not in this data set of 3 files .*open the train"):
            torch_subset(TorchFolder(photos / "test"), path)

    def test_moved_labels_are_refused(self, photos: Path, tmp_path: Path) -> None:
        noisy = ImageFolder(root=str(photos), size=8, label_noise=0.5).load(ArtifactStore(tmp_path / "artifacts"))
        path = table(tmp_path / "a.parquet", Subset.full(28), **noisy.columns)
        with pytest.raises(MismatchError, match="label_noise=0"):
            torch_subset(TorchFolder(photos / "train"), path)

    def test_a_limited_selection_is_aligned_by_file(self, photos: Path, tmp_path: Path) -> None:
        limited = ImageFolder(root=str(photos), size=8, limit=15).load(ArtifactStore(tmp_path / "artifacts"))
        subset = Subset(np.array([0, 7, 14]), np.ones(3), np.zeros(3, dtype=bool), n=15)
        path = table(tmp_path / "a.parquet", subset, **limited.columns)
        self.assert_same(torch_subset(TorchFolder(photos / "train"), path), limited, subset)
