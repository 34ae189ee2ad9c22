"""Images that stay in their files until they are asked for, for data sets larger than memory."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from winnow.core.errors import DatasetError
from winnow.core.types import Ints
from winnow.datasets.image_files import decode_whole

EVALUATED_SIDE = 256 / 224
"""The short side that an image gets before its centre is cut out for evaluation, in units of the cut."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1], for every streamed data set; its own would take a pass over it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedImages:
    """Images [n, size, size, channels] uint8, decoded each time that they are asked for; indexing is as of an array.

    files [n]: paths below root, in bytes of one width, because worker processes share an array and would copy strings.
    sizes [n]: of the files, in bytes.

    An image as it is indexed is that of evaluation: of resize "crop" its short side becomes 256/224 of `size`, and the
    centre is cut out; of "squash" the whole of it becomes square. Both bilinear with antialiasing, upright by EXIF.
    least_area: the smallest part of the image that a random crop for training may show. workers: processes that
    decode; None: one a processor, at most 8, shared among the processes of a run.
    """

    root: Path
    files: NDArray[np.bytes_]
    sizes: Ints
    size: int
    resize: str = "crop"
    channels: int = 3
    least_area: float = 0.08
    workers: int | None = None

    ndim = 4
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files), self.size, self.size, self.channels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """The image [H, W, C] of a number, or the images [m, H, W, C] of an array of numbers, a mask or a slice."""
        chosen = np.arange(len(self))[index]
        if chosen.ndim == 0:
            return self.evaluated(chosen.item()).permute(1, 2, 0).numpy()
        images = np.empty((chosen.size, *self.shape[1:]), dtype=np.uint8)
        for row, each in zip(images, chosen, strict=True):
            row[:] = self.evaluated(each).permute(1, 2, 0).numpy()
        return images

    def __array__(self, *_: Any, **__: Any) -> NDArray[np.uint8]:
        raise DatasetError(
            f"the {len(self)} images of {self.root} are streamed and never held all at once; index those that are "
            "needed, or set dataset.storage=memory."
        )

    def part(self, indices: Ints) -> "StreamedImages":
        """The images of these numbers, in their order; nothing is decoded."""
        return replace(self, files=self.files[indices], sizes=self.sizes[indices])

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        """MEAN and STD [C], of pixels in 0..255; of one grey channel their means."""
        mean, std = (255 * torch.tensor(values) for values in (MEAN, STD))
        return (mean, std) if self.channels == 3 else (mean.mean()[None], std.mean()[None])

    def path(self, index: int) -> Path:
        return self.root / self.files[index].decode("utf-8", "surrogateescape")

    def evaluated(self, index: int) -> Tensor:
        """[C, H, W] uint8. Raises DatasetError where the file cannot be decoded."""
        return self.evaluate(self._decoded(index))

    def augmented(self, index: int, *, flip: bool, seed: int) -> Tensor:
        """[C, H, W] uint8: a random crop of the image, resized (Szegedy et al. 2015, 1409.4842, §6), and its mirror.

        A function of the seed alone. The crop shows `least_area` to all of the image, with sides 3:4 to 4:3; flip:
        mirror half of them. Raises DatasetError where the file cannot be decoded.
        """
        image = self._decoded(index)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torchvision's transforms draw from it
            return self._augmenting[flip](image)

    @functools.cached_property
    def evaluate(self) -> nn.Module:
        """What makes [C, size, size] for evaluation of an image [C, H, W]."""
        from torchvision.transforms import v2  # a second, for which images in memory do not wait

        if self.resize == "squash":
            return v2.Resize((self.size, self.size), antialias=True)
        return nn.Sequential(
            v2.Resize(round(EVALUATED_SIDE * self.size), antialias=True), v2.CenterCrop((self.size, self.size))
        )

    @functools.cached_property
    def _augmenting(self) -> Sequence[nn.Module]:
        """Without mirrors, and with."""
        from torchvision.transforms import v2

        crop = v2.RandomResizedCrop((self.size, self.size), scale=(self.least_area, 1.0), antialias=True)
        return crop, nn.Sequential(crop, v2.RandomHorizontalFlip())

    def _decoded(self, index: int) -> Tensor:
        path = self.path(index)
        try:
            return decode_whole(path, self.channels)
        except Exception as error:  # a damaged file can raise nearly anything in a decoder
            raise DatasetError(
                f"{path} cannot be read ({type(error).__name__}: {error}); repair or remove it."
            ) from error

    @functools.cached_property
    def content(self) -> bytes:
        """Names what training and evaluation see, by names and sizes of the files and how they are decoded."""
        options = (self.shape, self.resize, float(self.least_area))
        digest = hashlib.sha256(repr(options).encode())
        digest.update(b"\0".join(self.files.tolist()))
        digest.update(self.sizes.astype("<i8").tobytes())
        return digest.digest()
