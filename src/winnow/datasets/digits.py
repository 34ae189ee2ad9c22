"""Handwritten digits that come with scikit-learn: real images, no download, trained in seconds."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from winnow.core.seeds import stream
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.store.artifacts import ArtifactStore

N_TEST = 360
SPLIT_SEED = 1797


@dataclass(frozen=True, kw_only=True)
class Digits(DatasetSpec):
    """The 1,797 digits of `sklearn.datasets.load_digits`, which are the test part of UCI's "Optical Recognition of
    Handwritten Digits" (Alpaydin and Kaynak, 1998).

    Images [8, 8, 1]; the source's ink counts 0..16 become grey levels 0..255. The source has no split: 360 examples,
    the classes in proportion, are the test set, the same in every run; the other 1,437 are the training set. Both are
    in the order of the source.
    """

    def read(self, store: ArtifactStore) -> ImageDataset:
        inks, labels = _source()
        images = np.rint(inks * (255 / 16)).astype(np.uint8)[..., None]
        is_test = _test_mask(labels)
        return ImageDataset(
            name="digits",
            train_images=images[~is_test],
            train_labels=labels[~is_test],
            test_images=images[is_test],
            test_labels=labels[is_test],
            class_names=tuple(map(str, range(10))),
        )


def _source() -> tuple[np.ndarray, np.ndarray]:
    """Ink counts [n, 8, 8] and labels [n], as load_digits reads them, but without the seconds that its import takes."""
    package = find_spec("sklearn")  # which imports nothing of it
    assert package is not None
    assert package.origin is not None
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def _test_mask(labels: np.ndarray) -> np.ndarray:
    # Not sklearn's train_test_split: the split must not move when that library changes its own.
    rng = stream(SPLIT_SEED, "digits", "test")
    rank = np.empty(labels.size)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        rank[members] = (np.arange(members.size) + 0.5) / members.size
    mask = np.zeros(labels.size, dtype=bool)
    mask[np.argsort(rank, kind="stable")[:N_TEST]] = True
    return mask
