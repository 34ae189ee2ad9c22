"""The adapter for torchvision, on files made here in the formats of the originals; nothing is downloaded."""

import gzip
import hashlib
import pickle
import struct
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torchvision

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets.torchvision import Torchvision
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import describe

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
TEST = RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def _cifar(root, monkeypatch, kind, folder, label_key, names_key, n_classes):
    base = root / folder
    base.mkdir(parents=True)
    lists = {}
    for name, images in (("train", TRAIN), ("test", TEST)):
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        batch = {"data": rows, label_key: [i % n_classes for i in range(len(images))]}
        (base / name).write_bytes(pickle.dumps(batch))
        lists[name] = [[name, _md5(base / name)]]
    (base / "meta").write_bytes(pickle.dumps({names_key: [f"c{i}" for i in range(n_classes)]}))
    monkeypatch.setattr(kind, "train_list", lists["train"])
    monkeypatch.setattr(kind, "test_list", lists["test"])
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": names_key, "md5": _md5(base / "meta")})


def make_cifar10(root, monkeypatch):
    _cifar(root, monkeypatch, torchvision.datasets.CIFAR10, "cifar-10-batches-py", "labels", "label_names", 10)


def make_cifar100(root, monkeypatch):
    kind = torchvision.datasets.CIFAR100
    _cifar(root, monkeypatch, kind, "cifar-100-python", "fine_labels", "fine_label_names", 100)


def make_svhn(root, monkeypatch):
    root.mkdir(parents=True, exist_ok=True)
    table = {}
    for name, images in (("train", TRAIN), ("test", TEST)):
        labels = np.array([i % 10 or 10 for i in range(len(images))])[:, None]  # the source writes 10 for the digit 0
        path = root / f"{name}_32x32.mat"
        scipy.io.savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels})
        table[name] = ["http://localhost/none", path.name, _md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", table)


def make_fashion_mnist(root, monkeypatch):
    base = root / "FashionMNIST" / "raw"
    base.mkdir(parents=True)
    for name, images in (("train", TRAIN), ("t10k", TEST)):
        grey, labels = images[:, :28, :28, 0], np.arange(len(images), dtype=np.uint8) % 10
        header = struct.pack(">IIII", 0x803, *grey.shape)
        for ending, content in (
            ("images-idx3-ubyte", header + grey.tobytes()),
            ("labels-idx1-ubyte", struct.pack(">II", 0x801, len(labels)) + labels.tobytes()),
        ):
            (base / f"{name}-{ending}").write_bytes(content)
            (base / f"{name}-{ending}.gz").write_bytes(gzip.compress(content))


MAKERS = {
    "cifar10": make_cifar10,
    "cifar100": make_cifar100,
    "svhn": make_svhn,
    "fashion_mnist": make_fashion_mnist,
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    for module in ("utils", "cifar", "svhn", "mnist"):
        for name in ("_urlretrieve", "download_url", "download_and_extract_archive"):
            monkeypatch.setattr(f"torchvision.datasets.{module}.{name}", refuse, raising=False)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_files_on_disk_become_uint8_with_channels_last(name, download, tmp_path, store, monkeypatch):
    MAKERS[name](tmp_path / "data", monkeypatch)
    dataset = Torchvision(dataset=name, root=str(tmp_path / "data"), download=download).load(store)
    grey = name == "fashion_mnist"
    np.testing.assert_array_equal(dataset.train_images, TRAIN[:, :28, :28, :1] if grey else TRAIN)
    np.testing.assert_array_equal(dataset.test_images, TEST[:, :28, :28, :1] if grey else TEST)
    assert dataset.n_classes == (100 if name == "cifar100" else 10)
    np.testing.assert_array_equal(dataset.train_labels, np.arange(20) % dataset.n_classes)
    np.testing.assert_array_equal(dataset.test_labels, np.arange(10))
    assert dataset.train_labels.dtype == np.int64
    assert dataset.train_images.flags.c_contiguous
    assert dataset.name == name


@pytest.mark.parametrize("name", MAKERS)
def test_missing_files_that_cannot_be_downloaded(name, tmp_path, store):
    root = tmp_path / "data"
    with pytest.raises(DatasetError, match=r"downloading them failed.*no network.*put there") as caught:
        Torchvision(dataset=name, root=str(root)).load(store)
    assert str(root) in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_that_may_not_be_downloaded(tmp_path, store):
    root = tmp_path / "data"
    with pytest.raises(DatasetError, match=r"dataset\.download=false.*cifar-10-batches-py"):
        Torchvision(root=str(root), download=False).load(store)
    assert not root.exists()


def test_a_damaged_file_is_not_read(tmp_path, store, monkeypatch):
    make_cifar10(tmp_path, monkeypatch)
    file = tmp_path / "cifar-10-batches-py" / "train"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="damaged"):
        Torchvision(root=str(tmp_path), download=False).load(store)


def test_unknown_data_set_is_refused():
    with pytest.raises(OptionError, match="cifar10, cifar100, svhn, fashion_mnist"):
        Torchvision(dataset="imagenet")


def test_where_the_files_are_is_not_part_of_the_key():
    assert describe(Torchvision(root="a", download=False)) == describe(Torchvision(root="b"))
    assert describe(Torchvision(dataset="svhn")) != describe(Torchvision())
