"""The batches of a part of a data set: from which loader they come is decided here."""

from typing import Any, Literal

import torch
from torch import Tensor

from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import WHOLE, DeviceImages, InMemoryLoader, Shard, at_once, on_device
from winnow.datasets.stream_loader import Stream, StreamLoader, stream_part
from winnow.datasets.streamed import StreamedImages
from winnow.datasets.targets import TargetImages
from winnow.datasets.views import Views

Part = Literal["train", "test"] | TargetImages
"""Which images: the training or the test set, or a target set, normalised like the training set."""


def batches(
    dataset: ImageDataset,
    part: Part,
    *,
    device: torch.device,
    batch_size: int | None = None,
    subset: Subset | None = None,
    augmentation: Augmentation | Views | None = None,
    copies: int = 1,
    seed: int | None = None,
    channels_last: bool = True,
    shard: Shard = WHOLE,
    constant: bool = False,
) -> InMemoryLoader | StreamLoader:
    """A loader of batches on `device`; for what else it takes see InMemoryLoader and StreamLoader.

    batch_size None: as many images as a pass without gradients takes at once in each process.
    """
    data = images_of(dataset, part, device)
    options: dict[str, Any] = {
        "batch_size": batch_size or at_once(dataset.image_shape, device.type) * shard.world,
        "subset": subset,
        "augmentation": augmentation,
        "copies": copies,
        "seed": seed,
        "channels_last": channels_last,
        "shard": shard,
        "constant": constant,
    }
    return StreamLoader(data, **options) if isinstance(data, Stream) else InMemoryLoader(data, **options)


def images_of(dataset: ImageDataset, part: Part, device: torch.device) -> DeviceImages | Stream:
    """The images of a part on `device`; of a stream, what is there beside the images."""
    if isinstance(part, TargetImages):
        return part.on_device(images_of(dataset, "train", device))
    if dataset.streams:
        return stream_part(dataset, device, train=part == "train")
    train, test = on_device(dataset, device)
    return train if part == "train" else test


def length(dataset: ImageDataset, part: Part) -> int:
    """How many images a part has."""
    if isinstance(part, TargetImages):
        return part.n
    return dataset.n if part == "train" else dataset.n_test


def normalisation(dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels, [C] each, by which batches are normalised; pixels are in 0..255."""
    if isinstance(dataset.train_images, StreamedImages):
        return dataset.train_images.normalisation
    train, _ = on_device(dataset, torch.device("cpu"))
    return train.mean, train.std
