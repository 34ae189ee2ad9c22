"""Images of one's own: a folder of class folders of image files, decoded once into memory maps, or as needed."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import DatasetError, OptionError, check_choice
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.datasets.class_folders import ClassFolders, check_stream, streamed
from winnow.datasets.image_files import decode_image
from winnow.datasets.progress import decoding_progress
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import NOT_IN_KEY, make_key

log = logging.getLogger(__name__)

FILES_PER_TASK = 64


@dataclass(frozen=True, kw_only=True)
class ImageFolder(DatasetSpec):
    """root/train/<class>/<image> and root/test/<class>/<image>; root/val where root/test has no classes.

    Images become [size, size, channels]. Classes are in the order of their names; the canonical order is by class, then
    by file name with numbers compared as numbers (img2 before img10). Folders below a class folder belong to the
    class; files with other endings than those of images, and hidden ones, are ignored.

    name: what rows and figures call the data set; None takes the name of the root folder.
    size: pixels a side. resize: "crop" takes the largest centred square (short side resized, long side cropped),
    "squash" the whole image, whatever its proportions; both bilinear with antialiasing. channels: 3 for colour, 1 for
    grey. Photographs are turned upright as their EXIF says; transparency is dropped.
    allow_unreadable: leave out files that cannot be decoded, with a warning, where the default is an error.
    workers: decoding threads, of a stream processes; None means one a processor.

    storage "memory": decoded images are kept in the store and decoded anew when a file is added, removed, or differs
    in size or modification time. They come back as read-only memory maps; training copies them to its device, so
    decoded they must fit there. The fingerprint is of the decoded images and labels, not of the files.

    storage "stream": nothing is decoded before it is needed, and nothing of it is kept (see StreamedImages, whose
    evaluation cuts a little more of an image's edge than "crop" here). Instead of the recipe's shifts, training sees
    random crops of at least `least_area` of an image; recipe.augmentation.flip mirrors half of them. The fingerprint
    is of the names and sizes of the files, of the labels, and of size, resize, channels and least_area: a copy of the
    folder has the same one, and so has a file that was changed without changing its size.

    Raises OptionError for an option outside its set, and DatasetError for a missing folder, fewer than two classes,
    an empty class, a test class that training lacks, or unreadable files; a stream meets these in training.
    """

    root: str = field(metadata=NOT_IN_KEY)
    storage: str = "memory"
    name: str | None = field(default=None, metadata=NOT_IN_KEY)
    size: int = 32
    resize: str = "crop"
    channels: int = 3
    least_area: float = 0.08
    allow_unreadable: bool = field(default=False, metadata=NOT_IN_KEY)
    workers: int | None = field(default=None, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("dataset.storage", self.storage, ("memory", "stream"))
        check_choice("dataset.resize", self.resize, ("crop", "squash"))
        check_choice("dataset.channels", self.channels, (1, 3))
        if self.size < 1:
            raise OptionError(f"dataset.size={self.size} must be at least 1 pixel.")
        if self.storage == "stream":
            check_stream(least_area=self.least_area, workers=self.workers)
            if self.allow_unreadable:
                raise OptionError(
                    "dataset.allow_unreadable=true needs every file to be decoded first, and dataset.storage=stream "
                    "decodes none before it is needed; remove unreadable files, or set one of the two otherwise."
                )
        elif self.workers is not None and self.workers < 1:
            raise OptionError(f"dataset.workers={self.workers} must be at least 1, or null for one a processor.")

    def read(self, store: ArtifactStore) -> ImageDataset:
        files = ClassFolders(Path(self.root).expanduser().resolve())
        if self.storage == "stream":
            return streamed(
                files,
                name=self.name,
                size=self.size,
                resize=self.resize,
                channels=self.channels,
                least_area=self.least_area,
                workers=self.workers,
            )
        options = {"size": self.size, "resize": self.resize, "channels": self.channels}
        inputs = {"version": self.version, "files": files.digest, **options}
        key = make_key(f"imagefolder-{files.root.name}", inputs)
        artifact = store.fetch("images", key, write=lambda draft: self._write(draft, files), inputs=inputs)
        index = artifact.json("index")
        unreadable = index["unreadable"]
        if unreadable and not self.allow_unreadable:  # decoded before, by a run that allowed them
            raise _unreadable(unreadable, files)
        if unreadable:
            log.warning("%s: left out %d unreadable files of %d.", files.root, len(unreadable), len(files))
        train_files = tuple(index["train_files"])
        test_labels = np.array(artifact.array("test_labels"))
        return ImageDataset(
            name=self.name or files.root.name,
            train_images=artifact.array("train_images")[: len(train_files)],
            train_labels=np.array(artifact.array("train_labels")),
            test_images=artifact.array("test_images")[: len(test_labels)],
            test_labels=test_labels,
            class_names=tuple(index["class_names"]),
            train_files=train_files,
            folder=files.root,
            resize=self.resize,
            fingerprint=index["fingerprint"],
        )

    def _write(self, draft: Draft, files: ClassFolders) -> None:
        started = time.perf_counter()
        unreadable: list[list[str]] = []
        with decoding_progress(len(files)) as advance:
            train_images, train_kept = self._decode(draft, files, "train", unreadable, advance)
            test_images, test_kept = self._decode(draft, files, "test", unreadable, advance)
        if unreadable and not self.allow_unreadable:
            raise _unreadable(unreadable, files)
        lost = set(range(len(files.class_names))) - {files.labels["train"][i] for i in train_kept}
        if lost or not test_kept:
            where = f"train/{files.class_names[min(lost)]}" if lost else "the test set"
            raise DatasetError(f"{files.root}: {where} has no readable image; put at least one there.")
        dataset = ImageDataset(  # made here so that its fingerprint is computed once and stored
            name=files.root.name,
            train_images=train_images[: len(train_kept)],
            train_labels=np.array([files.labels["train"][i] for i in train_kept], dtype=np.int64),
            test_images=test_images[: len(test_kept)],
            test_labels=np.array([files.labels["test"][i] for i in test_kept], dtype=np.int64),
            class_names=files.class_names,
        )
        draft.put_array("train_labels", dataset.train_labels)
        draft.put_array("test_labels", dataset.test_labels)
        index = {"fingerprint": dataset.fingerprint, "class_names": files.class_names, "unreadable": unreadable}
        draft.put_json("index", index | {"train_files": [files.names["train"][i] for i in train_kept]})
        log.info("decoded %d images of %s in %.1f s", len(files), files.root, time.perf_counter() - started)

    def _decode(
        self, draft: Draft, files: ClassFolders, part: str, unreadable: list[list[str]], advance: Callable[[int], None]
    ) -> tuple[np.memmap, list[int]]:
        """Decode one part in order into a memory map; which files are in it.

        An unreadable file takes no row, so the map may end in unused rows; readers take the first ones.
        """
        names = files.names[part]
        images = draft.new_array(f"{part}_images", (len(names), self.size, self.size, self.channels), np.uint8)
        kept: list[int] = []

        def collect(start: int, results: list[NDArray[np.uint8] | str]) -> None:
            for i, result in enumerate(results, start):
                if isinstance(result, str):
                    unreadable.append([names[i], result])
                else:
                    images[len(kept)] = result
                    kept.append(i)
            advance(len(results))

        workers = self.workers or os.cpu_count() or 1
        pending: deque[tuple[int, Future[list[NDArray[np.uint8] | str]]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(names), FILES_PER_TASK):
                paths = [files.root / name for name in names[start : start + FILES_PER_TASK]]
                pending.append((start, pool.submit(self._decode_some, paths)))
                if len(pending) > 2 * workers:  # a short queue bounds memory, whatever the size of the data set
                    first, task = pending.popleft()
                    collect(first, task.result())
            for first, task in pending:
                collect(first, task.result())
        return images, kept

    def _decode_some(self, paths: list[Path]) -> list[NDArray[np.uint8] | str]:
        """Each image, or why it cannot be read."""
        results: list[NDArray[np.uint8] | str] = []
        for path in paths:
            try:
                results.append(decode_image(path, self.size, self.resize, self.channels))
            except Exception as error:  # a damaged file can raise nearly anything in a decoder
                results.append(f"{type(error).__name__}: {error}")
        return results


def _unreadable(unreadable: list[list[str]], files: ClassFolders) -> DatasetError:
    named = ", ".join(name for name, _ in unreadable[:10]) + (", ..." if len(unreadable) > 10 else "")
    return DatasetError(
        f"{len(unreadable)} of {len(files)} files in {files.root} cannot be read: {named} "
        f"(the first: {unreadable[0][1]}); repair or remove them, or set dataset.allow_unreadable=true to leave "
        "them out."
    )
