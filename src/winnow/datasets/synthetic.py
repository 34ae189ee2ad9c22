"""Made images whose easy, hard and mislabelled examples are known, to test metrics and sweep difficulty."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from winnow.core.errors import OptionError
from winnow.core.rounding import round_half_up
from winnow.core.seeds import stream
from winnow.core.types import Bools, Floats, Ints
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.store.artifacts import ArtifactStore

CONTRAST = 0.2
"""Root mean square of a prototype's pixels about mid-grey; the full range of a pixel is 1."""
HARD_NOISE = 2.0
"""The pixel noise of a hard example, in units of that of an easy one."""


@dataclass(frozen=True, kw_only=True)
class Synthetic(DatasetSpec):
    """Grey images [size, size, 1]: a smooth prototype for each class plus pixel noise.

    Prototypes are orthogonal and of equal contrast, so every pair of classes is equally far apart. Each training
    example is of one kind, listed in `planted`: "easy" (its class's prototype), "hard" (blended towards the prototype
    of another class, with twice the noise, correctly labelled) or "mislabelled" (a clear image with another label).
    The test set has the same fraction of hard examples, the rest easy, and every label is correct; it and the
    prototypes do not depend on n or mislabelled. Classes are of equal size, up to one example.

    hard, mislabelled: fractions of the training set. difficulty: how far a hard example lies from its own prototype (0)
    to the point halfway to the other class (1), where the label is a coin flip. pixel_noise: standard deviation of an
    easy example's noise, where the full range of a pixel is 1. With the defaults the best possible error is near 0 on
    easy examples and about one in seven on hard ones; a larger size has more pixels to average over and is easier.

    Raises OptionError for a value outside its range.
    """

    n: int = 2000
    n_test: int = 1000
    n_classes: int = 4
    size: int = 8
    hard: float = 0.2
    mislabelled: float = 0.05
    difficulty: float = 0.7
    pixel_noise: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hard", "mislabelled", "difficulty"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"dataset.{name}={getattr(self, name)} must be in [0, 1].")
        if self.hard + self.mislabelled > 1:
            raise OptionError(
                f"dataset.hard={self.hard} and dataset.mislabelled={self.mislabelled} are fractions of the same "
                "training set; they must sum to at most 1."
            )
        if not 0 <= self.pixel_noise < np.inf:
            raise OptionError(f"dataset.pixel_noise={self.pixel_noise} must be 0 or more.")
        if self.size < 4:
            raise OptionError(f"dataset.size={self.size} must be at least 4 pixels.")
        if not 2 <= self.n_classes <= self.size**2 // 2:
            raise OptionError(
                f"dataset.n_classes={self.n_classes} must be at least 2 and at most half the {self.size**2} pixels."
            )
        for name in ("n", "n_test"):
            if getattr(self, name) < self.n_classes:
                raise OptionError(
                    f"dataset.{name}={getattr(self, name)} is under one example for each of {self.n_classes} classes."
                )

    def read(self, store: ArtifactStore) -> ImageDataset:
        prototypes = self._prototypes()

        rng = stream(self.seed, "synthetic", "train")
        classes = self._classes(rng, self.n)
        order = rng.permutation(self.n)
        n_hard, n_mislabelled = round_half_up(self.hard * self.n), round_half_up(self.mislabelled * self.n)
        n_hard = min(n_hard, self.n - n_mislabelled)  # both may have been rounded up
        hard, mislabelled, easy = np.split(order, [n_hard, n_hard + n_mislabelled])
        images = self._images(rng, prototypes, classes, np.isin(np.arange(self.n), hard))
        labels = classes.copy()
        labels[mislabelled] = self._another(rng, classes[mislabelled])

        test_rng = stream(self.seed, "synthetic", "test")
        test_labels = self._classes(test_rng, self.n_test)
        test_hard = test_rng.permutation(self.n_test) < round_half_up(self.hard * self.n_test)
        return ImageDataset(
            name=self._name(),
            train_images=images,
            train_labels=labels,
            test_images=self._images(test_rng, prototypes, test_labels, test_hard),
            test_labels=test_labels,
            class_names=tuple(f"class{label}" for label in range(self.n_classes)),
            planted={"easy": np.sort(easy), "hard": np.sort(hard), "mislabelled": np.sort(mislabelled)},
        )

    def _name(self) -> str:
        """synthetic, and in brackets the options that are not at their default, to tell them apart in a grid."""
        own = [f for f in fields(self) if f.name not in {shared.name for shared in fields(DatasetSpec)}]
        changed = [f"{f.name}={getattr(self, f.name):g}" for f in own if getattr(self, f.name) != f.default]
        return f"synthetic[{','.join(changed)}]" if changed else "synthetic"

    def _prototypes(self) -> Floats:
        """[n_classes, pixels], orthogonal, each of mean 0 and root mean square CONTRAST."""
        rng = stream(self.seed, "synthetic", "prototypes")
        rough = rng.standard_normal((self.n_classes, self.size, self.size))
        # Convolutions see neighbourhoods: blobs of about an eighth of the image are easy for them, white noise is not.
        smooth = gaussian_filter(rough, sigma=(0, self.size / 8, self.size / 8), mode="wrap")
        pixels = self.size**2
        basis, _ = np.linalg.qr(np.vstack([np.ones(pixels), smooth.reshape(self.n_classes, pixels)]).T)
        return basis[:, 1:].T * (CONTRAST * self.size)

    def _classes(self, rng: np.random.Generator, count: int) -> Ints:
        return rng.permutation(np.arange(count, dtype=np.int64) % self.n_classes)

    def _another(self, rng: np.random.Generator, classes: Ints) -> Ints:
        return (classes + rng.integers(1, self.n_classes, size=classes.size)) % self.n_classes

    def _images(self, rng: np.random.Generator, prototypes: Floats, classes: Ints, hard: Bools) -> NDArray[np.uint8]:
        towards = np.where(hard, self.difficulty / 2, 0.0)[:, None]
        signal = (1 - towards) * prototypes[classes] + towards * prototypes[self._another(rng, classes)]
        spread = self.pixel_noise * np.where(hard, HARD_NOISE, 1.0)[:, None]
        pixels = 0.5 + signal + spread * rng.standard_normal(signal.shape)
        grey = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
        return grey.reshape(-1, self.size, self.size, 1)
