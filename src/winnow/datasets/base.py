"""What every data set gives: images and labels in canonical order, and the two changes that all of them allow."""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import DatasetError, OptionError
from winnow.core.seeds import stream
from winnow.core.types import Ints
from winnow.datasets.label_noise import check_noise, confused, noise_name, read_confusion, uniform
from winnow.datasets.streamed import StreamedImages
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import Component


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDataset:
    """Training and test images of one data set; an example is named by its row in train_images.

    train_images [n, H, W, C], test_images [n_test, H, W, C]: uint8 arrays, read-only memory maps, or streams of files,
    which decode what they are indexed for and refuse to become arrays.
    train_labels [n], test_labels [n_test]: int64 in [0, len(class_names)).
    train_files: the path of each training image below the data folder, where there are files.
    folder: the data folder itself, where there are files. resize: how files became images of this shape, "crop" or
    "squash"; files that are read for it later are treated alike.
    planted: indices of examples of known kind ("easy", "hard", "mislabelled"), for evaluation only.
    source_index [n]: where a `limit` left its mark, the index in the unlimited training set.
    fingerprint: the name and a hash of all images (of streams, of their files) and labels; it names the data in every
    key.
    origin: what it was loaded from. Another process of the same run gets that instead of the images, and loads them.

    Raises DatasetError where shapes, types or labels do not fit.
    """

    name: str
    train_images: NDArray[np.uint8] | StreamedImages
    train_labels: Ints
    test_images: NDArray[np.uint8] | StreamedImages
    test_labels: Ints
    class_names: tuple[str, ...]
    train_files: tuple[str, ...] | None = None
    folder: Path | None = None
    resize: str = "crop"
    planted: Mapping[str, Ints] = field(default_factory=dict)
    source_index: Ints | None = None
    fingerprint: str = ""
    origin: "tuple[DatasetSpec, ArtifactStore] | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels) or len(images) == 0:
                raise DatasetError(
                    f"{self.name}: {part} images must be uint8 [n, H, W, C] with one label each and n > 0; "
                    f"got {images.dtype} {list(images.shape)} and {len(labels)} labels."
                )
            if labels.min() < 0 or labels.max() >= self.n_classes:
                raise DatasetError(f"{self.name}: {part} labels must be in [0, {self.n_classes}).")
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", f"{self.name}-{self._hash()}")

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(str(array.shape).encode())
            digest.update(array.content if isinstance(array, StreamedImages) else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]

    @property
    def slug(self) -> str:
        """The fingerprint without its hash: how file names call the data set, whatever name it is shown under."""
        return self.fingerprint.rpartition("-")[0]

    @property
    def n(self) -> int:
        return len(self.train_labels)

    @property
    def n_test(self) -> int:
        return len(self.test_labels)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def streams(self) -> bool:
        """Whether the images stay in their files."""
        return isinstance(self.train_images, StreamedImages)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    @property
    def columns(self) -> dict[str, Sequence[Any] | NDArray[Any]]:
        """What tables say of each example besides its index: label, and where there are such, file, source, flipped.

        source_index is the index in the unlimited training set; flipped is true where label noise moved the label.
        """
        known: dict[str, Sequence[Any] | NDArray[Any]] = {"label": self.train_labels}
        if self.train_files is not None:
            known["file"] = self.train_files
        if self.source_index is not None:
            known["source_index"] = self.source_index
        if "flipped" in self.planted:
            known["flipped"] = np.isin(np.arange(self.n), self.planted["flipped"])
        return known

    def __reduce__(self) -> Any:
        return super().__reduce__() if self.origin is None else (_load_again, (*self.origin, self.fingerprint))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8], int]:
        """(canonical index, image [H, W, C] uint8, label) of one training example."""
        return index, np.asarray(self.train_images[index]), int(self.train_labels[index])


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Component, ABC):
    """Which data set, and two changes to its training set that every data set allows.

    limit: keep about this many training examples, drawn with the class proportions kept; they are renumbered in
    canonical order, and `source_index` says where they came from. label_noise: the fraction of training labels moved to
    another class; `planted["flipped"]` keeps which. noise_seed seeds both.

    noise_kind: which labels are moved, and where to.
      "uniform": any, to any other class. Slips of the hand, and the kind that is easy to find.
      "class":   in proportion to which class is taken for which, alike for all examples of a class.
      "example": in proportion to what each example is taken for, by a probe say. The nearest to labels that people
                 dispute, which depend on the image (Wei et al. 2022, 2110.12088).
    confusion: the file that the latter two read (`label_noise.read_confusion`). The name of the data set carries the
    kind and six digits of the file's hash.

    Raises OptionError for a limit under one example a class, a label_noise outside [0, 1), an unknown noise_kind, or a
    confusion where none is read; DatasetError where its file is not what it must be.
    """

    limit: int | None = None
    label_noise: float = 0.0
    noise_kind: str = "uniform"
    confusion: str | None = None
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.label_noise < 1:
            raise OptionError(f"dataset.label_noise={self.label_noise} must be a fraction in [0, 1).")
        check_noise(self.noise_kind, self.confusion)
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"dataset.limit={self.limit} must be at least 1, or null for all examples.")

    @abstractmethod
    def read(self, store: ArtifactStore) -> ImageDataset:
        """The data set as it is, before limit and label noise. store: where decoded images may be kept."""

    def load(self, store: ArtifactStore) -> ImageDataset:
        """The data set that this spec describes."""
        dataset = self.read(store)
        whole = dataset.n
        if self.limit is not None and self.limit < dataset.n:
            dataset = _limited(dataset, self.limit, self.noise_seed)
        if self.label_noise > 0:
            dataset = self._noisy(dataset, whole)
        object.__setattr__(dataset, "origin", (self, store))
        return dataset

    def _noisy(self, dataset: ImageDataset, whole: int) -> ImageDataset:
        """With moved labels. whole: the number of examples before `limit`."""
        labels, classes = dataset.train_labels, dataset.n_classes
        if self.confusion is None:
            moved = uniform(labels, self.label_noise, classes, self.noise_seed)
        else:
            among = dataset.source_index
            confusion = read_confusion(self.confusion, self.noise_kind, labels, classes, among=among, whole=whole)
            moved = confused(labels, confusion, self.label_noise, self.noise_seed)
        return replace(
            dataset,
            name=f"{dataset.name}-{noise_name(self.label_noise, self.noise_kind, self.confusion)}",
            train_labels=moved.labels,
            planted={**dataset.planted, "flipped": moved.flipped},
            fingerprint="",
        )


@functools.lru_cache(maxsize=2)
def load_once(spec: DatasetSpec, store: ArtifactStore) -> ImageDataset:
    """The data set of a spec, one object a process, so that those who use it share its copy on the device."""
    return spec.load(store)


def _load_again(spec: DatasetSpec, store: ArtifactStore, fingerprint: str) -> ImageDataset:
    """What another process of the same run has loaded. Raises DatasetError where this one finds other data."""
    dataset = load_once(spec, store)
    if dataset.fingerprint != fingerprint:
        raise DatasetError(
            f"{dataset.name} is not the same to all processes ({dataset.fingerprint} and {fingerprint}); put the same "
            "files on every machine."
        )
    return dataset


def _limited(dataset: ImageDataset, limit: int, seed: int) -> ImageDataset:
    """The first `limit` examples of a random order that deals the classes out in proportion."""
    if limit < dataset.n_classes:
        raise OptionError(f"dataset.limit={limit} is under one example for each of {dataset.n_classes} classes.")
    rng = stream(seed, "limit")
    rank = np.empty(dataset.n)
    for label in range(dataset.n_classes):
        members = np.flatnonzero(dataset.train_labels == label)
        # The j-th of n_c members of a class stands at (j + u)/n_c, so any prefix holds the classes in proportion.
        rank[rng.permutation(members)] = (np.arange(members.size) + rng.random()) / max(members.size, 1)
    kept = np.sort(np.argsort(rank, kind="stable")[:limit])
    images = dataset.train_images
    position = np.full(dataset.n, -1)
    position[kept] = np.arange(kept.size)
    planted = {name: position[indices][position[indices] >= 0] for name, indices in dataset.planted.items()}
    return replace(
        dataset,
        name=f"{dataset.name}-limit{limit}",
        train_images=images.part(kept) if isinstance(images, StreamedImages) else np.asarray(images[kept]),
        train_labels=dataset.train_labels[kept],
        train_files=tuple(dataset.train_files[i] for i in kept) if dataset.train_files else None,
        planted=planted,
        source_index=kept,
        fingerprint="",
    )
