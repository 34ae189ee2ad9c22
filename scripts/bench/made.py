"""Images for benchmarks whose numbers do not depend on what is in them."""

import numpy as np

from winnow.datasets.base import ImageDataset


def colour_images(n: int, *, size: int = 32, n_classes: int = 10, n_test: int = 100) -> ImageDataset:
    """Noise [n, size, size, 3], with labels in turn."""
    rng = np.random.default_rng(0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % n_classes

    (images, labels), (test_images, test_labels) = part(n), part(n_test)
    return ImageDataset(
        name="noise",
        train_images=images,
        train_labels=labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(map(str, range(n_classes))),
    )
