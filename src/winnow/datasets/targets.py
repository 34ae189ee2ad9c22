"""A target set: images of one's own that scores may look towards, and that nothing is trained on."""

import functools
import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from winnow.core.errors import DatasetError
from winnow.core.types import Ints
from winnow.datasets.base import ImageDataset
from winnow.datasets.image_files import (
    ENDINGS,
    class_folders,
    decode_image,
    decode_whole,
    image_files,
    test_folder,
)
from winnow.datasets.loader import DeviceImages
from winnow.datasets.stream_loader import Stream
from winnow.datasets.streamed import StreamedImages

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetImages:
    """images [t, H, W, C] uint8 of the data set's shape, and their labels [t] int64 among its classes."""

    images: NDArray[np.uint8]
    labels: Ints

    @property
    def n(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def digest(self) -> str:
        """Names the pixels and labels, wherever they lie."""
        digest = hashlib.sha256(str(self.images.shape).encode())
        digest.update(self.images.data)
        digest.update(self.labels.data)
        return digest.hexdigest()[:16]

    def on_device(self, train: DeviceImages | Stream) -> DeviceImages:
        """On the device of the training images, with their mean and deviation, as the test images have them."""
        device = train.labels.device
        images, labels = (torch.tensor(array, device=device) for array in (self.images, self.labels))
        return DeviceImages(images, labels, train.mean, train.std)


def read_targets(dataset: ImageDataset, folder: str | Path) -> TargetImages:
    """The images folder/<class>/<file>, decoded as ImageFolder decodes them, in the data set's shape and channels.

    For a streamed data set, as it decodes for evaluation.

    Class folders have the names of the data set's classes, with _ where those have a /; classes may be missing. The
    order is by class name, then by file name with numbers compared as numbers. They are read once a process, and again
    when a file is added, removed, or differs in size or modification time.

    Raises DatasetError for a folder without images, a class that the data set does not have, a file that cannot be
    decoded, images that are not square in the data set, and files of the data set's test part: where they lie there,
    behind links too, or all images are pixel for pixel test images (of a stream, byte for byte test files). Some that
    are give a warning.
    """
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise DatasetError(f"there is no folder metric.folder={folder}; expected <class>/<image> in it.")
    height, width, _ = dataset.image_shape
    if height != width:
        raise DatasetError(f"metric.folder reads square images, and those of {dataset.name} are {height}x{width}.")
    labels = {name.replace("/", "_"): label for label, name in enumerate(dataset.class_names)}
    classes = class_folders(root)
    if foreign := [name for name in classes if name not in labels]:
        known = ", ".join(list(labels)[:10]) + (", ..." if len(labels) > 10 else "")
        raise DatasetError(
            f"metric.folder={folder} has a class that {dataset.name} lacks: {', '.join(foreign[:10])}; "
            f"name its folders as the classes there: {known}."
        )
    found = [(file, status, labels[name]) for name in classes for file, status in image_files(root / name, root)]
    if not found:
        raise DatasetError(f"metric.folder={folder} has no images ({' '.join(ENDINGS)}) as <class>/<image>.")
    _refuse_test_files(dataset, folder, (root / file for file, _, _ in found))
    stamps = tuple((file, status.st_size, status.st_mtime_ns, label) for file, status, label in found)
    return _decoded(dataset, root, stamps)


def _refuse_test_files(dataset: ImageDataset, folder: str | Path, files: Iterable[Path]) -> None:
    if dataset.folder is None:
        return
    test = test_folder(dataset.folder).resolve()
    if any(file.resolve().is_relative_to(test) for file in files):
        raise _of_test_part(f"metric.folder={folder} has files of {test}, the test part of {dataset.name}")


def _of_test_part(found: str) -> DatasetError:
    return DatasetError(f"{found}; nothing may be selected by test images: give a validation set.")


@functools.lru_cache(maxsize=2)
def _decoded(dataset: ImageDataset, root: Path, stamps: tuple[tuple[str, int, int, int], ...]) -> TargetImages:
    size, _, channels = dataset.image_shape

    streamed = dataset.train_images if isinstance(dataset.train_images, StreamedImages) else None

    def decode(file: str) -> NDArray[np.uint8]:
        try:
            if streamed is not None:
                return streamed.evaluate(decode_whole(root / file, channels)).permute(1, 2, 0).numpy()
            return decode_image(root / file, size, dataset.resize, channels)
        except Exception as error:  # a damaged file can raise nearly anything in a decoder
            raise DatasetError(f"{root / file} cannot be read ({error}); repair or remove it.") from error

    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(decode, (file for file, *_ in stamps))))
    if isinstance(dataset.test_images, StreamedImages):
        shared = _shared_files(dataset.test_images, [root / file for file, *_ in stamps])
    else:
        shared = _shared_with_test(dataset, images)
    if shared == len(images):
        raise _of_test_part(f"all {shared} images of {root} are pixel for pixel in the test set of {dataset.name}")
    if shared:
        log.warning(
            "%d of %d images of %s are pixel for pixel in the test set of %s; take them out, or its test error "
            "is not that of unseen images.", shared, len(images), root, dataset.name,
        )  # fmt: skip
    return TargetImages(images=images, labels=np.array([label for *_, label in stamps], dtype=np.int64))


def _shared_with_test(dataset: ImageDataset, images: NDArray[np.uint8]) -> int:
    def digests(array: NDArray[np.uint8]) -> list[bytes]:
        return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in array]

    test = set(digests(np.asarray(dataset.test_images)))
    return sum(digest in test for digest in digests(images))


def _shared_files(test: StreamedImages, files: list[Path]) -> int:
    """How many of the files are among those of the test part; only those of equal size are read."""
    mine = [(file.stat().st_size, file.read_bytes()) for file in files]
    candidates = np.flatnonzero(np.isin(test.sizes, [size for size, _ in mine]))
    known = {hashlib.sha256(test.path(index).read_bytes()).digest() for index in candidates.tolist()}
    return sum(hashlib.sha256(content).digest() in known for _, content in mine)
