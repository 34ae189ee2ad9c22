"""A folder of class folders of image files: what lies in it, in canonical order, and a data set that streams it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets.base import ImageDataset
from winnow.datasets.image_files import ENDINGS, class_folders, image_files, test_folder
from winnow.datasets.streamed import StreamedImages

LAYOUT = "train/<class>/<image> and test/<class>/<image> (or val/ for test/)"


class ClassFolders:
    """The image files below root, by part ("train", "test"): names relative to root and labels, in canonical order.

    test: the folder of the test part; None: root/test, or root/val where that has no classes. sizes: of the files, in
    bytes. digest: hash of names, sizes and modification times.

    Raises DatasetError for a missing folder, fewer than two classes, an empty class, or a test class without training.
    """

    def __init__(self, root: Path, test: Path | None = None) -> None:
        self.root = root
        if not root.is_dir():
            raise DatasetError(f"there is no data folder {root}; expected {LAYOUT} in it. Set dataset.root.")
        folders = {"train": root / "train", "test": test or test_folder(root)}
        for part, folder in folders.items():
            if not folder.is_dir():
                missing = "train/" if part == "train" else "test/ or val/"
                raise DatasetError(f"the data folder {root} has no {missing}; expected {LAYOUT} in it.")
        classes = {part: class_folders(folder) for part, folder in folders.items()}
        if len(classes["train"]) < 2:
            count = f"{folders['train']} has {len(classes['train'])} class folders"
            raise DatasetError(f"{count}; expected at least two, as {LAYOUT} in {root}.")
        extra = sorted(set(classes["test"]) - set(classes["train"]))
        if extra:
            raise DatasetError(
                f"{folders['test']} has a class that {folders['train']} lacks: {', '.join(extra[:10])}; "
                "every test class needs training images."
            )
        if not classes["test"]:
            raise DatasetError(f"{folders['test']} has no class folders; expected {LAYOUT} in {root}.")
        self.class_names = tuple(classes["train"])
        self.names: dict[str, list[str]] = {"train": [], "test": []}
        self.labels: dict[str, list[int]] = {"train": [], "test": []}
        self.sizes: dict[str, list[int]] = {"train": [], "test": []}
        digest = hashlib.sha256()
        for part, folder in folders.items():
            for name in classes[part]:
                found = image_files(folder / name, root)
                if not found:
                    endings = " ".join(ENDINGS)
                    raise DatasetError(
                        f"the class folder {folder / name} has no images ({endings}); fill or remove it."
                    )
                for file, stat in found:
                    digest.update(os.fsencode(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
                self.names[part] += [file for file, _ in found]
                self.sizes[part] += [stat.st_size for _, stat in found]
                self.labels[part] += [self.class_names.index(name)] * len(found)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.names["train"]) + len(self.names["test"])


def check_stream(*, least_area: float, workers: int | None) -> None:
    """Raise OptionError for options that no stream can have."""
    if not 0 < least_area <= 1:
        raise OptionError(f"dataset.least_area={least_area} must be a fraction in (0, 1].")
    if workers is not None and workers < 0:
        raise OptionError(
            f"dataset.workers={workers} must be at least 0 (decoding in the training process), or null for a few."
        )


def streamed(
    files: ClassFolders,
    *,
    slug: str | None = None,
    name: str | None = None,
    size: int,
    resize: str,
    channels: int,
    least_area: float,
    workers: int | None,
) -> ImageDataset:
    """The data set of these files, none of which is decoded before it is needed (see StreamedImages).

    slug: what its fingerprint begins with; name: what it is shown as. Both are the folder's name by default.
    """

    def images(part: str) -> StreamedImages:
        return StreamedImages(
            root=files.root,
            files=np.array([os.fsencode(name) for name in files.names[part]]),
            sizes=np.array(files.sizes[part], dtype=np.int64),
            size=size,
            resize=resize,
            channels=channels,
            least_area=least_area,
            workers=workers,
        )

    dataset = ImageDataset(
        name=slug or files.root.name,
        train_images=images("train"),
        train_labels=np.array(files.labels["train"], dtype=np.int64),
        test_images=images("test"),
        test_labels=np.array(files.labels["test"], dtype=np.int64),
        class_names=files.class_names,
        train_files=tuple(files.names["train"]),
        folder=files.root,
        resize=resize,
    )
    return replace(dataset, name=name or dataset.name)
