"""Batches from images that live on the training device as uint8: no worker processes, no decoding, no copies."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from winnow.core.seeds import derive
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation, first_mirrored
from winnow.datasets.base import ImageDataset
from winnow.datasets.views import Views


class Batch(NamedTuple):
    """index [B] int64, canonical; image [B, C, H, W] float32, normalised; label [B] int64; weight [B] float32.

    size: the examples of the whole batch, of which several processes have a part each.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a batch
    image: Tensor
    label: Tensor
    weight: Tensor
    size: int


@dataclass(frozen=True)
class Shard:
    """Which part of every batch a process takes: a run of it, as equal to those of the others as can be."""

    rank: int = 0
    world: int = 1

    def of(self, size: int) -> slice:
        """The part of a batch of `size` examples; it may be empty."""
        return slice(size * self.rank // self.world, size * (self.rank + 1) // self.world)


WHOLE = Shard()


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Images [n, H, W, C] uint8 and labels [n] on one device, with the training set's mean and deviation a channel."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor


@functools.lru_cache(maxsize=2)
def on_device(dataset: ImageDataset, device: torch.device) -> tuple[DeviceImages, DeviceImages]:
    """The training and the test images on `device`; K probes and a cell share one copy."""
    train = torch.tensor(np.asarray(dataset.train_images), device=device)
    test = torch.tensor(np.asarray(dataset.test_images), device=device)
    mean, std = _channel_statistics(train)
    train_labels = torch.tensor(dataset.train_labels, device=device)
    test_labels = torch.tensor(dataset.test_labels, device=device)
    return DeviceImages(train, train_labels, mean, std), DeviceImages(test, test_labels, mean, std)


def _channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C] of the pixel values 0..255, from exact counts: equal on every device."""
    levels = torch.arange(256, dtype=torch.float64)
    means, stds = [], []
    for channel in range(images.shape[3]):
        counts = torch.bincount(images[..., channel].flatten(), minlength=256).cpu().double()
        mean = (counts * levels).sum() / counts.sum()
        means.append(mean)
        stds.append(((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt().clamp(min=1.0))
    device = images.device
    return torch.stack(means).float().to(device), torch.stack(stds).float().to(device)


def at_once(image_shape: tuple[int, int, int], kind: str) -> int:
    """How many images a pass without gradients takes at once on a device of a kind ("cpu", "cuda", "mps").

    On a CPU 125 of 32x32, of larger ones fewer, to 8, and up to 1000 of smaller: ResNet-8 passes 2.5 times as many a
    second as with a thousand at once (scripts/bench/passes.py). Elsewhere a thousand of 32x32, fewer of larger ones,
    which was never measured. The logits of ResNet-8, ResNet-18 and smallconv at 32x32 and less were the same bits
    whatever the batch, of ResNet-18 at 224x224 within 1e-6.
    """
    height, width, _ = image_shape
    least, of_usual = (8, 125) if kind == "cpu" else (1, 1000)
    return max(least, min(1000, of_usual * 32 * 32 // (height * width)))


class EpochOrder:
    """The order in which the m examples of a subset are presented: a new seeded permutation in each epoch.

    Lightning calls `set_epoch` on a loader's `sampler`. The order is a function of (seed, epoch) alone, so that any
    process can know any epoch's order without having lived through the ones before. seed None keeps canonical order.
    constant: the batch size B of one endless stream of these permutations. An epoch is then the next ⌊m / B⌋ batches of
    it, or one where m < B: what a permutation leaves over begins the next epoch, and nothing is left out.
    """

    def __init__(self, m: int, seed: int | None, *, constant: int | None = None) -> None:
        self.m, self.seed, self.constant, self.epoch = m, seed, constant, 0

    def batches(self, batch_size: int) -> int:
        """How many batches an epoch has."""
        return -(-self.m // batch_size) if self.constant is None else max(1, self.m // self.constant)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> Tensor:
        """Positions in the subset, of one epoch: [m], or whole batches of a stream."""
        if self.constant is None:
            return self._permutation(self.epoch)
        size = self.batches(self.constant) * self.constant
        first = self.epoch * size
        passes = range(first // self.m, (first + size - 1) // self.m + 1)
        stream = torch.cat([self._permutation(number) for number in passes])
        return stream[first - passes.start * self.m :][:size]

    def passes(self) -> Tensor:
        """Of each position of `order`, which permutation it is from: how often its example came before."""
        if self.constant is None:
            return torch.full((self.m,), self.epoch)
        size = self.batches(self.constant) * self.constant
        return (torch.arange(size) + self.epoch * size) // self.m

    def _permutation(self, number: int) -> Tensor:
        if self.seed is None:
            return torch.arange(self.m)
        generator = torch.Generator().manual_seed(derive(self.seed, "order", number))
        return torch.randperm(self.m, generator=generator)


class InMemoryLoader:
    """Batches of a subset, seeded, each example once an epoch.

    The ⌈m / batch_size⌉ batches of an epoch are as equal in size as can be, instead of full ones and a small rest:
    with the loss divided by the batch's own size, a rest of a few examples would give each of them a multiple of the
    others' say, and the weighted risk would not be unbiased. With `constant`, every batch has batch_size examples, cut
    from one endless stream of permutations (see EpochOrder): over the stream every example comes equally often, which
    is unbiased too; where m < batch_size it recurs in a batch, each time augmented on its own.

    subset None: all examples with weight one. augmentation None: none. seed None: canonical order. copies: how often a
    batch holds each of its examples, first all of them, then all of them again, each copy augmented on its own.
    shard: of several processes, each makes its own part of the same batches, augmented as if one had made them whole.
    An empty part, of a batch with fewer examples than there are processes, is left out.

    `state_dict` is the place of the batch that was yielded last: after `load_state_dict` it is the first to come, so a
    training whose checkpoint was taken before a step takes that step again.
    """

    def __init__(
        self,
        data: DeviceImages,
        *,
        batch_size: int,
        subset: Subset | None = None,
        augmentation: Augmentation | Views | None = None,
        copies: int = 1,
        seed: int | None = None,
        channels_last: bool = True,
        shard: Shard = WHOLE,
        constant: bool = False,
    ) -> None:
        self.data, self.batch_size, self.augmentation, self.channels_last = (
            data,
            batch_size,
            augmentation,
            channels_last,
        )
        self.seed, self.copies, self.shard = seed, copies, shard
        subset = subset or Subset.full(len(data.labels))
        device = data.images.device
        self.indices = torch.tensor(subset.indices, device=device)
        self.weights = torch.tensor(subset.weights, dtype=torch.float32, device=device)
        self.sampler = EpochOrder(subset.m, seed, constant=batch_size if constant else None)
        mirrored = first_mirrored(augmentation, len(data.labels), seed)
        assert mirrored is None or copies == 1
        self.mirrored = None if mirrored is None else mirrored.to(device)
        self.number = self.first = 0
        self.batch_sampler = None  # Lightning reads it of every loader that has a sampler

    def __len__(self) -> int:
        return self.sampler.batches(self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.sampler.epoch
        device = self.indices.device
        orders = [self.sampler.order().to(device)]
        if self.mirrored is not None:
            orders.append(self.sampler.passes().to(device) % 2 == 1)
        first, self.first = self.first, 0
        parts = list(zip(*(torch.tensor_split(each, len(self)) for each in orders), strict=True))
        for number, (positions, *odd) in enumerate(parts[first:], first):
            self.number = number
            batch = self._batch(positions.repeat(self.copies), epoch, number, *odd)
            if len(batch.index):
                yield batch

    def close(self) -> None:
        """Nothing; of a stream it ends the processes that decode."""

    def state_dict(self) -> dict[str, int]:
        return {"batch": self.number}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.first = state_dict["batch"]

    def _batch(self, positions: Tensor, epoch: int, number: int, odd: Tensor | None = None) -> Batch:
        """odd [B]: whether a position's pass is odd, where that says which images are mirrored."""
        size = positions.numel()
        mine = self.shard.of(size)
        index = self.indices[positions]
        data, kept = self.data, None
        if self.augmentation is None or self.seed is None:
            pixels = data.images[index[mine]]
        else:
            generator = torch.Generator(index.device).manual_seed(derive(self.seed, "augmentation", epoch, number))
            if odd is None:
                pixels, kept = self.augmentation.take(data.images, index, generator, mine)
            else:
                assert isinstance(self.augmentation, Augmentation)
                assert self.mirrored is not None
                turned = self.mirrored[index] ^ odd
                pixels, kept = self.augmentation.take(data.images, index, generator, mine, turned)
        index, positions = index[mine], positions[mine]
        values = (pixels.float() - data.mean) / data.std
        if kept is not None:
            values = values * kept
        image = values.permute(0, 3, 1, 2)  # channels_last in memory, without a copy
        if not self.channels_last:
            image = image.contiguous()
        return Batch(index, image, data.labels[index], self.weights[positions], size)
