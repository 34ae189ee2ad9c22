"""CIFAR-10, CIFAR-100, SVHN and Fashion-MNIST, through torchvision."""

from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from winnow.core.errors import DatasetError, check_choice
from winnow.core.types import Ints
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import NOT_IN_KEY


class _Source(NamedTuple):
    class_name: str
    files: str


_SOURCES = {
    "cifar10": _Source("CIFAR10", "cifar-10-batches-py/ (unpacked from cifar-10-python.tar.gz)"),
    "cifar100": _Source("CIFAR100", "cifar-100-python/ (unpacked from cifar-100-python.tar.gz)"),
    "svhn": _Source("SVHN", "train_32x32.mat and test_32x32.mat"),
    "fashion_mnist": _Source("FashionMNIST", "FashionMNIST/raw/ with its four *-ubyte.gz files"),
}


@dataclass(frozen=True, kw_only=True)
class Torchvision(DatasetSpec):
    """A data set of torchvision, in its published split and order.

    cifar10 and cifar100 (Krizhevsky, 2009): 50,000 and 10,000 images [32, 32, 3]. svhn (Netzer et al., 2011):
    73,257 and 26,032 images [32, 32, 3], without the "extra" part. fashion_mnist (Xiao et al., 2017): 60,000 and
    10,000 images [28, 28, 1].

    root: the folder that holds, or will hold, the files under torchvision's own names. Files that are there are used
    without a connection; download says whether missing ones may be fetched.

    Raises OptionError for an unknown data set, and DatasetError where files are missing or damaged and cannot be
    fetched.
    """

    dataset: str = "cifar10"
    root: str = field(default="data", metadata=NOT_IN_KEY)
    download: bool = field(default=True, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("dataset.dataset", self.dataset, tuple(_SOURCES))

    def read(self, store: ArtifactStore) -> ImageDataset:
        train, test = self._sources()
        train_images, train_labels = _arrays(train)
        test_images, test_labels = _arrays(test)
        names = getattr(train, "classes", None) or [str(digit) for digit in range(10)]  # SVHN has no list of its own
        return ImageDataset(
            name=self.dataset,
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            class_names=tuple(names),
        )

    def _sources(self) -> tuple[Any, Any]:
        """torchvision's own training and test sets."""
        root = Path(self.root).expanduser()
        try:
            return self._open(root, download=False)
        except (OSError, RuntimeError) as error:
            problem: Exception = error
        if self.download:
            try:
                root.mkdir(parents=True, exist_ok=True)
                with FileLock(root / f".{self.dataset}.lock"):  # the jobs of a grid must not write over each other
                    return self._open(root, download=True)
            except (OSError, RuntimeError, HTTPException) as error:
                problem = error
        tried = "downloading them failed" if self.download else "dataset.download=false forbids fetching them"
        reason = " ".join(str(problem).split())  # torchvision writes over several lines
        raise DatasetError(
            f"the files of {self.dataset} are missing from or damaged in {root.absolute()}, and {tried} ({reason}); "
            f"put there {_SOURCES[self.dataset].files}, or set dataset.root to the folder that has them."
        ) from problem

    def _open(self, root: Path, *, download: bool) -> tuple[Any, Any]:
        import torchvision

        kind = getattr(torchvision.datasets, _SOURCES[self.dataset].class_name)
        if self.dataset == "svhn":
            return kind(root, split="train", download=download), kind(root, split="test", download=download)
        return kind(root, train=True, download=download), kind(root, train=False, download=download)


def _arrays(source: Any) -> tuple[NDArray[np.uint8], Ints]:
    """Images [n, H, W, C] and labels: the sources differ in library, in the place of the channels and in names."""
    images = np.asarray(source.data)
    if images.ndim == 3:
        images = images[..., None]
    elif images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    labels = source.targets if hasattr(source, "targets") else source.labels
    return np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64)
