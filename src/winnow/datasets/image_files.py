"""Image files in class folders: which there are, in canonical order, and how one is decoded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from winnow.core.natural_order import natural_key

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
"""How files of these kinds begin, whatever their names end in."""


def decode_image(path: Path, size: int, resize: str, channels: int) -> NDArray[np.uint8]:
    """[size, size, channels]; whatever the decoder raises where the file is damaged. See ImageFolder for `resize`."""
    with _upright(path, channels, least=2 * size) as image:
        width, height = image.size
        if (width, height) != (size, size):
            left, top = max(width - height, 0) / 2, max(height - width, 0) / 2
            box = (left, top, width - left, height - top) if resize == "crop" else None
            image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        pixels = np.asarray(image)
    return pixels.reshape(size, size, channels)


def decode_whole(path: Path, channels: int) -> Tensor:
    """The image in its own size, [channels, H, W] uint8; whatever the decoder raises where the file is damaged.

    JPEG and PNG by torchvision, which knows EXIF's orientation of these two alone; what it cannot do, and the rest, by
    Pillow. Grey of a coloured JPEG is its own luminance channel.
    """
    from torchvision.io import ImageReadMode  # a second, for which images in memory do not wait
    from torchvision.io import decode_image as decode_bytes

    data = path.read_bytes()
    if data.startswith((JPEG, PNG)):
        mode = ImageReadMode.RGB if channels == 3 else ImageReadMode.GRAY
        try:
            image = decode_bytes(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode, True)
        except RuntimeError:
            pass
        else:
            if image.dtype == torch.uint8:  # a PNG of 16 bits is left to Pillow's way
                return image
    with _upright(path, channels) as upright:
        pixels = np.array(upright)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)


@contextmanager
def _upright(path: Path, channels: int, least: int | None = None) -> Iterator[Image.Image]:
    """The image by Pillow, turned as its EXIF says, with 8 bits a channel.

    least: sides of at least so many pixels are enough; a JPEG far larger is decoded at a fraction of its size.
    """
    with Image.open(path) as file:
        if least is not None:
            file.draft(None, (least, least))
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # PIL itself would clip at 255
        elif image.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits and no known range; save it with 8 or 16 bits")
        mode = "RGB" if channels == 3 else "L"
        yield image if image.mode == mode else image.convert(mode)


def test_folder(root: Path) -> Path:
    """root/test where it has class folders, or nothing else is there; a flat test/ without labels gives way to val/."""
    test, val = root / "test", root / "val"
    return test if test.is_dir() and (class_folders(test) or not val.is_dir()) else val


def class_folders(folder: Path) -> list[str]:
    """Their names, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def image_files(folder: Path, root: Path) -> list[tuple[str, os.stat_result]]:
    """Name relative to root, and file status, of each image below a class folder, in natural order."""
    found = []
    prefix = str(root) + os.sep
    for where, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                path = os.path.join(where, name)
                found.append((path.removeprefix(prefix).replace(os.sep, "/"), _status(path)))
    return sorted(found, key=lambda item: natural_key(item[0]))


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except FileNotFoundError:  # a link that leads nowhere: listed here, then reported with the unreadable files
        return os.lstat(path)
