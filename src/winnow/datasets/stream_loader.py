"""Batches from image files that worker processes decode as they are needed."""

import gc
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from winnow.core.errors import DatasetError, OptionError
from winnow.core.seeds import derive
from winnow.core.types import Ints, Subset
from winnow.datasets.augmentation import Augmentation, first_mirrored
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import WHOLE, Batch, EpochOrder, Shard
from winnow.datasets.streamed import StreamedImages
from winnow.datasets.views import Views
from winnow.parallel import workers

if TYPE_CHECKING:
    from torchdata.stateful_dataloader import StatefulDataLoader

MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class Stream:
    """Images in files, and on the device labels [n] and the mean and deviation a channel."""

    images: StreamedImages
    labels: Tensor
    mean: Tensor
    std: Tensor


def stream_part(dataset: ImageDataset, device: torch.device, *, train: bool) -> Stream:
    """The training or the test images of a streamed data set."""
    images, labels = (
        (dataset.train_images, dataset.train_labels) if train else (dataset.test_images, dataset.test_labels)
    )
    assert isinstance(images, StreamedImages)
    return Stream(images, torch.tensor(labels, device=device), *(each.to(device) for each in images.normalisation))


class StreamLoader:
    """Batches as InMemoryLoader gives them, of images that are decoded for the batch.

    Worker processes decode, crop and resize; bytes travel to the device and are normalised there. For training,
    `augmentation` is told to mirror or not; its shift is replaced by a random resized crop (see StreamedImages), and it
    may have no cutout. The crop and mirror of an example are a function of (seed, its pass, index) alone: neither the
    number of workers, nor that of processes, nor an interruption changes a bit. Views are made on the device of
    evaluation's images, by (seed, epoch, number of the batch), as InMemoryLoader makes them.

    `state_dict` is the place of the batch that was yielded last, and after `load_state_dict` it is the first to come;
    what comes before it is not decoded again. torchdata's loader does the work. Its own state would hold the number of
    workers and refuse another.

    Raises OptionError for cutout, and DatasetError when it meets a file that cannot be decoded.
    """

    def __init__(
        self,
        data: Stream,
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
        if isinstance(augmentation, Augmentation) and augmentation.cutout:
            raise OptionError(
                f"recipe.augmentation.cutout={augmentation.cutout} is for data sets in memory; a streamed one is "
                "augmented by random crops (dataset.least_area) and mirrors: set it to 0, or dataset.storage=memory."
            )
        assert copies == 1 or isinstance(augmentation, Views), "copies would be equal"
        assert not (constant and isinstance(augmentation, Views)), "an image would be decoded for one of its passes"
        self.data, self.batch_size, self.copies, self.seed = data, batch_size, copies, seed
        self.channels_last, self.shard = channels_last, shard
        self.views = augmentation if isinstance(augmentation, Views) and seed is not None else None
        subset = subset or Subset.full(len(data.images))
        self.indices, device = torch.tensor(subset.indices), data.labels.device
        self.weights = torch.tensor(subset.weights, dtype=torch.float32, device=device)
        self.sampler = EpochOrder(subset.m, seed, constant=batch_size if constant else None)
        self.batch_sampler = None  # Lightning reads it of every loader that has a sampler
        self._flip = augmentation.flip if isinstance(augmentation, Augmentation) else None
        self._mirrored = first_mirrored(augmentation, len(data.images), seed)
        self.number = self.first = 0
        self._requests = _Requests()
        self._loader: StatefulDataLoader[Any] | None = None

    def __len__(self) -> int:
        return self.sampler.batches(self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.sampler.epoch
        first, self.first = self.first, 0
        orders = (torch.tensor_split(each, len(self)) for each in (self.sampler.order(), self.sampler.passes()))
        batches = list(enumerate(zip(*orders, strict=True)))[first:]
        parts = [(number, part, self._mine(part), self._mine(passes)) for number, (part, passes) in batches]
        parts = [each for each in parts if len(each[2])]
        self._requests.of_epoch = [self._request(mine, passes) for *_, mine, passes in parts]
        try:
            for (number, positions, mine, _), pixels in zip(parts, self._decoding(), strict=True):
                if isinstance(pixels, str):
                    raise DatasetError(pixels)
                self.number = number
                yield self._batch(positions.numel() * self.copies, mine, pixels, epoch, number)
            self.number = 0
        finally:
            if self.seed is None:  # goes through once; torchdata leaves its workers to the garbage collector
                self.close()

    def state_dict(self) -> dict[str, int]:
        return {"batch": self.number}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        self.first = state_dict["batch"]

    def close(self) -> None:
        """End the worker processes; they start anew where it is iterated again."""
        iterator = self._loader and self._loader._iterator
        if iterator is not None and self._loader is not None and self._loader.num_workers:
            iterator._shutdown_workers()
        self._loader = None

    def _mine(self, positions: Tensor) -> Tensor:
        """This process's part of a batch, each copy apart."""
        return positions.repeat(self.copies)[self.shard.of(positions.numel() * self.copies)]

    def _decoding(self) -> "StatefulDataLoader[Any]":
        if self._loader is None:
            import torchvision.transforms.v2  # noqa: F401  # what decodes imports it, else each worker by itself
            from torchdata.stateful_dataloader import StatefulDataLoader  # where nothing is streamed it may be missing

            helpers = worker_count(self.data.images.workers)
            training = self.seed is not None and self._flip is not None
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*set_vital.*")
                self._loader = StatefulDataLoader(
                    _Decoder(self.data.images, self.seed if training else None, bool(self._flip), self._mirrored),
                    batch_sampler=self._requests,
                    num_workers=helpers,
                    persistent_workers=helpers > 0,
                    collate_fn=_as_it_is,
                    worker_init_fn=_begin,
                    pin_memory=self.data.labels.is_cuda,
                    generator=torch.Generator(),  # the global one is the training's
                )
        return self._loader

    def _batch(self, size: int, mine: Tensor, pixels: Tensor, epoch: int, number: int) -> Batch:
        """mine: the positions that are this process's; pixels [D, C, H, W] uint8: what was decoded for them."""
        data, device, index = self.data, self.data.labels.device, self.indices[mine]
        values = pixels.to(device, non_blocking=True).permute(0, 2, 3, 1)
        if self.views is not None:
            assert self.seed is not None
            generator = torch.Generator(device).manual_seed(derive(self.seed, "augmentation", epoch, number))
            part = self.shard.of(size)
            chosen = torch.zeros(size, dtype=torch.int64, device=device)  # what others make is drawn, not seen
            chosen[part] = torch.searchsorted(self._decoded_for(mine), index).to(device)
            values, _ = self.views.take(values, chosen, generator, part)
        count, height, width, _ = values.shape
        # A row of pixels at a time: a CPU is three times as fast as with three channels at a time, and nothing differs.
        rows = values.reshape(count, height, -1).float()
        rows = rows.sub_(data.mean.repeat(width)).div_(data.std.repeat(width))
        image = rows.view(values.shape).permute(0, 3, 1, 2)  # channels_last in memory
        if not self.channels_last:
            image = image.contiguous()
        index, mine = index.to(device), mine.to(device)
        return Batch(index, image, data.labels[index], self.weights[mine], size)

    def _request(self, mine: Tensor, passes: Tensor) -> tuple[Ints, Ints]:
        """What to decode for these positions: of each image the number of its pass, which seeds its crop, and index."""
        decoded = self._decoded_for(mine)
        return passes[: len(decoded)].numpy(), decoded.numpy()

    def _decoded_for(self, mine: Tensor) -> Tensor:
        """The indices of the images to decode for these positions; of copies, each once and sorted."""
        return self.indices[mine] if self.views is None else self.indices[mine].unique()


def worker_count(asked: int | None) -> int:
    """How many processes decode for this one, which may train together with others on the same processors."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, processors // workers.processes_sharing_cpu())) if asked is None else asked


class _Requests:
    """The batches to decode in this epoch, (passes, indices): only the parent reads them, so workers may live on."""

    of_epoch: list[tuple[Ints, Ints]]

    def __iter__(self) -> Iterator[tuple[Ints, Ints]]:
        return iter(self.of_epoch)

    def __len__(self) -> int:
        return len(self.of_epoch)


class _Decoder(Dataset[Any]):
    """Decodes the images of a request, in a worker."""

    def __init__(self, images: StreamedImages, seed: int | None, flip: bool, mirrored: Tensor | None) -> None:
        self.images, self.seed, self.flip, self.mirrored = images, seed, flip, mirrored

    def __getitems__(self, request: tuple[Ints, Ints]) -> Tensor | str:
        """[B, C, H, W] uint8, or what is wrong: an exception would reach the user with the worker's traceback."""
        passes, indices = request
        channels, size = self.images.channels, self.images.size
        pixels = torch.empty((len(indices), channels, size, size), dtype=torch.uint8)
        try:
            for row, number, index in zip(pixels, passes.tolist(), indices.tolist(), strict=True):
                row[:] = self._of(number, index)
        except DatasetError as error:
            return str(error)
        return pixels.contiguous(memory_format=torch.channels_last)

    def _of(self, number: int, index: int) -> Tensor:
        if self.seed is None:
            return self.images.evaluated(index)
        seed = derive(self.seed, "augmentation", number, index)
        if self.mirrored is None:
            return self.images.augmented(index, flip=self.flip, seed=seed)
        image = self.images.augmented(index, flip=False, seed=seed)
        return image.flip(-1) if bool(self.mirrored[index]) != (number % 2 == 1) else image


def _as_it_is(batch: Any) -> Any:
    return batch


def _begin(worker: int) -> None:
    """What a worker does first: its garbage and its parent's signals are not its own."""
    gc.freeze()  # what the parent had not collected yet, such as its earlier loaders, is not to be ended here
    _leave_signals_to_the_parent()


def _leave_signals_to_the_parent() -> None:
    """A signal to the whole process group is for the parent, which may want to finish its step and write a checkpoint.

    A worker ends when its parent says so or is gone.
    """
    for name in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
